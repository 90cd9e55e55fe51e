#!/usr/bin/env python3
"""Compares query/eval with an independent scorer, trec_eval itself (pytrec-eval-terrier).

    python3 -m venv venv && venv/bin/pip install pytrec-eval-terrier
    venv/bin/python scripts/check_eval.py            # do the expected values still hold?
    venv/bin/python scripts/check_eval.py --write    # make the cases and the values anew

    colbertdb eval scifact --run scifact.run --json > scifact.json
    venv/bin/python scripts/check_eval.py --collection scifact scifact.run scifact.json

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
import sys

import pytrec_eval

DIR = pathlib.Path(__file__).resolve().parent.parent / "query" / "eval" / "testdata"
CUTS = (1, 3, 10, 100)


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


def read_cases():
    qrels, run = {}, {}
    for line in open(DIR / "hostile.qrels"):
        q, _, d, g = line.split()
        qrels.setdefault(q, {})[d] = int(g)
    for line in open(DIR / "hostile.run"):
        q, _, d, _, s, _ = line.split()
        run.setdefault(q, {})[d] = float(s)
    return qrels, run


def score(qrels, run, cuts=CUTS):
    """{(query, cut): [ndcg, recall, mrr, success, map]}, "all" for the means."""
    measures = {"map", "recip_rank"} | {f"{m}.{','.join(map(str, cuts))}" for m in ("ndcg_cut", "recall", "success")}
    scored = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
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


def check_collection(folder, run_file, json_file):
    """Scores a run of `colbertdb eval` and compares its printed figures."""
    printed = json.load(open(json_file))
    qrels, run = {}, {}
    for line in list(open(pathlib.Path(folder) / "qrels" / (printed["split"] + ".tsv")))[1:]:
        q, d, g = line.split("\t")
        qrels.setdefault(q, {})[d] = int(g)
    for line in open(run_file):
        q, _, d, _, s, _ = line.split()
        run.setdefault(q, {})[d] = float(s)
    cuts = sorted({m["k"] for m in printed["metrics"]})
    values = score(qrels, run, cuts)
    bad = 0
    for m in printed["metrics"]:
        want = values["all", m["k"]][["nDCG", "recall", "MRR", "success"].index(m["name"])]
        differs = abs(m["value"] - want) > 5e-5
        bad += differs
        print(f"{printed['dataset']} {m['name']}@{m['k']}: {m['value']:.6f}, trec_eval {want:.6f}{'  DIFFERS' if differs else ''}")
    return bad


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--write", action="store_true")
    args.add_argument("--collection", nargs=3, metavar=("DIR", "RUN", "JSON"))
    args = args.parse_args()
    if args.collection:
        sys.exit(check_collection(*args.collection) > 0)
    write = args.write
    if write:
        write_cases(*make_cases())
    values = score(*read_cases())
    path = DIR / "hostile.expected"
    if write:
        with open(path, "w") as f:
            f.write("# query k nDCG recall MRR success MAP\n")
            for (q, k), row in values.items():
                f.write(f"{q} {k} " + " ".join(f"{v:.6f}" for v in row) + "\n")
    bad = 0
    lines = [l.split() for l in open(path) if not l.startswith("#")]
    for q, k, *row in lines:
        if any(abs(float(a) - b) > 5e-5 for a, b in zip(row, values[q, int(k)])):
            bad += 1
            print(f"{q} at {k}: {row}, the scorer says {values[q, int(k)]}")
    print(f"{len(lines)} rows, {bad} differ")
    sys.exit(bad > 0 or len(lines) != len(values))


main()
