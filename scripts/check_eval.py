#!/usr/bin/env python3
"""Compares query/eval with independent scorers: trec_eval itself
(pytrec-eval-terrier) and, for the comparisons of systems, SciPy.

    python3 -m venv venv && venv/bin/pip install pytrec-eval-terrier scipy
    venv/bin/python scripts/check_eval.py            # do the expected values still hold?
    venv/bin/python scripts/check_eval.py --write    # make the cases and the values anew

    colbertdb eval scifact cranfield --runs RUNS --json > eval.json
    venv/bin/python scripts/check_eval.py --eval eval.json

The last one scores every run that the command wrote, and compares all means, the
measures of every query and the comparisons of configurations with what it printed.

    go build -o bin/colbertdb ./cmd/colbertdb
    venv/bin/python scripts/check_eval.py --collections DIR

does the same for every split of every collection of a folder, without a model: the runs
are drawn from its judgments and its documents, with equal scores among them.

The cases are hostile on purpose: equal scores, scores that float32 cannot tell
apart, queries without a ranking or without relevant documents, graded and
negative judgments, unjudged documents, rankings shorter than the cut-off. The
Go tests read the same files and compare to four decimals.
"""
import argparse
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import pytrec_eval
from scipy import stats

DIR = pathlib.Path(__file__).resolve().parent.parent / "query" / "eval" / "testdata"
CUTS = (1, 3, 10, 100)
GRADES = (1, 2)  # the least grade that is relevant
NAMES = ("nDCG", "recall", "MRR", "success", "MAP")


def make_cases():
    rnd = random.Random(20240607)
    qrels, run = {}, {}
    for i in range(60):
        q = f"q{i:02d}"
        docs = [f"d{j}" for j in range(rnd.choice((1, 4, 30, 150)))]
        kind = i % 6
        grades = {0: (0, 1), 1: (0, 1, 2, 3), 2: (-2, -1, 0, 1, 2), 3: (-1, 0), 4: (0, 0, 0, 0, 1), 5: (1, 5)}[kind]
        qrels[q] = {d: rnd.choice(grades) for d in docs if rnd.random() < 0.7} or {docs[0]: 1}
        if i % 10 == 7:
            continue  # judged, but not in the run
        ranking = {}
        for d in docs + [f"unjudged{j}" for j in range(rnd.choice((0, 3, 20)))]:
            if rnd.random() < 0.8:
                # Few values, so that many scores are equal.
                ranking[d] = rnd.choice((rnd.randint(-2, 2), rnd.randint(0, 1), 1 + rnd.random(), 1 + 1e-9 * rnd.randint(0, 9)))
        if not ranking:
            ranking["unjudged0"] = 1.0
        run[q] = {d: float(s) for d, s in ranking.items()}
    run["unknown"] = {"d0": 1.0}  # in the run, but not judged
    qrels["tie"] = {"a": 1, "b": 0, "z": 2}
    run["tie"] = {"a": 1.0, "b": 1.0, "z": 1.0, "10": 1.0, "9": 1.0}
    return qrels, run


def write_cases(qrels, run):
    with open(DIR / "hostile.qrels", "w") as f:
        for q, docs in sorted(qrels.items()):
            for d, g in docs.items():
                f.write(f"{q} 0 {d} {g}\n")
    with open(DIR / "hostile.run", "w") as f:
        for q, docs in sorted(run.items()):
            for rank, (d, s) in enumerate(docs.items()):  # in no order: ranks are to be ignored
                f.write(f"{q} Q0 {d} {rank} {s!r} hostile\n")


def read_qrels(path):
    qrels = {}
    for i, line in enumerate(open(path, encoding="utf-8-sig")):
        f = line.rstrip("\r\n").split("\t")
        if len(f) != 3:
            f = line.split()
            if len(f) == 4:
                f = [f[0], f[2], f[3]]
        if i == 0 and not f[-1].lstrip("-").isdigit():
            continue
        q, d, g = f
        qrels.setdefault(q, {})[d] = int(g)
    return qrels


def read_run(path):
    run = {}
    for line in open(path):
        q, _, d, _, s, _ = line.split()
        run.setdefault(q, {})[d] = float(s)
    return run


def score(qrels, run, cuts=CUTS, grade=1):
    """{(query, cut): [nDCG, recall, MRR, success, MAP]}, "all" for the means."""
    measures = {"map", "recip_rank"} | {f"{m}.{','.join(map(str, cuts))}" for m in ("ndcg_cut", "recall", "success")}
    scored = pytrec_eval.RelevanceEvaluator(qrels, measures, relevance_level=grade).evaluate(run)
    out = {}
    for k in cuts:
        rows = []
        for q in sorted(qrels):
            s = scored.get(q)
            row = [0.0] * 5
            if s:
                # trec_eval's recip_rank has no cut-off: a first relevant document below rank k counts as none.
                rr = s["recip_rank"] if s["recip_rank"] > 1 / (k + 0.5) else 0.0
                row = [s[f"ndcg_cut_{k}"], s[f"recall_{k}"], rr, s[f"success_{k}"], s["map"]]
            out[q, k] = row
            rows.append(row)
        out["all", k] = [math.fsum(c) / len(rows) for c in zip(*rows)]
    return out


def make_comparisons():
    """Pairs of measures as collections give them: many zeros and ones, few queries and many."""
    rnd = np.random.default_rng(20240607)
    out = []
    for n, loss in ((2, 0.1), (5, 0.0), (30, 0.03), (76, -0.002), (300, 0.001), (1000, 0.0), (5000, 0.004)):
        base = np.clip(rnd.normal(0.6, 0.4, n), 0, 1).round(4)
        change = np.where(rnd.random(n) < 0.3, rnd.normal(-loss, 0.15, n), 0)
        out.append((base, np.clip(base + change, 0, 1).round(4), 0.01))
    out.append((np.array([1.0, 0.5, 0.25]), np.array([1.0, 0.5, 0.25]), 0.01))  # no difference at all
    out.append((np.array([0.5, 0.25, 0.75]), np.array([0.75, 0.5, 1.0]), 0.0))  # the same one everywhere
    return out


def compare(base, other, margin):
    """SciPy's values; P is None where it gives none."""
    d = other - base
    test = stats.ttest_rel(other, base)
    # For the interval, and for the loss beyond the margin.
    ci = test.confidence_interval(0.95)
    loss = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
    plain = lambda v: None if not np.isfinite(v) else float(v)
    out = {"difference": float(d.mean()), "t": plain(test.statistic), "p": plain(test.pvalue),
           "low": plain(ci.low), "high": plain(ci.high), "p_loss": plain(loss)}
    if len(set(d)) > 1 and len(d) > 5:
        b = stats.bootstrap((d,), np.mean, n_resamples=20_000, method="percentile", batch=500, rng=np.random.default_rng(1))
        out["bootstrap_low"], out["bootstrap_high"] = float(b.confidence_interval.low), float(b.confidence_interval.high)
    return out


def check_comparison(got, want, n):
    """Names of what differs."""
    bad = [k for k in ("difference", "t", "p", "low", "high", "p_loss") if want[k] is not None and abs(got[k] - want[k]) > 1e-6 * max(1, abs(want[k]))]
    if "bootstrap_low" in want:  # of two random draws: a tenth of the interval
        width = want["bootstrap_high"] - want["bootstrap_low"]
        bad += [k for k in ("bootstrap_low", "bootstrap_high") if abs(got[k] - want[k]) > width / 10]
    return bad


def check_output(path, quiet=False):
    """Scores the runs that `colbertdb eval --runs --json` wrote and compares every figure."""
    printed = json.load(open(path))
    bad = figures = queries = 0
    measured = {}
    for r in printed["results"]:
        qrels = read_qrels(r["qrels"])
        asked = {q["query"] for q in r["per_query"]}
        values = score({q: v for q, v in qrels.items() if q in asked}, read_run(r["run"]), sorted({m["k"] for m in r["metrics"] if m["k"]}), r["min_grade"])
        name = f"{r['dataset']} ({r['split']}) {r['config']}"
        ndcg = []
        for m in r["metrics"]:
            k = m["k"] or max(k for _, k in values)
            want = values["all", k][NAMES.index(m["name"])]
            differs = abs(m["value"] - want) > 5e-5
            bad, figures = bad + differs, figures + 1
            if differs or not quiet:
                print(f"{name} {m['name']}{'@%d' % m['k'] if m['k'] else ''}: {m['value']:.6f}, trec_eval {want:.6f}{'  DIFFERS' if differs else ''}")
        for q in r["per_query"]:
            want = values[q["query"], r["k"]]
            got = [q[n] for n in NAMES]
            queries += 1
            if any(abs(a - b) > 5e-5 for a, b in zip(got, want)):
                bad += 1
                print(f"{name} query {q['query']}: {got}, trec_eval {want}")
        measured[r["dataset"], r["split"], r["config"]] = {q["query"]: q["nDCG"] for q in r["per_query"]}
    compared = 0
    for c in printed.get("comparisons") or []:
        if c["dataset"] not in {d for d, _, _ in measured}:
            continue  # over all collections together
        base, other = (measured[c["dataset"], c["split"], c[k]] for k in ("base", "config"))
        order = sorted(base)
        differs = check_comparison(c, compare(np.array([base[q] for q in order]), np.array([other[q] for q in order]), c["margin"]), len(order))
        compared += 1
        bad += bool(differs)
        if differs:
            print(f"{c['dataset']}: {c['config']} against {c['base']}: {differs} differ from SciPy's")
    print(f"{figures} means, {queries} queries and {compared} comparisons checked, {bad} differ")
    return bad


def draw(qrels, ids, rnd, skill):
    """A run of a made-up system: judged and other documents, few different scores."""
    run = {}
    for q in sorted(qrels):
        if rnd.random() < 0.02:
            continue  # no answer
        docs = {d: g for d, g in qrels[q].items() if rnd.random() < 0.8}
        for d in rnd.sample(ids, min(len(ids), rnd.choice((0, 10, 120)))):
            docs.setdefault(d, 0)
        run[q] = {d: round(skill * g + rnd.random(), rnd.choice((1, 1, 6))) for d, g in docs.items()}
        if not run[q]:
            del run[q]
    return run


def check_collections(folder, program):
    rnd = random.Random(20240607)
    bad, splits = 0, 0
    for corpus in sorted(pathlib.Path(folder).glob("*/corpus.jsonl")):
        ids = [str(json.loads(l)["_id"]) for l in open(corpus)]
        for file in sorted((corpus.parent / "qrels").glob("*.tsv")):
            qrels = read_qrels(file)
            grades = sorted({g for docs in qrels.values() for g in docs.values() if g > 0})
            splits += 1
            with tempfile.TemporaryDirectory() as tmp:
                runs = []
                for name, skill in (("strong", 0.5), ("weak", 0.2)):
                    runs.append(f"{tmp}/{corpus.parent.name}-{file.stem}-{name}.run")
                    with open(runs[-1], "w") as f:
                        for q, docs in draw(qrels, ids, rnd, skill).items():
                            for rank, (d, score) in enumerate(docs.items()):
                                f.write(f"{q} Q0 {d} {rank} {score!r} {name}\n")
                for grade in grades[:2]:
                    out = f"{tmp}/out.json"
                    with open(out, "w") as f:
                        args = [program, "eval", "--qrels", str(file), "-k", "10,1,100", "--min-grade", str(grade), "--json"]
                        subprocess.run(args + [a for r in runs for a in ("--score", r)], stdout=f, check=True)
                    print(f"{corpus.parent.name} {file.stem}, relevant from grade {grade} on: ", end="")
                    bad += check_output(out, quiet=True)
    print(f"{splits} splits, {bad} differ")
    return bad or splits == 0


def check_golden(write):
    if write:
        write_cases(*make_cases())
    qrels, run = read_qrels(DIR / "hostile.qrels"), read_run(DIR / "hostile.run")
    values = {(g, *key): row for g in GRADES for key, row in score(qrels, run, grade=g).items()}
    expected, comparisons = DIR / "hostile.expected", DIR / "comparisons.json"
    if write:
        with open(expected, "w") as f:
            f.write("# least relevant grade, query, k, nDCG recall MRR success MAP\n")
            for key, row in values.items():
                f.write(" ".join(map(str, key)) + " " + " ".join(f"{v:.6f}" for v in row) + "\n")
        with open(comparisons, "w") as f:
            json.dump([{"base": b.tolist(), "other": o.tolist(), "margin": m, "want": compare(b, o, m)} for b, o, m in make_comparisons()], f)
            f.write("\n")
    bad = 0
    lines = [l.split() for l in open(expected) if not l.startswith("#")]
    for g, q, k, *row in lines:
        if any(abs(float(a) - b) > 5e-5 for a, b in zip(row, values[int(g), q, int(k)])):
            bad += 1
            print(f"grade {g}, {q} at {k}: {row}, the scorer says {values[int(g), q, int(k)]}")
    print(f"{len(lines)} rows, {bad} differ")
    cases = json.load(open(comparisons))
    for i, c in enumerate(cases):
        want = compare(np.array(c["base"]), np.array(c["other"]), c["margin"])
        differs = [k for k, v in want.items() if v is not None and abs(c["want"][k] - v) > 1e-9]
        if differs:
            bad += 1
            print(f"comparison {i}: {differs} differ from SciPy's")
    print(f"{len(cases)} comparisons")
    return bad or len(lines) != len(values)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--write", action="store_true")
    args.add_argument("--eval", metavar="JSON")
    args.add_argument("--collections", metavar="DIR")
    args.add_argument("--colbertdb", metavar="PROGRAM", default="bin/colbertdb")
    args = args.parse_args()
    if args.eval:
        bad = check_output(args.eval)
    elif args.collections:
        bad = check_collections(args.collections, args.colbertdb)
    else:
        bad = check_golden(args.write)
    sys.exit(bad > 0)


main()
