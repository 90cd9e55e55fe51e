"""A retriever for LlamaIndex::

    from colbertdb.llamaindex import ColbertDBRetriever

    retriever = ColbertDBRetriever(db.collection("notes"), similarity_top_k=4)
    nodes = retriever.retrieve("where does the kitten rest?")

Needs ``colbertdb[llamaindex]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import ExactMatchFilter, FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from .aio import AsyncCollection
from .client import Collection
from .errors import InputError
from .types import FilterLike, SearchResult, relevance


class ColbertDBRetriever(BaseRetriever):
    """Finds nodes in a collection by late interaction, or by another mode.

    ``filters`` are LlamaIndex's MetadataFilters or colbertdb's; ``score_threshold``
    leaves out nodes of a lower score, which is the mean similarity of the query's
    tokens, by bm25 and hybrid theirs; ``options`` are further ones of
    colbertdb.SearchOptions. ``aretrieve`` asks ``async_collection``, where there is one,
    else ``collection`` in a thread."""

    def __init__(
        self,
        collection: Collection | None = None,
        *,
        async_collection: AsyncCollection | None = None,
        similarity_top_k: int = 10,
        filters: MetadataFilters | FilterLike | None = None,
        score_threshold: float | None = None,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
        **options: Any,
    ) -> None:
        if collection is None and async_collection is None:
            raise InputError("give a collection or an async_collection")
        super().__init__(callback_manager=callback_manager, verbose=verbose)
        self.collection = collection
        self.async_collection = async_collection
        self.score_threshold = score_threshold
        where = metadata_filter(filters) if isinstance(filters, MetadataFilters) else filters
        self.options: dict[str, Any] = {**options, "k": similarity_top_k, "filter": where}

    def add_nodes(self, nodes: Sequence[BaseNode], **load: Any) -> list[str]:
        """Stores nodes with their ids, texts and metadata, however many, and returns
        the ids. ``load`` are options of colbertdb.Collection.load."""
        if self.collection is None:
            raise InputError("add_nodes needs a collection")
        self.collection.load(
            ({"id": n.node_id, "text": n.get_content(MetadataMode.NONE), "attributes": n.metadata} for n in nodes), **load
        )
        return [n.node_id for n in nodes]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self.collection is None:
            raise InputError("retrieve needs a collection; aretrieve uses the async_collection")
        return self._nodes(self.collection.search(query_bundle.query_str, **self.options))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self.async_collection is None:
            return await asyncio.to_thread(self._retrieve, query_bundle)
        return self._nodes(await self.async_collection.search(query_bundle.query_str, **self.options))

    def _nodes(self, found: SearchResult) -> list[NodeWithScore]:
        out = []
        for h in found:
            score = relevance(h, self.options.get("mode"))
            if self.score_threshold is None or score >= self.score_threshold:
                out.append(NodeWithScore(node=TextNode(id_=h.id, text=h.text, metadata=h.attributes or {}), score=score))
        return out


def metadata_filter(given: MetadataFilters) -> dict[str, Any] | None:
    """LlamaIndex's filters in colbertdb's JSON form, None for none."""
    parts = [p for p in (_part(f) for f in given.filters) if p is not None]
    if not parts:
        return None
    match given.condition:
        case FilterCondition.OR:
            return {"or": parts}
        case FilterCondition.NOT:
            return {"not": {"and": parts}}
    return {"and": parts}


def _part(given: MetadataFilter | ExactMatchFilter | MetadataFilters) -> dict[str, Any] | None:
    if isinstance(given, MetadataFilters):
        return metadata_filter(given)
    key, value = given.key, given.value
    match given.operator:
        case FilterOperator.EQ | FilterOperator.CONTAINS:  # an array has each of its elements
            return {"eq": {key: value}}
        case FilterOperator.NE:
            return {"ne": {key: value}}
        case FilterOperator.LT:
            return {"lt": {key: value}}
        case FilterOperator.LTE:
            return {"lte": {key: value}}
        case FilterOperator.GT:
            return {"gt": {key: value}}
        case FilterOperator.GTE:
            return {"gte": {key: value}}
        case FilterOperator.IN | FilterOperator.ANY:
            return {"in": {key: value}}
        case FilterOperator.NIN:
            return {"not": {"in": {key: value}}}
        case FilterOperator.ALL if isinstance(value, list) and value:
            return {"and": [{"eq": {key: v}} for v in value]}
        case FilterOperator.IS_EMPTY:
            return {"or": [{"not": {"exists": key}}, {"eq": {key: None}}]}
    raise InputError(f"colbertdb has no filter like {given.operator.value!r} on {key!r}")
