"""The Python engines of peers.py.

    drivers.py ENGINE build  VECTORS INDEX
    drivers.py ENGINE search VECTORS INDEX K SETTING   every query alone, then all at once
    drivers.py ENGINE add    VECTORS INDEX N           N documents, one by one
"""

import importlib.metadata
import json
import os
import sys
import time

import numpy as np


def read(folder, name, lens):
    flat, n = np.load(f"{folder}/{name}.npy", mmap_mode="r"), np.load(f"{folder}/{lens}.npy")
    ends = np.cumsum(n)
    return [np.asarray(flat[e - k:e], dtype=np.float32) for e, k in zip(ends, n)]


def tensors(vectors):
    import torch

    return [torch.from_numpy(v) for v in vectors]


class FastPlaid:
    package = "fast-plaid"

    def open(self, index):
        from fast_plaid import search

        self.x = search.FastPlaid(index=index, device="cpu")

    def build(self, docs):
        self.x.create(documents_embeddings=tensors(docs), use_triton_kmeans=False)

    def setting(self, s):
        self.n_ivf_probe, self.n_full_scores = map(int, s.split("/"))

    def search(self, queries, k):
        found = self.x.search(queries_embeddings=queries, top_k=k, n_ivf_probe=self.n_ivf_probe, n_full_scores=self.n_full_scores, show_progress=False)
        return [[int(i) for i, _ in f] for f in found]

    def queries(self, queries):
        return [[q] for q in tensors(queries)], tensors(queries)

    def add(self, doc):
        self.x.update(documents_embeddings=tensors([doc]))


class PyLate:
    package = "pylate"

    def open(self, index):
        from pylate import indexes

        root, name = os.path.split(os.path.abspath(index))
        self.x = indexes.PLAID(index_folder=root, index_name=name, override=not os.path.exists(index), use_triton=False, show_progress=False, device="cpu")
        self.n = 0

    def build(self, docs):
        self.x.add_documents(documents_ids=[str(i) for i in range(len(docs))], documents_embeddings=docs)

    def setting(self, s):
        n_ivf_probe, n_full_scores = map(int, s.split("/"))
        self.x._index.n_ivf_probe, self.x._index.n_full_scores = n_ivf_probe, n_full_scores

    def search(self, queries, k):
        return [[int(r["id"]) for r in found] for found in self.x(queries, k=k)]

    def queries(self, queries):
        return [[q] for q in queries], queries

    def add(self, doc):
        self.n += 1
        self.x.add_documents(documents_ids=[f"new-{self.n}"], documents_embeddings=[doc])


class XTRWarp:
    package = "xtr-warp-rs"

    def open(self, index):
        from xtr_warp.search import XTRWarp

        made = os.path.exists(index)
        self.x = XTRWarp(index=index)
        if made:
            self.x.load(device="cpu")

    def build(self, docs):
        self.x.create(tensors(docs), device="cpu", show_progress=False)

    def setting(self, s):
        self.nprobe = None if s == "auto" else int(s)

    def search(self, queries, k):
        found = self.x.search(queries, top_k=k, nprobe=self.nprobe, num_threads=1, show_progress=False)
        return [[int(i) for i, _ in f] for f in found]

    def queries(self, queries):
        return [[q] for q in tensors(queries)], tensors(queries)

    def add(self, doc):
        self.x.add(tensors([doc]), show_progress=False)


class LanceDB:
    package = "lancedb"

    def open(self, index):
        import lancedb

        self.db = lancedb.connect(index)
        self.n = 1 << 24
        if "docs" in self.db.table_names():
            self.x = self.db.open_table("docs")

    def rows(self, first, docs):
        import pyarrow as pa

        dim = docs[0].shape[1]
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.list_(pa.float32(), dim)))])
        flat = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(docs).reshape(-1)), dim)
        ends = np.concatenate([[0], np.cumsum([len(d) for d in docs])]).astype(np.int32)
        vectors = pa.ListArray.from_arrays(pa.array(ends), flat)
        return pa.table([pa.array(range(first, first + len(docs)), pa.int64()), vectors], schema=schema)

    def build(self, docs):
        for first in range(0, len(docs), 2000):
            rows = self.rows(first, docs[first:first + 2000])
            if first == 0:
                self.x = self.db.create_table("docs", rows)
            else:
                self.x.add(rows)
        self.x.create_index(metric="cosine", vector_column_name="vector")

    def setting(self, s):
        self.nprobes, self.refine = map(int, s.split("/"))

    def search(self, queries, k):
        out = []
        for q in queries:
            s = self.x.search(q).select(["id"]).limit(k).nprobes(self.nprobes)
            if self.refine:
                s = s.refine_factor(self.refine)
            out.append([int(i) for i in s.to_arrow()["id"].to_pylist()])
        return out

    def queries(self, queries):
        return [[q] for q in queries], queries

    def add(self, doc):
        self.n += 1
        self.x.add(self.rows(self.n, [doc]))


def main(engine, verb, vectors, index, *args):
    x = {"fast-plaid": FastPlaid, "pylate": PyLate, "xtr-warp": XTRWarp, "lancedb": LanceDB}[engine]()
    if verb == "build":
        docs = read(vectors, "docs", "doclens")
        start = time.monotonic()
        x.open(index)
        x.build(docs)
        return {"build_s": time.monotonic() - start, "version": importlib.metadata.version(x.package)}
    import torch

    torch.set_num_threads(1)
    x.open(index)
    if verb == "add":
        ms = []
        for doc in read(vectors, "docs", "doclens")[:int(args[0])]:
            start = time.monotonic()
            x.add(doc)
            ms.append(1000 * (time.monotonic() - start))
        return {"ms": ms}
    k = int(args[0])
    x.setting(args[1])
    single, batch = x.queries(read(vectors, "queries", "querylens"))
    for q in single[:10]:  # warm
        x.search(q, k)
    ms, rankings = [], []
    for q in single:
        start = time.monotonic()
        rankings += x.search(q, k)
        ms.append(1000 * (time.monotonic() - start))
    start = time.monotonic()
    x.search(batch, k)
    return {"ms": ms, "rankings": rankings, "batch_s": time.monotonic() - start}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
