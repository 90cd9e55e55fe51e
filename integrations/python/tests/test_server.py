"""The clients against a real server, with an oracle where there is one: MaxSim computed
with NumPy over all documents, and dictionaries."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import colbertdb
from colbertdb import Client, Search, Similar, attr, local


def unit(rng: np.random.Generator, tokens: int, dim: int) -> Any:
    m = rng.standard_normal((tokens, dim)).astype(np.float32)
    return m / np.linalg.norm(m, axis=1, keepdims=True)


def maxsim(query: Any, documents: dict[str, Any]) -> list[tuple[str, float]]:
    """Every document with its score, best first."""
    scores = {id: float((query @ d.T).max(axis=1).sum()) for id, d in documents.items()}
    return sorted(scores.items(), key=lambda s: -s[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_vectors_there_and_back(db: Client, name: str, dtype: Any) -> None:
    rng = np.random.default_rng(7)
    documents = {f"d{i}": unit(rng, int(rng.integers(1, 30)), 64).astype(dtype) for i in range(300)}
    c = db.create_collection(name, dim=64, retain_raw=True)
    got = c.upsert([colbertdb.Document(id, vectors=v) for id, v in documents.items()])
    assert got.upserted == 300
    for id in ("d0", "d137", "d299"):
        v = c.get(id, vectors=True).vectors
        assert v is not None and v.dtype == np.float32
        np.testing.assert_allclose(v, documents[id].astype(np.float32), atol=1e-3)  # kept as float16
    kept = {d.id: d.vectors for d in c.scroll(limit=100, vectors=True)}
    assert kept.keys() == documents.keys()
    queries = [unit(rng, 12, 64).astype(dtype) for _ in range(20)]
    results = c.search_batch(queries, k=10, exact=True, min_seq=got.seq)
    assert len(results) == 20
    for q, r in zip(queries, results):
        want = maxsim(q.astype(np.float32), kept)[:10]
        np.testing.assert_allclose([h.score for h in r], [s for _, s in want], atol=2e-3)
        best = dict(want)
        assert sum(h.id in best for h in r) >= 9  # of two scores that are as good as equal, either
        assert [h.rank for h in r] == list(range(1, 11)) and r.exhaustive
        assert r.hits == c.search(q, k=10, exact=True).hits


def test_text(db: Client, name: str, passages: list[dict[str, str]]) -> None:
    c = db.create_collection(name)
    documents = [{"id": p["id"], "text": p["text"], "attributes": {"section": p["section"], "n": i}} for i, p in enumerate(passages)]
    seq = c.upsert(documents).seq
    assert c.info().documents == len(passages) and c.info().model is not None
    for p in passages[::4]:  # its own words find it
        assert c.search(p["text"][:200], k=1).hits[0].id == p["id"]
    last = passages[-1]
    r = c.search(last["text"][:100], k=5, filter=(attr("section") == last["section"]) & (attr("n") >= 5), include=["text", "highlights"], min_seq=seq)
    assert r.hits[0].id == last["id"] and r.hits[0].highlights and r.hits[0].attributes is None
    for h in r.hits[0].highlights:
        assert r.hits[0].text.encode()[h.start : h.end].decode()
    # The forms of a filter mean the same.
    section = passages[10]["section"]
    forms: list[Any] = [attr("section") == section, {"eq": {"section": section}}, f'section = "{section}"']
    want = {p["id"] for p in passages if p["section"] == section}
    for f in forms:
        assert {h.id for h in c.search("contributions", filter=f, k=1000)} == {d.id for d in c.scroll(filter=f, limit=2)} == want
    # Modes, groups, explanations, documents like one.
    words = c.search("trademarks", mode="bm25", k=3, explain=True)
    assert words.hits and words.hits[0].terms and "rademark" in words.hits[0].text
    assert c.search("trademarks", mode="hybrid", fusion={"weight": 0.5}).hits
    groups = c.search("patent", group_by="section", group_size=2, k=3)
    assert len({g.group for g in groups}) == len(groups) == 3 and all(1 <= len(g.passages) <= 2 for g in groups)
    explained = c.search("patent", k=1, explain=True).hits[0]
    assert explained.explain and explained.explain[0].query_token
    assert explained.score == pytest.approx(sum(m.similarity * m.weight for m in explained.explain), rel=1e-3)
    assert last["id"] not in [h.id for h in c.search(Similar(last["id"]))]
    mixed = c.search_batch(["patent", Search(Similar(last["id"]), k=2), Search("trademarks", mode="bm25")], k=4)
    assert [len(r) for r in mixed[:2]] == [4, 2] and mixed[2].hits


def test_writes_follow_a_model(db: Client, name: str) -> None:
    """Against a dictionary, by a random run of writes."""
    rng = np.random.default_rng(3)
    c = db.create_collection(name, dim=16)
    model: dict[str, dict[str, Any]] = {}
    for step in range(60):
        ids = [f"é/{i}" for i in rng.choice(40, size=5, replace=False)]
        match rng.integers(4):
            case 0 | 1:
                docs = [{"id": id, "text": f"{id} {step}", "vectors": unit(rng, 3, 16), "attributes": {"step": step}} for id in ids]
                assert c.upsert(docs).upserted == 5
                model.update({d["id"]: {"text": d["text"], "step": step} for d in docs})
            case 2:
                assert c.delete(ids).deleted == sum(id in model for id in ids)
                for id in ids:
                    model.pop(id, None)
            case 3:
                old = [id for id, d in model.items() if d["step"] < step - 20]
                assert c.delete(filter=attr("step") < step - 20).deleted == len(old)
                for id in old:
                    del model[id]
    assert {d.id: {"text": d.text, "step": (d.attributes or {})["step"]} for d in c.scroll(limit=3)} == model
    for i in range(40):
        if f"é/{i}" in model:
            assert c.get(f"é/{i}").text == model[f"é/{i}"]["text"]
        else:
            with pytest.raises(colbertdb.NotFoundError):
                c.get(f"é/{i}")
    gone = c.purge([next(iter(model))])
    assert gone.deleted == 1 and c.info().documents == len(model) - 1


def test_a_repetition_is_made_once(db: Client, name: str) -> None:
    c = db.create_collection(name, dim=8)
    doc = {"id": "a", "vectors": np.eye(1, 8)}
    first = c.upsert([doc], idempotency_key="k1")
    c.upsert([{"id": "a", "vectors": np.eye(2, 8)}])
    assert c.upsert([doc], idempotency_key="k1") == first
    assert c.get("a").tokens == 2
    with pytest.raises(colbertdb.IdempotencyConflictError):
        c.upsert([{"id": "b", "vectors": np.eye(1, 8)}], idempotency_key="k1")


def test_errors(db: Client, name: str) -> None:
    c = db.create_collection(name, dim=8)
    wrong: list[tuple[type[Exception], Callable[[], object]]] = [
        (colbertdb.CollectionNotFoundError, lambda: db.collection("none").info()),
        (colbertdb.NotFoundError, lambda: c.get("none")),
        (colbertdb.CollectionExistsError, lambda: db.create_collection(name, dim=16)),
        (colbertdb.InvalidError, lambda: db.create_collection("other", model="none")),
        (colbertdb.VectorsError, lambda: c.upsert([{"id": "a", "vectors": np.ones((1, 16))}])),
        (colbertdb.VectorsError, lambda: c.upsert([{"id": "a", "vectors": np.full((1, 8), np.nan)}])),
        (colbertdb.VectorsError, lambda: c.upsert([{"id": "a"}])),
        (colbertdb.NoModelError, lambda: c.upsert([{"id": "a", "text": "t"}])),
        (colbertdb.FilterError, lambda: c.search(np.eye(1, 8), filter="year >=")),
        (colbertdb.InvalidError, lambda: c.search(np.eye(1, 8), k=100_000)),
        (colbertdb.ServerError, lambda: c.search("text", mode="nonsense")),  # type: ignore[arg-type]
        (colbertdb.InputError, lambda: c.delete()),
        (colbertdb.InputError, lambda: c.delete(["a"], filter="a = 1")),
        (colbertdb.InputError, lambda: c.upsert([])),
        (colbertdb.InvalidError, lambda: db.create_collection("Bad Name", dim=8)),
    ]
    for want, do in wrong:
        with pytest.raises(want) as e:
            do()
        if isinstance(e.value, colbertdb.ServerError):
            assert e.value.kind and e.value.status >= 400 and e.value.request_id and str(e.value)
    assert c.info().documents == 0
    with Client("http://127.0.0.1:1", retries=0) as nobody, pytest.raises(colbertdb.TransportError):
        nobody.ready()


def test_keys(tmp_path: Path, server: local.Server) -> None:
    out = subprocess.run([local.command(), "key", "reader", "--scope", "ro"], capture_output=True, text=True, check=True).stdout
    key, line = out.splitlines()[:2]
    (tmp_path / "keys").write_text(line + "\n")
    with local.Server(tmp_path / "db", model="fake:32", flags=["--keys", str(tmp_path / "keys")]) as s:
        with s.client() as c, pytest.raises(colbertdb.AuthenticationError):
            c.collections()
        with s.client(key=key) as c:
            assert c.collections() == []
            with pytest.raises(colbertdb.PermissionDeniedError):
                c.create_collection("c")


def test_a_load(db: Client, name: str, beir: Callable[[str, int], list[dict[str, str]]]) -> None:
    """Real text as vectors of random numbers: loads are about documents, not about models."""
    rng = np.random.default_rng(1)
    texts = beir("corpus.jsonl", 1500)
    c = db.create_collection(name, dim=32)
    seen: list[colbertdb.Progress] = []
    documents = ({"id": t["_id"], "text": t["text"], "vectors": unit(rng, 4, 32)} for t in texts)
    got = c.load(documents, progress=seen.append)
    assert got.stored == 1500 == seen[-1].stored == c.info().documents and got.refused == 0
    assert [p.stored for p in seen] == sorted(p.stored for p in seen) and len(seen) == 6
    assert {d.id: d.text for d in c.scroll(limit=1000)} == {t["_id"]: t["text"] for t in texts}


def test_a_load_with_documents_that_cannot_be_stored(db: Client, name: str) -> None:
    c = db.create_collection(name, dim=8)
    good, wrong = np.eye(1, 8), np.eye(1, 16)
    documents: list[dict[str, Any]] = [{"id": f"d{i}", "vectors": good} for i in range(700)]
    documents[300] = {"id": "d300", "vectors": wrong}
    documents[400] = {"id": "d400", "vectors": np.zeros(8)}  # refused before it is sent
    documents[699] = {"id": "", "vectors": good}
    refused: dict[int, type[Exception]] = {}
    got = c.load(documents, on_refused=lambda place, e: refused.update({place: type(e)}))
    assert refused == {300: colbertdb.VectorsError, 400: colbertdb.InputError, 699: colbertdb.InputError}
    assert (got.stored, got.refused) == (697, 3) and c.info().documents == 697
    # By default the first ends the load, and what came before it is stored.
    for place, message in ((300, "dimension"), (400, "shape")):
        other = db.create_collection(f"{name[:50]}-{place}", dim=8)
        with pytest.raises(colbertdb.LoadError, match=message) as e:
            other.load(documents[:300] + documents[301:] if place == 400 else documents)
        assert e.value.document == (300 if place == 300 else 399)
        assert other.info().documents == e.value.document == e.value.progress.stored
    with pytest.raises(colbertdb.LoadError) as e:
        db.collection("none").load(documents)
    assert isinstance(e.value.__cause__, colbertdb.CollectionNotFoundError)


def test_the_bar_of_a_load(db: Client, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    c = db.create_collection(name, dim=8)
    c.load([{"id": str(i), "vectors": np.eye(1, 8)} for i in range(300)], progress=True)
    assert "300/300" in capsys.readouterr().err


def test_encode_and_rerank(db: Client, name: str, passages: list[dict[str, str]]) -> None:
    texts = [p["text"] for p in passages]
    queries, documents = db.encode_queries(texts[:3]), db.encode_documents(texts)
    assert queries.model == documents.model == db.models()[0].id
    assert len(documents.vectors) == len(texts) and all(v.dtype == np.float32 and v.shape[1] == db.models()[0].dim for v in documents.vectors)
    assert documents.tokens == sum(len(v) for v in documents.vectors)
    for v in documents.vectors:
        np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, atol=1e-3)
    assert documents.weights == [None] * len(texts)
    # Vectors with their weights search as the text does.
    c = db.create_collection(name)
    c.upsert([{"id": str(i), "text": t} for i, t in enumerate(texts)])
    weights = queries.weights[0]
    assert weights is not None and len(weights) == len(queries.vectors[0])
    by_text, by_vectors = c.search(texts[0], exact=True), c.search(queries.vectors[0], weights=weights, exact=True)
    assert [h.id for h in by_text][0] == [h.id for h in by_vectors][0] == "0"
    np.testing.assert_allclose([h.score for h in by_vectors], [h.score for h in by_text], rtol=1e-4)
    ranked = db.rerank(texts[7], texts, top_n=5)
    assert len(ranked) == 5 and ranked[0].index == 7 and ranked[0].document == texts[7]
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)
    with pytest.raises(colbertdb.InputError):
        db.encode_queries("one string")


def test_collections_and_aliases(db: Client, name: str) -> None:
    c = db.create_collection(name, dim=8, profile="balanced", text_index="plain")
    assert name in {i.name for i in db.collections()} and c.info().profile == "balanced"
    assert db.create_collection(name, dim=8, profile="balanced", text_index="plain").info() == c.info()
    db.set_alias("an-alias", name)
    assert db.aliases()["an-alias"] == name
    db.collection("an-alias").upsert([{"id": "a", "vectors": np.eye(1, 8), "attributes": {"year": 1}}])
    assert c.index(["year"])["indexes"][0]["path"] == "year"
    assert c.drop_index(["year"])["indexes"] == []
    c.compact()
    assert c.stats()["documents"] == 1
    db.drop_alias("an-alias")
    db.drop_collection(name)
    with pytest.raises(colbertdb.CollectionNotFoundError):
        c.info()


def test_asyncio(server: local.Server, name: str) -> None:
    async def run() -> None:
        rng = np.random.default_rng(5)
        async with colbertdb.AsyncClient(server.url) as db:
            await db.ready()
            c = await db.create_collection(name, dim=32, retain_raw=True)
            vectors = {f"d{i}": unit(rng, 5, 32) for i in range(300)}

            async def given() -> Any:
                for id, v in vectors.items():
                    yield {"id": id, "vectors": v}
                    await asyncio.sleep(0)

            seen: list[colbertdb.Progress] = []
            assert (await c.load(given(), progress=seen.append)).stored == 300 and seen[-1].stored == 300
            assert (await c.load({"id": id, "vectors": v} for id, v in vectors.items())).stored == 300
            assert sorted([d.id async for d in c.scroll(limit=70)]) == sorted(vectors)
            queries = [unit(rng, 6, 32) for _ in range(3)]
            results = await asyncio.gather(*(c.search(q, k=3, exact=True) for q in queries))
            for q, r in zip(queries, results):
                np.testing.assert_allclose([h.score for h in r], [s for _, s in maxsim(q, vectors)[:3]], atol=2e-3)
            assert [r.hits for r in await c.search_batch(queries, k=3, exact=True)] == [r.hits for r in results]
            with pytest.raises(colbertdb.NotFoundError):
                await c.get("none")
            with pytest.raises(colbertdb.LoadError):
                await c.load([{"id": ""}])
            assert (await c.delete(list(vectors)[:10])).deleted == 10
            assert (await db.rerank("tax", ["a cat", "income tax"]))[0].index == 1

    asyncio.run(run())


def test_a_server_that_cannot_start_says_why(tmp_path: Path, server: local.Server) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(local.LocalServerError, match="file"):
        local.Server(tmp_path / "file")


def test_connect(tmp_path: Path, server: local.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(local.URL, server.url)
    with local.connect(tmp_path / "db") as c:
        assert c.url == server.url
    monkeypatch.delenv(local.URL)
    with local.connect(tmp_path / "db", models=["fake:16"]) as c, local.connect(tmp_path / "db") as d:
        assert c.url == d.url != server.url and os.path.isdir(tmp_path / "db")
