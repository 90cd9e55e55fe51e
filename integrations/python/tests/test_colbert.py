"""Stanford ColBERT's interface: the programs of a model card, and what is behind them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import colbertdb
from colbertdb import local
from colbertdb.colbert import Checkpoint, ColBERTConfig, Indexer, Run, RunConfig, Searcher, colbert_score, torch
from colbertdb.colbert.index import IndexExistsError
from colbertdb.colbert.infra import collection_name
from colbertdb.colbert.tensors import stacked

CARD = Path(__file__).parent / "modelcard"


def programs() -> list[str]:
    """The four programs, or those of the model card that MODEL_CARD names."""
    if card := os.environ.get("MODEL_CARD"):
        return re.findall(r"```python\n(.*?)```", Path(card).read_text(), re.S)
    return [path.read_text() for path in sorted(CARD.glob("*.py"))]


def ours(program: str) -> str:
    """A program with colbert in its import lines changed, and nothing else."""
    return re.sub(r"^(from|import) colbert\b", r"\1 colbertdb.colbert", program, flags=re.M)


#: What the third and the fourth leave to the reader: imports, and a query with passages.
NAMES = """
import argparse, numpy
from colbertdb.colbert import ColBERTConfig, colbert_score, torch
args = argparse.Namespace(reranker="jinaai/jina-colbert-v1-en")
colbert_config, i = ColBERTConfig(root="experiments"), 0
"""


@pytest.mark.parametrize("own", [False, True], ids=["named server", "server of its own"])
def test_the_programs_of_the_model_card(own: bool, tmp_path: Path, server: local.Server) -> None:
    env = {k: v for k, v in os.environ.items() if k not in (local.URL, local.KEY)}
    root = tmp_path
    with local.Server(tmp_path / "db") as named:
        if not own:
            env[local.URL] = named.url

        def run(program: str, after: str) -> str:
            """Each is a process of its own, as a reader would start them."""
            (root / "program.py").write_text(program + "\n" + after)
            done = subprocess.run([sys.executable, "program.py"], cwd=root, env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout

        index, search, vectors, rerank = programs()
        assert run(ours(index), "print(indexer.get_index(), len(documents))").split()[1] == str(len(eval_list(index, "documents")))
        # It works on what the one before stored.
        found = eval(run(ours(search), "print(results)"))
        pids, ranks, scores = found
        texts = eval_list(index, "documents")
        assert sorted(pids) == list(range(len(texts))) and ranks == list(range(1, len(texts) + 1))
        assert scores == sorted(scores, reverse=True)
        assert "A long document" in texts[pids[0]] or "MODEL_CARD" in os.environ
        shape = run(NAMES + ours(vectors), "print(tuple(query_vectors.shape))").splitlines()[-1]
        assert eval(shape)[0] == 2 and eval(shape)[2] == 128
        # The fourth names the query and passages that it has otherwise than it uses them.
        head, tail = ours(rerank).split("config = ", 1)
        ranking = run(NAMES + head + "all_queries, all_passages = query, documents\nconfig = " + tail, "print(ranking.tolist(), scores)")
        order = eval(ranking.splitlines()[-1].replace("] [", "], ["))
        given = eval_list(rerank, "documents")
        assert sorted(order[0]) == list(range(len(given))) and order[1][order[0][0]] == max(order[1])
        assert "A long document" in given[order[0][0]] or "MODEL_CARD" in os.environ
    assert (root / "experiments").exists() == own


def eval_list(program: str, name: str) -> list[str]:
    """The list of strings that a program assigns to a name."""
    text = program[program.index(f"{name} = [") + len(name) + 3 :]
    return list(eval(text[: text.index("]") + 1]))


@pytest.fixture()
def run(server: local.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(local.URL, server.url)
    monkeypatch.chdir(tmp_path)
    return "test"


def test_index_and_search(run: str, passages: list[dict[str, str]], tmp_path: Path, db: colbertdb.Client) -> None:
    texts = [p["text"] for p in passages]
    with Run().context(RunConfig(experiment=run)):
        with pytest.warns(UserWarning, match="no model 'of/another'"):
            indexer = Indexer(checkpoint="of/another", config=ColBERTConfig(nbits=2, doc_maxlen=300), verbose=1)
            name = indexer.index("licence", texts)
        assert name == indexer.get_index() == collection_name(run, "licence")
        with pytest.raises(IndexExistsError, match="overwrite"):
            indexer.index("licence", texts)
        own = Indexer(checkpoint=db.models()[0].id, verbose=1)
        assert own.index("licence", texts[:3], overwrite="reuse") == name and db.collection(name).info().documents == len(texts)
        assert own.index("licence", texts[:3], overwrite=True) == name and db.collection(name).info().documents == 3
        assert own.index("licence", texts, overwrite="resume") == name

        searcher = Searcher(index="licence")
        pids, ranks, scores = searcher.search(texts[4], k=5)
        assert pids[0] == 4 and ranks == [1, 2, 3, 4, 5] and scores == sorted(scores, reverse=True)
        hits = db.collection(name).search(texts[4], k=5)
        assert [str(p) for p in pids] == [h.id for h in hits] and scores == [h.score for h in hits]
        assert searcher.collection[4] == texts[4] and len(searcher.collection) == len(texts) and sorted(searcher.collection) == list(range(len(texts)))
        assert set(searcher.search(texts[4], k=5, pids=[1, 2])[0]) == {1, 2}
        ranking = searcher.search_all({"q1": texts[4], "q2": texts[9]}, k=3)
        assert [ranking.todict()[q][0][:2] for q in ("q1", "q2")] == [(4, 1), (9, 1)] and len(ranking.tolist()) == 6
        assert Path(ranking.save("ranking.tsv")).read_text().splitlines()[0].split("\t")[:3] == ["q1", "4", "1"]
        assert searcher.search_all([texts[4]], k=1).data[0][0][0] == 4
        # Encoded by itself it is the same search: the model's weights are in the vectors.
        dense = searcher.dense_search(searcher.encode(texts[4]), k=5)
        assert dense[0] == pids
        np.testing.assert_allclose(dense[2], scores, rtol=1e-3)
        with pytest.raises(colbertdb.CollectionNotFoundError):
            Searcher(index="absent")
        assert indexer.erase() == [name]

        (tmp_path / "c.tsv").write_text("id\ttext\ttitle\n0\tone\tTitle\n1\ttwo\t\n")
        own.index("tsv", str(tmp_path / "c.tsv"))
        assert dict(Searcher(index="tsv").collection) == {0: "Title | one", 1: "two"}
        (tmp_path / "c.tsv").write_text("7\tone\n")
        with pytest.raises(colbertdb.InputError, match="line 1"):
            own.index("tsv2", str(tmp_path / "c.tsv"))
    assert Run().config.experiment == "default"


def test_vectors_and_scores(run: str, passages: list[dict[str, str]], db: colbertdb.Client) -> None:
    texts = [p["text"] for p in passages[:9]]
    checkpoint = Checkpoint(db.models()[0].id, colbert_config=ColBERTConfig(root="experiments"))
    Q = checkpoint.queryFromText([texts[2], texts[7]])
    D = checkpoint.docFromText(texts)
    vectors = db.encode_documents(texts).vectors
    assert tuple(D.shape) == (9, max(map(len, vectors)), 128) and Q.shape[0] == 2 and Q.shape[2] == 128
    flat, lengths = checkpoint.docFromText(texts, bsize=4, keep_dims="flatten")
    assert lengths == [len(v) for v in vectors] and tuple(flat.shape) == (sum(lengths), 128)
    separate = checkpoint.docFromText(texts, keep_dims=False)
    assert [tuple(d.shape) for d in separate] == [v.shape for v in vectors]
    (again,) = checkpoint.docFromText(texts, bsize=4)
    np.testing.assert_allclose(np.asarray(again), np.asarray(D), atol=1e-3)
    # colbert_score is MaxSim, as the server computes it.
    mask = torch.tensor([[i < n for i in range(D.shape[1])] for n in lengths])
    for query, text in ((Q[:1], texts[2]), (Q[1:], texts[7])):
        scores = np.asarray(colbert_score(query, D, mask))
        want = [float((np.asarray(query[0]) @ v.T).max(axis=1).sum()) for v in vectors]
        np.testing.assert_allclose(scores, want, rtol=1e-3)
        ranked = db.rerank(text, texts)
        weights = db.encode_queries([text]).weights[0]
        np.testing.assert_allclose([scores[r.index] / weights.sum() for r in ranked], [r.score for r in ranked], rtol=1e-3)  # type: ignore[union-attr]
    aligned = np.asarray(colbert_score(Q, D[:2], mask[:2]))
    np.testing.assert_allclose(aligned, [float(np.asarray(colbert_score(Q[i : i + 1], D[i : i + 1], mask[i : i + 1]))[0]) for i in range(2)], rtol=1e-5)
    with pytest.raises(ValueError, match="shape"):
        colbert_score(Q[0], D, mask)
    for wrong in (lambda: checkpoint.queryFromText("text"), lambda: checkpoint.docFromText(texts, pool_factor=2), lambda: checkpoint.docFromText([])):
        with pytest.raises(colbertdb.InputError):
            wrong()


def test_settings() -> None:
    assert ColBERTConfig(nbits=4).nbits == 4 and ColBERTConfig().query_maxlen == 32
    with pytest.raises(TypeError, match="n_bits"):
        ColBERTConfig(n_bits=4)
    with pytest.raises(AttributeError):
        ColBERTConfig().nonsense
    with Run().context(RunConfig(experiment="a", root="r")):
        with Run().context(RunConfig(nranks=2)):
            assert (Run().experiment, Run().root, Run().nranks) == ("a", "r", 2)
        with Run().context(RunConfig(nranks=2), inherit_config=False):
            assert Run().root == "experiments"
        assert ColBERTConfig.from_existing(Run().config, ColBERTConfig(root="s")).store == os.path.join("s", "colbertdb")


def test_names_of_collections() -> None:
    assert collection_name("default", "msmarco-2bits") == collection_name("", "msmarco-2bits") == "msmarco-2bits"
    names = [collection_name(e, i) for e, i in (("", ""), ("a", ""), ("a", "b"), ("a", "B"), ("", "B"), ("", "é" * 90), ("", "a/b"), ("a-b", ""))]
    assert names[2] == collection_name("", "a/b")  # as in Stanford's folders
    assert len(set(names)) == len(names) - 1 and all(re.fullmatch("[a-z0-9][a-z0-9_-]{0,62}", n) for n in names)


def test_tensors_without_torch() -> None:
    from colbertdb.colbert.tensors import Tensor, _NumPy

    t = _NumPy()
    ones = t.ones((2, 3), dtype=t.long)
    assert isinstance(ones, Tensor) and ones.dtype == np.int64 and t.zeros(2, 3).shape == (2, 3)
    scores = t.from_numpy(np.array([[1.0, 2.0]])).flatten().cpu()
    assert scores.numpy().tolist() == [1.0, 2.0] and type(scores.numpy()) is np.ndarray and scores.dim() == 1
    assert isinstance(float(scores.sum()), float) and t.tensor([1]).float().detach().dtype == np.float32
    assert stacked([np.ones((1, 2)), np.ones((2, 2))]).tolist() == [[[1, 1], [0, 0]], [[1, 1], [1, 1]]]


def test_a_callable_is_no_filter(run: str) -> None:
    wrong: Callable[..., Any] = len
    with pytest.raises(colbertdb.InputError, match="filter_fn"):
        Searcher._options(1, wrong, None)
