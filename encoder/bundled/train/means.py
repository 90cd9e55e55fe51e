"""Fit the projections of a text's mean that stand in the places of the pooled tokens.

    python means.py --work work/

export.pooled_projections tells how. Adds them to work/trained.safetensors.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "export"))
import export  # noqa: E402
import train  # noqa: E402

DOCUMENTS, LENGTH = 3000, 128


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", type=pathlib.Path, default="work")
    a = p.parse_args()
    weights = load_file(a.work / "trained.safetensors")
    rows = list(dict.fromkeys(json.loads(line)["d"] for line in open(a.work / "train.jsonl", encoding="utf-8")))
    rows = sorted(rows[:: max(1, len(rows) // DOCUMENTS)][:DOCUMENTS], key=len)
    model, texts = train.build(weights), train.Texts(Tokenizer.from_file(str(a.work / "tokenizer.json")))
    means = []
    with torch.no_grad():
        for at in range(0, len(rows), 64):
            ids, mask, _ = texts.batch(rows[at : at + 64], LENGTH)
            means.append(model(ids, mask, pooled=True)[1])
    projections = export.pooled_projections(torch.cat(means).numpy())
    save_file({**weights, **{k: torch.tensor(v).contiguous() for k, v in projections.items()}}, a.work / "trained.safetensors")


if __name__ == "__main__":
    main()
