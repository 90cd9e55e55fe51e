"""The command's encoder against the training code and Python's ONNX Runtime.

    python compare.py --command COMMAND --data DATA [--weights work/trained.safetensors] [--texts 1000] [--speed]

Takes documents of the training material, encodes them with `colbertdb encode`
and with the training code in float32, and prints the cosines of the token
vectors: of the bundled int8 model, which the command runs in Go, and of the float32
graph of the same weights, which it runs on ONNX Runtime. The weights are those
of the bundled model, widened from int8, or a training's own with --weights: then
the first figure is what the quantisation cost. --speed instead times the command and ONNX Runtime in Python in
alternation, both with the quantised model, both from text to vectors.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import load_file
from tokenizers import Tokenizer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "export"))
import export  # noqa: E402
import pairs  # noqa: E402
import train  # noqa: E402
from evaluate import Encoder  # noqa: E402

DOC_LEN = 300


def texts(data, n):
    """Every k-th document of each collection that training may read."""
    rows = []
    for name in ("scifact", "medquad", "cosqa"):
        with pairs.allowed(data, f"{name}/corpus.jsonl") as f:
            docs = [(r.get("title", "") + "\n" + r["text"]).strip() for r in map(json.loads, f)]
        docs = [d for d in dict.fromkeys(docs) if d]
        rows += docs[:: len(docs) // (n // 3 + 1)][: n // 3 + 1]
    return rows[:n]


def widened(path):
    """The weights of an int8 graph by the names of the training code."""
    t = {i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}

    def matrix(name, axis=1):
        scale = t[name + "_scale"]
        return t[name + "_int8"].astype(np.float32) * (scale[None] if axis else scale[:, None])

    w = {name: v for name, v in t.items() if "LayerNorm" in name}
    w["embeddings.word_embeddings.weight"], w["embeddings.position_embeddings.weight"] = matrix("words", 0), t["positions"]
    w["embeddings.token_type_embeddings.weight"] = np.zeros((2, export.HIDDEN), np.float32)  # is in the positions'
    for i in range(export.LAYERS):
        for short, name in {
            "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
            "out": "attention.output.dense", "up": "intermediate.dense", "down": "output.dense",
        }.items():  # fmt: skip
            p = f"encoder.layer.{i}.{name}."
            w[p + "weight"], w[p + "bias"] = matrix(f"l{i}_{short}").T, t[f"l{i}_{short}_bias"]
    for name in train.PROJECTIONS:
        w[name] = matrix(name).T
    return {k: torch.tensor(np.ascontiguousarray(v)) for k, v in w.items()}


def encode(path, rows, model="bundled"):
    """The command's output for some texts."""
    with tempfile.TemporaryDirectory() as tmp:
        f = pathlib.Path(tmp) / "texts.jsonl"
        f.write_text("".join(json.dumps({"_id": str(i), "text": t}) + "\n" for i, t in enumerate(rows)))
        return subprocess.run([path, "encode", "--input", f, "--model", model], stdout=subprocess.PIPE, check=True).stdout


def vectors(out):
    """One [tokens][dim] matrix a text."""
    return [np.array(json.loads(line)["vectors"], np.float32) for line in out.splitlines()]


def cosines(name, a, b):
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if x.shape != y.shape:
            raise ValueError(f"{name}: text {i}: {x.shape} and {y.shape}")
    c = np.concatenate([(export.unit(x) * export.unit(y)).sum(-1) for x, y in zip(a, b)])
    print(f"{name}: {len(a)} texts, {len(c)} token vectors, cosine mean {c.mean():.6f}, 1st percentile {np.percentile(c, 1):.6f}, least {c.min():.6f}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--command", required=True)
    p.add_argument("--data", type=pathlib.Path, required=True)
    p.add_argument("--model", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "model")
    p.add_argument("--weights", type=pathlib.Path)
    p.add_argument("--texts", type=int, default=1000)
    p.add_argument("--speed", action="store_true")
    a = p.parse_args()
    rows = texts(a.data, a.texts)
    tok = Tokenizer.from_file(str(a.model / "tokenizer.json"))
    if a.speed:
        return speed(a, rows, tok)
    weights = load_file(a.weights) if a.weights else widened(a.model / "model_int8.onnx")
    model, batch = train.build(weights), train.Texts(tok)
    want = [keep.numpy() for _, keep in train.encode(model, batch, rows, DOC_LEN)]
    cosines("the bundled int8 model in the command", vectors(encode(a.command, rows)), want)
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        for name in ("tokenizer.json", "onnx_config.json", "query_weights.json"):
            (folder / name).write_bytes((a.model / name).read_bytes())
        arrays = {k: v.numpy() for k, v in weights.items()}
        (folder / "model.onnx").write_bytes(export.build(arrays, False, {k: arrays[k] for k in train.PROJECTIONS}))
        cosines("the float32 graph in the command", vectors(encode(a.command, rows, folder)), want)


def speed(a, rows, tok):
    """The median of three for each, the start of the process and the load left out."""
    encoder = Encoder((a.model / "model_int8.onnx").read_bytes(), tok)
    encoder.encode(rows[:64], DOC_LEN, False, export.POOLED)  # warms up
    ours, theirs = [], []
    for _ in range(3):
        start = time.time()
        encode(a.command, rows[:1])
        load = time.time() - start
        start = time.time()
        encode(a.command, rows)
        ours.append(time.time() - start - load)
        start = time.time()
        tokens = sum(len(x) for x in encoder.encode(rows, DOC_LEN, False, export.POOLED))
        theirs.append(time.time() - start)
    ours, theirs = np.median(ours), np.median(theirs)
    print(f"{len(rows)} texts, {tokens} token vectors, {os.cpu_count()} cores")
    print(f"command (with writing JSON): {tokens / ours:.0f} token vectors a second")
    print(f"Python, ONNX Runtime:        {tokens / theirs:.0f} token vectors a second; ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
