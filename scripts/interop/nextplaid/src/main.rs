//! Makes next-plaid indexes and ranks with them exactly, for plaid.py.
//!
//!     nextplaid build BITS DIM DOCS.f32 LENS.i32 OUT
//!     nextplaid rank INDEX DIM QUERIES.f32 LENS.i32   the top 10 of every query, as JSON

use ndarray::Array2;
use next_plaid::{IndexConfig, MmapIndex, SearchParameters};

fn read(vectors: &str, lens: &str, dim: usize) -> Vec<Array2<f32>> {
    let (v, l) = (std::fs::read(vectors).unwrap(), std::fs::read(lens).unwrap());
    let mut at = 0;
    l.chunks(4)
        .map(|n| {
            let n = i32::from_le_bytes(n.try_into().unwrap()) as usize * dim;
            let x = v[at..at + 4 * n].chunks(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
            at += 4 * n;
            Array2::from_shape_vec((n / dim, dim), x).unwrap()
        })
        .collect()
}

fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    if a[0] == "build" {
        let docs = read(&a[3], &a[4], a[2].parse().unwrap());
        let config = IndexConfig { nbits: a[1].parse().unwrap(), seed: Some(42), force_cpu: true, ..Default::default() };
        MmapIndex::create_with_kmeans(&docs, &a[5], &config).unwrap();
        return;
    }
    let x = MmapIndex::load(&a[1]).unwrap();
    let n = x.num_documents();
    let p = SearchParameters {
        n_full_scores: 4 * n, // a quarter of them is scored in full
        n_ivf_probe: x.num_partitions(),
        centroid_score_threshold: None,
        top_k: 10,
        ..Default::default()
    };
    let all: Vec<Vec<(i64, f32)>> = read(&a[3], &a[4], a[2].parse().unwrap())
        .iter()
        .map(|q| {
            let r = x.search(q, &p, None).unwrap();
            r.passage_ids.into_iter().zip(r.scores).collect()
        })
        .collect();
    println!("{}", serde_json::to_string(&all).unwrap());
}
