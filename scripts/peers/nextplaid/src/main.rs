//! The next-plaid engine of peers.py.
//!
//!     nextplaid build  VECTORS INDEX
//!     nextplaid search VECTORS INDEX K SETTING   every query alone, then all at once
//!     nextplaid add    VECTORS INDEX N           N documents, one by one
//!
//! A setting is probes/full scores/centroid score threshold, 0 for none.

use std::time::Instant;

use ndarray::Array2;
use next_plaid::{IndexConfig, MmapIndex, SearchParameters, UpdateConfig};
use serde_json::{json, Value};

/// The data of a .npy file, and the width of its numbers.
fn npy(path: String) -> (Vec<u8>, usize) {
    let b = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let n = u16::from_le_bytes([b[8], b[9]]) as usize;
    let header = String::from_utf8_lossy(&b[10..10 + n]);
    let width = if header.contains("f2'") { 2 } else { 4 };
    (b[10 + n..].to_vec(), width)
}

fn read(folder: &str, name: &str, lens: &str, limit: usize) -> Vec<Array2<f32>> {
    let (v, width) = npy(format!("{folder}/{name}.npy"));
    let (l, _) = npy(format!("{folder}/{lens}.npy"));
    let lens: Vec<usize> = l.chunks(4).map(|n| i32::from_le_bytes(n.try_into().unwrap()) as usize).collect();
    let dim = v.len() / width / lens.iter().sum::<usize>();
    let mut at = 0;
    lens.iter()
        .take(limit)
        .map(|n| {
            let part = &v[at..at + n * dim * width];
            at += part.len();
            let x = match width {
                2 => part.chunks(2).map(|x| half::f16::from_le_bytes(x.try_into().unwrap()).to_f32()).collect(),
                _ => part.chunks(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect(),
            };
            Array2::from_shape_vec((*n, dim), x).unwrap()
        })
        .collect()
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn search(a: &[String]) -> Value {
    let x = MmapIndex::load(&a[2]).unwrap();
    let s: Vec<f32> = a[4].split('/').map(|n| n.parse().unwrap()).collect();
    let p = SearchParameters {
        top_k: a[3].parse().unwrap(),
        n_ivf_probe: s[0] as usize,
        n_full_scores: s[1] as usize,
        centroid_score_threshold: (s[2] > 0.0).then_some(s[2]),
        ..Default::default()
    };
    let queries = read(&a[1], "queries", "querylens", usize::MAX);
    for q in &queries[..queries.len().min(10)] {
        x.search(q, &p, None).unwrap();
    }
    let (mut times, mut rankings) = (vec![], vec![]);
    for q in &queries {
        let start = Instant::now();
        let r = x.search(q, &p, None).unwrap();
        times.push(ms(start));
        rankings.push(r.passage_ids);
    }
    let start = Instant::now();
    x.search_batch(&queries, &p, true, None).unwrap();
    json!({"ms": times, "rankings": rankings, "batch_s": ms(start) / 1000.0})
}

fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let out = match a[0].as_str() {
        "build" => {
            let docs = read(&a[1], "docs", "doclens", usize::MAX);
            let start = Instant::now();
            let config = IndexConfig { seed: Some(42), force_cpu: true, ..Default::default() };
            MmapIndex::create_with_kmeans(&docs, &a[2], &config).unwrap();
            json!({"build_s": ms(start) / 1000.0, "version": "1.8.5"})
        }
        "search" => search(&a),
        "add" => {
            let mut x = MmapIndex::load(&a[2]).unwrap();
            let config = UpdateConfig { force_cpu: true, ..Default::default() };
            let times: Vec<f64> = read(&a[1], "docs", "doclens", a[3].parse().unwrap())
                .into_iter()
                .map(|d| {
                    let start = Instant::now();
                    x.update(&[d], &config).unwrap();
                    ms(start)
                })
                .collect();
            json!({"ms": times})
        }
        verb => panic!("unknown verb {verb}"),
    };
    println!("{out}");
}
