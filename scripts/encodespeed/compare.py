#!/usr/bin/env python3
"""Documents a second of a model folder: this project's encoder and the same ONNX graph
driven from Python, in one run, in alternation.

    pip install onnxruntime tokenizers numpy       # onnxruntime 1.24.1 or later
    scripts/encodespeed/compare.py MODEL TEXTS.jsonl [--texts 64] [--rounds 3]

Both go from text to unit vectors on all cores, with the library of the Python package.
Python sorts the texts by length, so that batches are padded little, and has the batch
size of 1 to 64 that is best on every third text. What is printed is the median of the
rounds.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def library():
    """The environment with the library that this process has."""
    names = os.path.join(os.path.dirname(ort.__file__), "capi", "libonnxruntime.*")
    found = [f for f in glob.glob(names) if os.path.getsize(f) > 1 << 20]
    return {**os.environ, "COLBERTDB_ONNXRUNTIME": found[0]} if found else None


class Python:
    def __init__(self, folder, facts):
        self.facts = facts
        self.session = ort.InferenceSession(os.path.join(folder, facts["graph"]), providers=["CPUExecutionProvider"])
        self.inputs = [i.name for i in self.session.get_inputs()]
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.skip = [self.tokenizer.token_to_id(w) for w in facts["skip"] or []]

    def encode(self, texts, batch):
        """The number of vectors and the vectors, unit ones."""
        f = self.facts
        marker = [] if f["marker"] is None else [f["marker"]]
        before = f["before"][:1] + marker + f["before"][1:]
        room = f["length"] - len(before) - len(f["after"])
        ids = [before + e.ids[:room] + f["after"] for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        out, n = [None] * len(ids), 0
        for at in range(0, len(order), batch):
            part = order[at : at + batch]
            rows = np.full((len(part), len(ids[part[0]])), f["pad"], np.int64)
            mask = np.zeros_like(rows)
            for r, i in enumerate(part):
                rows[r, : len(ids[i])], mask[r, : len(ids[i])] = ids[i], 1
            feed = {"input_ids": rows, "attention_mask": mask, "token_type_ids": np.zeros_like(rows)}
            vectors = self.session.run(None, {k: feed[k] for k in self.inputs})[0].astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
            for r, i in enumerate(part):
                out[i] = vectors[r, : len(ids[i])][~np.isin(ids[i], self.skip)]
                n += len(out[i])
        return n, out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("texts_file")
    p.add_argument("--texts", type=int, default=64)
    p.add_argument("--rounds", type=int, default=3)
    a = p.parse_args()
    with open(a.texts_file, encoding="utf-8") as f:
        rows = [r["text"] for r in map(json.loads, f) if r.get("text")]
    rows = rows[:: max(1, len(rows) // a.texts)][: a.texts]
    with tempfile.TemporaryDirectory() as tmp:
        texts, command = os.path.join(tmp, "texts.jsonl"), os.path.join(tmp, "encodespeed")
        with open(texts, "w", encoding="utf-8") as f:
            f.writelines(json.dumps({"text": t}) + "\n" for t in rows)
        subprocess.run(["go", "build", "-o", command, "./scripts/encodespeed"], cwd=ROOT, check=True)
        with subprocess.Popen([command, os.path.abspath(a.model), texts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=library()) as go:
            python = Python(a.model, json.loads(go.stdout.readline()))

            def ours():
                go.stdin.write("\n")
                go.stdin.flush()
                seconds, n = go.stdout.readline().split()
                return float(seconds), int(n)

            def theirs(batch, rows):
                start = time.perf_counter()
                n, _ = python.encode(rows, batch)
                return time.perf_counter() - start, n

            theirs(4, rows[:4])  # warms up
            some = rows[::3]
            speeds = {b: len(some) / theirs(b, some)[0] for b in (1, 2, 4, 8, 16, 32, 64)}
            best = max(speeds, key=speeds.get)
            print("Python, documents a second by batch size:", {b: round(s, 2) for b, s in speeds.items()}, flush=True)
            mine, other, n, m = [], [], 0, 0
            for _ in range(a.rounds):
                s, n = ours()
                mine.append(s)
                s, m = theirs(best, rows)
                other.append(s)
            go.stdin.close()
        if n != m:
            raise SystemExit(f"{n} vectors here, {m} in Python: they do not compute the same")
        ratios = [o / s for o, s in zip(other, mine)]
        print(f"{len(rows)} documents, {n} vectors, {os.cpu_count()} cores, ONNX Runtime {ort.__version__}")
        print(f"here:   {len(rows) / statistics.median(mine):.2f} documents a second")
        print(f"Python: {len(rows) / statistics.median(other):.2f} with batches of {best}")
        print(f"ratio:  {statistics.median(ratios):.3f} (rounds {', '.join(f'{r:.3f}' for r in ratios)})")


if __name__ == "__main__":
    main()
