"""Evaluates retrieval with PyLate's own code, over colbertdb or over PyLate's PLAID: the
line that makes the index is the only difference.

    python pylate_eval.py shared/data/scifact colbertdb
    python pylate_eval.py shared/data/scifact plaid

The folder is one of BEIR; a second number bounds its documents. Texts are encoded by the
server's model (COLBERTDB_URL, else a server that is started here); with a model of
PyLate, models.ColBERT(…).encode stands there. Needs PyLate and ranx.
"""

import json
import sys
from pathlib import Path

from pylate import evaluation, indexes, retrieve

import colbertdb.pylate
from colbertdb import local


def main(folder: str, which: str, most: str = "100000") -> None:
    lines = [json.loads(line) for line in (Path(folder) / "corpus.jsonl").open()][: int(most)]
    documents = {d["_id"]: (d.get("title", "") + " " + d["text"]).strip() for d in lines}
    qrels: dict[str, dict[str, int]] = {}
    for line in (Path(folder) / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if document in documents:
            qrels.setdefault(query, {})[document] = int(grade)
    texts = {q["_id"]: q["text"] for q in map(json.loads, (Path(folder) / "queries.jsonl").open())}

    db = local.connect("indexes/colbertdb")
    parts = [list(documents.values())[i : i + 64] for i in range(0, len(documents), 64)]
    documents_embeddings = [v for part in parts for v in db.encode_documents(part).vectors]
    queries_embeddings = db.encode_queries([texts[q] for q in qrels]).vectors

    if which == "plaid":
        index = indexes.PLAID(index_folder="indexes", index_name="eval", override=True, device="cpu")
    else:
        index = colbertdb.pylate.Index(index_folder="indexes", index_name="eval", override=True)
    index.add_documents(documents_ids=list(documents), documents_embeddings=documents_embeddings)
    scores = retrieve.ColBERT(index=index).retrieve(queries_embeddings=queries_embeddings, k=100)
    metrics = evaluation.evaluate(scores=scores, qrels=qrels, queries=list(qrels), metrics=["ndcg@10", "recall@100", "mrr@10"])
    print({name: round(float(value), 4) for name, value in metrics.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
