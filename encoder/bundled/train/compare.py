"""The command's encoder against the training code and Python's ONNX Runtime.

    python compare.py --command COMMAND [--work work/] [--float FLOAT_MODEL_FOLDER] [--texts 1000] [--speed]

Takes texts of the training material, encodes them with `colbertdb encode` and
with the training code's float32 weights, and prints the cosines of the token
vectors. --float names a model folder with the float32 graph (export.py --float),
which the command runs on ONNX Runtime. --model is the bundled model's folder,
for its tokenizer and for Python. --speed instead times the command and
ONNX Runtime in Python in alternation, both with the quantised model, both from
text to vectors.
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
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "export"))
import export  # noqa: E402
import train  # noqa: E402
from evaluate import Encoder  # noqa: E402

DOC_LEN = 300


def texts(work, n):
    """Every k-th training document, so that all sources are there."""
    rows = [json.loads(line)["d"] for line in open(work / "train.jsonl", encoding="utf-8")]
    rows = [r for r in dict.fromkeys(rows) if r.strip()]
    return rows[:: max(1, len(rows) // n)][:n]


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
    p.add_argument("--work", type=pathlib.Path, default="work")
    p.add_argument("--model", type=pathlib.Path, default="../model")
    p.add_argument("--float", type=pathlib.Path)
    p.add_argument("--texts", type=int, default=1000)
    p.add_argument("--speed", action="store_true")
    a = p.parse_args()
    rows = texts(a.work, a.texts)
    tok = Tokenizer.from_file(str(a.model / "tokenizer.json"))
    if a.speed:
        return speed(a, rows, tok)
    weights = load_file(a.work / "trained.safetensors")
    model, batch = train.build(weights), train.Texts(tok)
    want = [keep.numpy() for _, keep in train.encode(model, batch, rows, DOC_LEN)]
    cosines("the bundled int8 model in the command", vectors(encode(a.command, rows)), want)
    if a.float:
        cosines("the float32 graph in the command", vectors(encode(a.command, rows, a.float)), want)


def speed(a, rows, tok):
    """Best of three for each, the start of the process and the load left out."""
    encoder = Encoder((a.model / "model_int8.onnx").read_bytes(), tok)
    encoder.encode(rows[:64], DOC_LEN, True)  # warms up
    ours, theirs = [], []
    for _ in range(3):
        start = time.time()
        encode(a.command, rows[:1])
        load = time.time() - start
        start = time.time()
        encode(a.command, rows)
        ours.append(time.time() - start - load)
        start = time.time()
        tokens = sum(len(x) for x in encoder.encode(rows, DOC_LEN, True))
        theirs.append(time.time() - start)
    print(f"{len(rows)} texts, {tokens} tokens, {os.cpu_count()} cores")
    print(f"command (with writing JSON): {tokens / min(ours):.0f} tokens a second")
    print(f"Python, ONNX Runtime:        {tokens / min(theirs):.0f} tokens a second; ratio {min(theirs) / min(ours):.2f}")


if __name__ == "__main__":
    main()
