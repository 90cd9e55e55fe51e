"""Weights of query tokens: the inverse document frequency of word pieces.

    python idf.py --work work/

MaxSim counts every query token alike, so that "the" and [SEP] say as much as
the word that matters. The weight of a piece is ln((N + 1) / (df + 0.5)) over the
training documents, at most MOST; [CLS] and [SEP], whose vectors stand for the
whole text, get SPECIAL. docs/model.md has what it brings on training material.
"""

import argparse
import collections
import json
import math
import pathlib

from tokenizers import Tokenizer

MOST, SPECIAL = 9.0, 2.0


def weights(documents, tok):
    df, n = collections.Counter(), 0
    for text in documents:
        df.update(set(tok.encode(text).ids))
        n += 1
    out = [round(min(MOST, math.log((n + 1) / (df[i] + 0.5))), 2) for i in range(tok.get_vocab_size())]
    for i, piece in enumerate(map(tok.id_to_token, range(len(out)))):
        if piece in ("[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"):
            out[i] = SPECIAL
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", type=pathlib.Path, default="work")
    a = p.parse_args()
    tok = Tokenizer.from_file(str(a.work / "tokenizer.json"))
    documents = dict.fromkeys(json.loads(line)["d"] for line in open(a.work / "train.jsonl", encoding="utf-8"))
    (a.work / "query_weights.json").write_text(json.dumps(weights(documents, tok), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
