#!/usr/bin/env python3
"""Writes encoder/testdata/pool.json: documents pooled with SciPy's Ward clustering.

    python3 -m venv venv && venv/bin/pip install scipy
    venv/bin/python scripts/pool_golden.py
"""
import json
import pathlib

import numpy as np
from scipy.cluster import hierarchy

PATH = pathlib.Path(__file__).resolve().parent.parent / "encoder" / "testdata" / "pool.json"


def unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def pool(v, factor):
    """The first vector alone, the others in Ward's clusters by their first member."""
    n = len(v)
    k = max(1, -(-n // factor) - 1)
    labels = hierarchy.fcluster(hierarchy.linkage(v[1:], method="ward"), k, criterion="maxclust")
    order = list(dict.fromkeys(labels))
    return np.vstack([v[:1]] + [unit(v[1:][labels == c].sum(0))[None] for c in order])


rnd = np.random.default_rng(20240607)
cases = []
for n, dim, factor in ((3, 8, 2), (10, 8, 2), (41, 8, 3), (64, 16, 4), (90, 8, 6), (12, 8, 50)):
    # Tokens repeat each other with noise, as a text's do.
    topics = unit(rnd.normal(size=(max(2, n // 4), dim)))
    v = unit(topics[rnd.integers(len(topics), size=n)] + rnd.normal(scale=0.3, size=(n, dim))).astype(np.float32)
    cases.append({"Dim": dim, "Factor": factor, "Vectors": [round(float(x), 7) for x in v.ravel()],
                  "Out": [round(float(x), 7) for x in pool(v.astype(float), factor).ravel()]})
PATH.parent.mkdir(exist_ok=True)
PATH.write_text(json.dumps(cases) + "\n")
