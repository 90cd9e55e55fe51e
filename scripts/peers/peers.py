"""Measures colbertdb and other late-interaction engines side by side.

    peers.py vectors OUT N IN...      one folder of several, in float32, N queries of each
    peers.py build   --vectors DIR --work DIR [ENGINE...]
    peers.py measure --vectors DIR --work DIR [--cpu N] [ENGINE...]
    peers.py table   --work DIR       what was measured, as Markdown

A vectors folder is what `colbertdb bench --vectors` keeps: docs.npy [tokens][dim] in float32,
doclens.npy, queries.npy, querylens.npy. Every engine gets the same vectors, and every
query unweighted; encoding is not measured. Each engine is a driver, a program with the
verbs build, search and add (DRIVERS below) that prints one JSON value. build may use
all cores; search and add are pinned to one, with one thread.

recall is against exact MaxSim of the float32 vectors, over the rankings that the
drivers return. Packages: README.md; next-plaid needs cargo, colbertdb go.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))

# The settings that are searched, the engine's default first. Those after it spend more
# or less; the table shows the default, and the fastest that reaches recall@10 of TARGET.
TARGET = 0.95
DRIVERS = {
    "colbertdb": ["fast", "default", "high"],
    "colbertdb-balanced": ["fast", "default", "high"],
    "fast-plaid": ["8/8192", "4/1024", "4/2048", "8/4096", "16/8192", "32/16384"],
    "pylate": ["8/8192", "16/8192"],
    "next-plaid": ["8/4096/0.4", "4/1024/0.4", "8/1024/0.4", "8/2048/0.4", "16/4096/0.4", "16/8192/0", "32/16384/0"],
    "xtr-warp": ["auto", "4", "8", "16", "32", "64"],
    "lancedb": ["20/0", "20/10", "50/20", "100/50"],
}
DEFAULT = {"colbertdb": "default", "colbertdb-balanced": "default"}


def command(engine):
    base = engine.split("-balanced")[0]
    if base == "colbertdb":
        return [os.path.join(HERE, "bin", "colbertdb-driver"), "balanced" if engine != base else "exact"]
    if base == "next-plaid":
        return [os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "nextplaid", "target")), "release", "nextplaid")]
    return [sys.executable, os.path.join(HERE, "drivers.py"), engine]


def prepare(engines):
    """Builds the drivers that are compiled."""
    if any(e.startswith("colbertdb") for e in engines):
        subprocess.run(["go", "build", "-o", os.path.join(HERE, "bin", "colbertdb-driver"), "./colbertdb"], check=True, cwd=HERE)
    if "next-plaid" in engines:
        env = os.environ | {"RUSTFLAGS": "-C target-cpu=native"}
        subprocess.run(["cargo", "build", "-q", "--release", "--manifest-path", os.path.join(HERE, "nextplaid", "Cargo.toml")], check=True, env=env)


def run(engine, verb, *args, cpu=None):
    """Runs a driver; returns what it says, with its wall time and greatest RSS."""
    cmd = command(engine) + [verb, *map(str, args)]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
    if cpu is not None:
        cmd = ["taskset", "-c", str(cpu)] + cmd
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "LANCE_CPU_THREADS", "GOMAXPROCS"):
            env[name] = "1"
    start = time.monotonic()
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, env=env)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    if status != 0:
        raise RuntimeError(f"{' '.join(cmd)}: status {status}")
    r = json.loads(out.decode().strip().splitlines()[-1])
    r.update(wall_s=time.monotonic() - start, rss_mb=usage.ru_maxrss / 1024)
    return r


def split(folder, name, lens):
    flat = np.load(f"{folder}/{name}.npy", mmap_mode="r")
    n = np.load(f"{folder}/{lens}.npy")
    return flat, n


def truth(folder, k=100):
    """The exact ranking of every query, document numbers [queries][k]."""
    path = f"{folder}/truth-{k}.npy"
    if os.path.exists(path):
        return np.load(path)
    docs, lens = split(folder, "docs", "doclens")
    queries, qlens = split(folder, "queries", "querylens")
    starts = np.concatenate([[0], np.cumsum(lens)])
    ends = np.cumsum(qlens)
    scores = np.empty((len(qlens), len(lens)), dtype=np.float32)
    step = 2000  # documents at a time
    for first in range(0, len(lens), step):
        last = min(first + step, len(lens))
        block = np.asarray(docs[starts[first]:starts[last]], dtype=np.float32)
        at = starts[first:last] - starts[first]
        for i, (e, n) in enumerate(zip(ends, qlens)):
            sims = block @ np.asarray(queries[e - n:e], dtype=np.float32).T
            scores[i, first:last] = np.maximum.reduceat(sims, at, axis=0).sum(1)
    out = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
    np.save(path, out)
    return out


def recall(rankings, want, k):
    return float(np.mean([len(set(r[:k]) & set(w[:k].tolist())) / k for r, w in zip(rankings, want)]))


def size(path):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(path) for f in files)


def results(work):
    path = f"{work}/results.json"
    return json.load(open(path)) if os.path.exists(path) else {}


def save(work, engine, **more):
    r = results(work)
    r.setdefault(engine, {}).update(more)
    with open(f"{work}/results.json.part", "w") as f:
        json.dump(r, f, indent=1)
    os.rename(f"{work}/results.json.part", f"{work}/results.json")


def build(o):
    for engine in o.engines:
        index = f"{o.work}/{engine}"
        shutil.rmtree(index, ignore_errors=True)
        b = run(engine, "build", o.vectors, index)
        b["bytes"] = size(index)
        save(o.work, engine, build=b)
        print(engine, json.dumps(b), flush=True)


def measure(o):
    want = truth(o.vectors)
    tokens = int(np.load(f"{o.vectors}/doclens.npy").sum())
    for engine in o.engines:
        index, points = f"{o.work}/{engine}", {}
        for setting in DRIVERS[engine]:
            # Top 100 first, for recall@100; then top 10, which is timed.
            deep = run(engine, "search", o.vectors, index, 100, setting, cpu=o.cpu)
            r = run(engine, "search", o.vectors, index, 10, setting, cpu=o.cpu)
            ms = np.array(r["ms"])
            points[setting] = {
                "recall10": recall(r["rankings"], want, 10), "recall100": recall(deep["rankings"], want, 100),
                "p50": float(np.percentile(ms, 50)), "p95": float(np.percentile(ms, 95)),
                "batched": r["batch_s"] * 1000 / len(ms), "rss_mb": r["rss_mb"],
            }
            print(engine, setting, json.dumps(points[setting]), flush=True)
        copy = f"{o.work}/{engine}-copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(index, copy)
        add = run(engine, "add", o.vectors, copy, 20, cpu=o.cpu)
        shutil.rmtree(copy)
        save(o.work, engine, points=points, add=add["ms"], tokens=tokens, queries=len(want))


def table(o):
    rows = []
    for engine, r in results(o.work).items():
        if "points" not in r:
            continue
        b, default = r["build"], DEFAULT.get(engine, DRIVERS[engine][0])
        good = [s for s, p in r["points"].items() if p["recall10"] >= TARGET]
        best = min(good, key=lambda s: r["points"][s]["p50"]) if good else None
        for setting in dict.fromkeys([default, best or max(r["points"], key=lambda s: r["points"][s]["recall10"])]):
            p = r["points"][setting]
            kind = " and ".join(k for k, yes in [("default", setting == default), (f"fastest at ≥ {TARGET}", setting == best), ("highest recall", not good and setting != default)] if yes)
            rows.append((p["p50"], f"| {engine} {b['version']} | {setting} ({kind}) | {p['recall10']:.3f} | {p['recall100']:.3f} | {p['p50']:.2f} | {p['p95']:.2f} | {p['batched']:.2f} | {b['build_s']:.0f} | {b['bytes'] / r['tokens']:.0f} | {p['rss_mb']:.0f} | {np.median(r['add']):.1f} |"))
    print("| engine | setting | recall@10 | recall@100 | p50, ms | p95, ms | batched, ms a query | build, s | bytes a token | RSS, MB | one document added, ms |\n|" + "---|" * 11)
    for _, row in sorted(rows):
        print(row)


def merge(out, limit, folders):
    """Documents of several folders in one, and some queries of each, evenly drawn."""
    os.makedirs(out, exist_ok=True)

    def write(name, parts):
        whole = np.lib.format.open_memmap(f"{out}/{name}.npy", mode="w+", dtype=np.float32 if parts[0].dtype == np.float16 else parts[0].dtype, shape=(sum(map(len, parts)), *parts[0].shape[1:]))
        at = 0
        for p in parts:
            whole[at:at + len(p)] = p
            at += len(p)

    for name in ("docs", "doclens"):
        write(name, [np.load(f"{f}/{name}.npy", mmap_mode="r") for f in folders])
    queries, lens = [], []
    for f in folders:
        flat, n = split(f, "queries", "querylens")
        ends = np.cumsum(n)
        for i in np.linspace(0, len(n) - 1, min(limit, len(n))).astype(int):
            queries.append(flat[ends[i] - n[i]:ends[i]])
            lens.append(n[i:i + 1])
    write("queries", queries)
    write("querylens", lens)


if __name__ == "__main__":
    if sys.argv[1:2] == ["vectors"]:
        merge(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
        sys.exit()
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("verb", choices=["build", "measure", "table"])
    p.add_argument("engines", nargs="*", default=[])
    p.add_argument("--vectors")
    p.add_argument("--work", required=True)
    p.add_argument("--cpu", type=int, default=1)
    o = p.parse_intermixed_args()
    o.engines = o.engines or list(DRIVERS)
    os.makedirs(o.work, exist_ok=True)
    if o.verb != "table":
        prepare(o.engines)
    {"build": build, "measure": measure, "table": table}[o.verb](o)
