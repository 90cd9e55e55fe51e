"""The index for PyLate. What needs PyLate itself, and torch with it, is skipped where it
is not installed: pip install 'integrations/python[pylate]' ranx."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import colbertdb
from colbertdb import Client, local
from colbertdb.pylate import Index


def unit(rng: np.random.Generator, tokens: int, dim: int = 64) -> Any:
    m = rng.standard_normal((tokens, dim)).astype(np.float32)
    return m / np.linalg.norm(m, axis=1, keepdims=True)


def best(query: Any, documents: dict[str, Any], k: int) -> list[tuple[str, float]]:
    scores = {id: float((query @ d.T).max(axis=1).sum()) for id, d in documents.items()}
    return sorted(scores.items(), key=lambda s: -s[1])[:k]


def same(got: list[dict[str, Any]], want: list[tuple[str, float]]) -> None:
    """The same scores, and the same ids but where two scores are as good as equal."""
    np.testing.assert_allclose([h["score"] for h in got], [s for _, s in want], atol=2e-3)
    assert len({h["id"] for h in got} & {id for id, _ in want}) >= len(want) - 1


@pytest.fixture()
def index(db: Client, name: str) -> Index:
    return Index(index_name=name, override=True, client=db, retain_raw=True, show_progress=False, exact=True)


def test_documents_come_and_go(index: Index) -> None:
    rng = np.random.default_rng(11)
    documents = {str(i): unit(rng, int(rng.integers(2, 20))) for i in range(400)}
    queries = [unit(rng, 8) for _ in range(300)]  # more than one request of searches
    assert index.add_documents(list(documents)[:300], list(documents.values())[:300]) is index
    index.add_documents(documents_ids=range(300, 400), documents_embeddings=list(documents.values())[300:])
    for q, r in zip(queries, index(queries, k=5)):
        same(r, best(q, documents, 5))
    gone = [str(i) for i in range(0, 400, 3)]
    index.remove_documents(gone + ["none"])
    for id in gone:
        del documents[id]
    for q, r in zip(queries[:20], index(queries[:20], k=5)):
        same(r, best(q, documents, 5))
    documents["1"] = unit(rng, 5)
    index.update_documents(["1"], [documents["1"]])
    assert index(documents["1"], k=1)[0][0]["id"] == "1"  # one matrix is one query
    for got, id in zip(index.get_documents_embeddings([["1", "2"]])[0], ("1", "2")):
        np.testing.assert_allclose(got, documents[id], atol=1e-3)


def test_subsets(index: Index) -> None:
    rng = np.random.default_rng(12)
    documents = {f"d{i}": unit(rng, 6) for i in range(50)}
    index.add_documents(documents, list(documents.values()))
    queries = np.stack([unit(rng, 4) for _ in range(3)])  # an array of three dimensions
    few = ["d3", "d10", "d20", "absent"]
    kept = {id: documents[id] for id in few[:3]}
    for q, r in zip(queries, index(queries, k=10, subset=few)):
        same(r, best(q, kept, 10))
    each = index(queries, k=10, subset=[few, [], ["d7"]])
    same(each[0], best(queries[0], kept, 10))
    assert each[1] == [] and [h["id"] for h in each[2]] == ["d7"]
    assert index(queries, subset=[]) == [[], [], []]
    with pytest.raises(colbertdb.InputError):
        index(queries, subset=[few])


def test_padding_is_left_out(index: Index) -> None:
    rng = np.random.default_rng(13)
    padded = np.zeros((2, 9, 64), np.float32)
    padded[0, :4], padded[1, :9] = unit(rng, 4), unit(rng, 9)
    index.add_documents(["a", "b"], padded)
    assert [index.collection.get(id).tokens for id in "ab"] == [4, 9]
    with pytest.raises(colbertdb.InputError, match="zero"):
        index.add_documents(["c"], [np.zeros((2, 64))])
    with pytest.raises(colbertdb.InputError, match="2 ids"):
        index.add_documents(["c", "d"], [unit(rng, 2)])


def test_override(db: Client, name: str) -> None:
    Index(index_name=name, client=db, show_progress=False).add_documents("a", [np.eye(2, 8)])
    assert Index(index_name=name, client=db)(np.eye(1, 8))[0][0]["id"] == "a"
    with pytest.raises(colbertdb.CollectionNotFoundError):
        Index(index_name=name, override=True, client=db)(np.eye(1, 8))


@pytest.fixture(scope="session")
def pylate() -> Any:
    return pytest.importorskip("pylate", reason="PyLate is not installed")


@pytest.fixture(scope="session")
def scifact(pylate: Any, db: Client, beir: Callable[[str, int], list[dict[str, str]]]) -> dict[str, Any]:
    """Judged questions and abstracts of SciFact as vectors of the built-in model."""
    questions = {q["_id"]: q["text"] for q in beir("queries.jsonl", 2000)}
    abstracts = {d["_id"]: d["title"] + " " + d["text"] for d in beir("corpus.jsonl", 6000)}
    judged: dict[str, dict[str, int]] = {}
    lines = (Path(__file__).resolve().parents[4] / "shared/data/scifact/qrels/test.tsv").read_text().splitlines()[1:]
    for q, d, grade in (line.split("\t") for line in lines):
        if len(judged) < 30 or q in judged:
            judged.setdefault(q, {})[d] = int(grade)
    ids = sorted({d for ds in judged.values() for d in ds} | set(list(abstracts)[:200]))
    return {
        "qrels": judged,
        "queries": list(judged),
        "queries_embeddings": db.encode_queries([questions[q] for q in judged]).vectors,
        "documents_ids": ids,
        "documents_embeddings": db.encode_documents([abstracts[d] for d in ids]).vectors,
    }


def test_pylates_retriever(index: Index, scifact: dict[str, Any]) -> None:
    import torch
    from pylate import retrieve

    documents = [torch.from_numpy(d) for d in scifact["documents_embeddings"]]
    queries = [torch.from_numpy(q) for q in scifact["queries_embeddings"]]
    index.add_documents(documents_ids=scifact["documents_ids"], documents_embeddings=documents)
    results = retrieve.ColBERT(index=index).retrieve(queries_embeddings=queries, k=10)
    # Against MaxSim over every document; PyLate's own rerank pads, and a padded document's
    # similarity is never below zero.
    given = dict(zip(scifact["documents_ids"], scifact["documents_embeddings"]))
    for got, query in zip(results, scifact["queries_embeddings"]):
        same(got, best(query, given, 10))
    subset = scifact["documents_ids"][:20]
    assert all(h["id"] in subset for r in retrieve.ColBERT(index=index).retrieve(queries, k=5, subset=subset) for h in r)


def test_pylates_evaluation(tmp_path: Path, db: Client, name: str, scifact: dict[str, Any]) -> None:
    """PyLate's evaluation with one line changed gives what it gives over PyLate's own index."""
    pytest.importorskip("ranx", reason="ranx, which PyLate evaluates with, is not installed")
    from pylate import evaluation, indexes, retrieve

    def evaluate(index: Any) -> dict[str, float]:
        index.add_documents(documents_ids=scifact["documents_ids"], documents_embeddings=scifact["documents_embeddings"])
        scores = retrieve.ColBERT(index=index).retrieve(queries_embeddings=scifact["queries_embeddings"], k=20)
        metrics = ["ndcg@10", "recall@10", "map"]
        return dict(evaluation.evaluate(scores=scores, qrels=scifact["qrels"], queries=scifact["queries"], metrics=metrics))

    theirs = evaluate(indexes.PLAID(index_folder=str(tmp_path), index_name="plaid", override=True, show_progress=False, device="cpu"))
    ours = evaluate(Index(index_folder=str(tmp_path), index_name=name, override=True, client=db, show_progress=False))
    print(json.dumps({"PLAID": theirs, "colbertdb": ours}))
    for metric, value in theirs.items():
        assert ours[metric] >= value - 0.02, metric
