"""The retriever in LlamaIndex."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import colbertdb
from colbertdb import Client, local

pytest.importorskip("llama_index.core")

from llama_index.core.llms.mock import MockLLM  # noqa: E402
from llama_index.core.node_parser import SentenceSplitter  # noqa: E402
from llama_index.core.query_engine import RetrieverQueryEngine  # noqa: E402
from llama_index.core.schema import Document, TextNode  # noqa: E402
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters  # noqa: E402

from colbertdb.llamaindex import ColbertDBRetriever, metadata_filter  # noqa: E402


@pytest.fixture(scope="session")
def collection(db: Client, passages: list[dict[str, str]]) -> Iterator[colbertdb.Collection]:
    c = db.create_collection("llamaindex")
    nodes = [TextNode(id_=p["id"], text=p["text"], metadata={"section": p["section"], "n": i}) for i, p in enumerate(passages)]
    assert ColbertDBRetriever(c).add_nodes(nodes) == [p["id"] for p in passages]
    yield c
    db.drop_collection("llamaindex")


def test_nodes(collection: colbertdb.Collection, passages: list[dict[str, str]]) -> None:
    text = passages[5]["text"]
    hits = collection.search(text, k=3).hits
    got = ColbertDBRetriever(collection, similarity_top_k=3).retrieve(text)
    assert [(n.node.node_id, n.get_content(), n.node.metadata, n.score) for n in got] == [
        (h.id, h.text, h.attributes, h.score_norm) for h in hits
    ]
    assert [n.node.node_id for n in ColbertDBRetriever(collection, score_threshold=hits[0].score_norm).retrieve(text)] == [hits[0].id]
    words = ColbertDBRetriever(collection, mode="bm25").retrieve("trademarks")
    assert words and "rademark" in words[0].get_content() and (words[0].score or 0) > 0
    with pytest.raises(colbertdb.InputError):
        ColbertDBRetriever()


def test_filters(collection: colbertdb.Collection, passages: list[dict[str, str]]) -> None:
    """LlamaIndex's filters find what their meaning in Python finds."""

    def one(operator: FilterOperator, value: object, key: str = "n") -> MetadataFilters:
        return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])  # type: ignore[arg-type]

    def both(condition: FilterCondition, *filters: MetadataFilters) -> MetadataFilters:
        return MetadataFilters(filters=list(filters), condition=condition)

    op, all = FilterOperator, range(len(passages))
    small, even = one(op.LT, 9), one(op.IN, list(range(0, 100, 2)))
    cases: list[tuple[MetadataFilters, list[int]]] = [
        (one(op.EQ, 3), [3]),
        (one(op.NE, 3), [n for n in all if n != 3]),
        (one(op.GT, 20), [n for n in all if n > 20]),
        (one(op.GTE, 20), [n for n in all if n >= 20]),
        (one(op.LTE, 2), [0, 1, 2]),
        (one(op.NIN, [0, 1]), [n for n in all if n > 1]),
        (one(op.CONTAINS, 7), [7]),
        (one(op.IS_EMPTY, None), []),
        (one(op.IS_EMPTY, None, "absent"), list(all)),
        (both(FilterCondition.AND, small, even), [0, 2, 4, 6, 8]),
        (both(FilterCondition.OR, small, even), [n for n in all if n < 9 or n % 2 == 0]),
        (both(FilterCondition.NOT, small), [n for n in all if n >= 9]),
        (MetadataFilters(filters=[]), list(all)),
    ]
    for filters, want in cases:
        got = ColbertDBRetriever(collection, filters=filters, similarity_top_k=1000).retrieve("patents")
        assert sorted(n.node.metadata["n"] for n in got) == want, filters
    with pytest.raises(colbertdb.InputError, match="text_match"):
        metadata_filter(one(op.TEXT_MATCH, "x"))
    assert ColbertDBRetriever(collection, filters="n < 2").retrieve("patents")


def test_in_a_query_engine(db: Client, name: str, passages: list[dict[str, str]]) -> None:
    """Documents cut by LlamaIndex's splitter, and found for its query engine."""
    r = ColbertDBRetriever(db.create_collection(name), similarity_top_k=2)
    document = Document(text="\n\n".join(p["text"] for p in passages[:12]), metadata={"file": "LICENSE"})
    nodes = SentenceSplitter(chunk_size=128, chunk_overlap=0).get_nodes_from_documents([document])
    assert len(nodes) > 3 and r.add_nodes(nodes) == [n.node_id for n in nodes]
    answer = RetrieverQueryEngine.from_args(r, llm=MockLLM(max_tokens=8)).query("patent license")
    assert len(answer.source_nodes) == 2 and answer.source_nodes[0].node.metadata == {"file": "LICENSE"}
    assert answer.source_nodes[0].node.node_id in {n.node_id for n in nodes}


def test_asyncio(server: local.Server, collection: colbertdb.Collection) -> None:
    async def run() -> None:
        want = [h.id for h in collection.search("patents", k=2)]
        async with colbertdb.AsyncClient(server.url) as db:
            alone = ColbertDBRetriever(async_collection=db.collection("llamaindex"), similarity_top_k=2)
            assert [n.node.node_id for n in await alone.aretrieve("patents")] == want
            with pytest.raises(colbertdb.InputError):
                alone.retrieve("patents")
        assert [n.node.node_id for n in await ColbertDBRetriever(collection, similarity_top_k=2).aretrieve("patents")] == want

    asyncio.run(run())
