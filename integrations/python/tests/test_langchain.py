"""The retriever in LangChain, by LangChain's own tests and by ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import colbertdb
from colbertdb import Client, attr, local

pytest.importorskip("langchain_core")
tests = pytest.importorskip("langchain_tests.integration_tests")

from langchain_core.documents import Document  # noqa: E402
from langchain_core.output_parsers import StrOutputParser  # noqa: E402
from langchain_core.runnables import RunnableLambda, RunnablePassthrough  # noqa: E402

from colbertdb.langchain import ColbertDBRetriever  # noqa: E402


@pytest.fixture(scope="session")
def collection(db: Client, passages: list[dict[str, str]]) -> Iterator[colbertdb.Collection]:
    c = db.create_collection("langchain")
    documents = [Document(id=p["id"], page_content=p["text"], metadata={"section": p["section"]}) for p in passages]
    assert ColbertDBRetriever(collection=c).add_documents(documents) == [p["id"] for p in passages]
    yield c
    db.drop_collection("langchain")


class TestStandard(tests.RetrieversIntegrationTests):  # type: ignore[misc, name-defined]
    """What LangChain asks of every retriever."""

    @pytest.fixture(autouse=True)
    def _given(self, collection: colbertdb.Collection) -> None:
        self.params = {"collection": collection, "k": 4}

    @property
    def retriever_constructor(self) -> type[ColbertDBRetriever]:
        return ColbertDBRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return self.params

    @property
    def retriever_query_example(self) -> str:
        return "Who may use the trademarks?"


def test_documents(collection: colbertdb.Collection, passages: list[dict[str, str]]) -> None:
    r = ColbertDBRetriever(collection=collection, k=3)
    text = passages[5]["text"]
    hits = collection.search(text, k=3).hits
    got = r.invoke(text)
    assert [(d.id, d.page_content, d.metadata["section"], d.metadata["score"], d.metadata["relevance_score"]) for d in got] == [
        (h.id, h.text, (h.attributes or {})["section"], h.score, h.score_norm) for h in hits
    ]
    assert got[0].page_content == text
    # Thresholds, filters and modes, for all calls and for one.
    assert [d.id for d in r.invoke(text, score_threshold=hits[0].score_norm)] == [hits[0].id]
    assert [d.id for d in ColbertDBRetriever(collection=collection, score_threshold=hits[0].score_norm).invoke(text)] == [hits[0].id]
    section = passages[-1]["section"]
    for filtered in (
        ColbertDBRetriever(collection=collection, filter=attr("section") == section).invoke(text),
        r.invoke(text, filter=f'section = "{section}"'),
    ):
        assert filtered and all(d.metadata["section"] == section for d in filtered)
    words = ColbertDBRetriever(collection=collection, search_options={"mode": "bm25"}).invoke("trademarks")
    assert words and "rademark" in words[0].page_content and words[0].metadata["relevance_score"] == words[0].metadata["score"] > 0
    with pytest.raises(colbertdb.FilterError):
        r.invoke(text, filter="section =")
    assert [[d.id for d in ds] for ds in r.batch([text, "patents"])] == [[h.id for h in collection.search(q, k=3)] for q in (text, "patents")]


def test_ids_are_made_where_there_are_none(db: Client, name: str) -> None:
    c = db.create_collection(name)
    r = ColbertDBRetriever(collection=c, k=1)
    ids = r.add_documents([Document(page_content="A lamp of brass."), Document(page_content="A quiet harbour.")])
    assert len(set(ids)) == 2 and r.invoke("lamp")[0].id == ids[0]


def test_asyncio(server: local.Server, collection: colbertdb.Collection) -> None:
    async def run() -> None:
        async with colbertdb.AsyncClient(server.url) as db:
            r = ColbertDBRetriever(async_collection=db.collection("langchain"), k=2)
            assert [d.id for d in await r.ainvoke("patents")] == [h.id for h in collection.search("patents", k=2)]
            with pytest.raises(ValueError, match="ainvoke"):
                r.invoke("patents")

    asyncio.run(run())
    with pytest.raises(ValueError, match="collection"):
        ColbertDBRetriever()


def test_in_a_chain(collection: colbertdb.Collection) -> None:
    answer = RunnableLambda(lambda given: f"{given['question']} {given['context']}")
    context = ColbertDBRetriever(collection=collection, k=1) | (lambda documents: documents[0].page_content)
    chain = {"context": context, "question": RunnablePassthrough()} | answer | StrOutputParser()
    assert "rademark" in chain.invoke("trademarks")
