"""A retriever for LangChain::

    from colbertdb.langchain import ColbertDBRetriever

    retriever = ColbertDBRetriever(collection=db.collection("notes"), k=4, filter="year >= 2020")
    documents = retriever.invoke("where does the kitten rest?")

Needs ``colbertdb[langchain]``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import Field, model_validator

from .aio import AsyncCollection
from .client import Collection
from .types import Hit, SearchResult, relevance


class ColbertDBRetriever(BaseRetriever):
    """Finds documents of a collection by late interaction, or by another mode.

    A document's ``metadata`` are the attributes, and ``score`` and ``relevance_score``
    besides: MaxSim, and the mean similarity of the query's tokens. What is set here can
    be set for one call as well: ``retriever.invoke(question, k=2, filter=…)``."""

    collection: Collection | None = None
    """Answers ``invoke`` and ``batch``; and ``ainvoke`` in a thread, where there is no
    ``async_collection``."""
    async_collection: AsyncCollection | None = None
    """Answers ``ainvoke`` and ``abatch``."""
    k: int = Field(default=10, ge=1)
    """How many documents."""
    filter: Any = None
    """A condition on attributes: text, JSON, or made with colbertdb.attr."""
    score_threshold: float | None = None
    """Leaves out documents of a lower relevance_score, by bm25 and hybrid of a lower score."""
    search_options: dict[str, Any] = Field(default_factory=dict)
    """Further options of colbertdb.SearchOptions, such as mode and effort."""

    @model_validator(mode="after")
    def _some_collection(self) -> Self:
        if self.collection is None and self.async_collection is None:
            raise ValueError("give a collection or an async_collection")
        return self

    def add_documents(self, documents: Sequence[Document], **load: Any) -> list[str]:
        """Stores LangChain's documents, however many, and returns their ids: their own,
        or new ones. ``load`` are options of colbertdb.Collection.load."""
        if self.collection is None:
            raise ValueError("add_documents needs a collection")
        ids = [d.id or str(uuid.uuid4()) for d in documents]
        self.collection.load(
            ({"id": id, "text": d.page_content, "attributes": d.metadata} for id, d in zip(ids, documents, strict=True)), **load
        )
        return ids

    def _options(self, given: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        """Options of one search, and the threshold."""
        options = {"k": self.k, "filter": self.filter, **self.search_options, **given}
        return options, options.pop("score_threshold", self.score_threshold)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **given: Any) -> list[Document]:
        if self.collection is None:
            raise ValueError("invoke needs a collection; ainvoke uses the async_collection")
        options, threshold = self._options(given)
        return _documents(self.collection.search(query, **options), options, threshold)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        if self.async_collection is None:
            return await super()._aget_relevant_documents(query, run_manager=run_manager, **given)
        options, threshold = self._options(given)
        return _documents(await self.async_collection.search(query, **options), options, threshold)

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        return LangSmithRetrieverParams(ls_retriever_name="colbertdb", ls_vector_store_provider="colbertdb")


def _documents(found: SearchResult, options: dict[str, Any], threshold: float | None) -> list[Document]:
    mode = options.get("mode")
    return [_document(h, mode) for h in found if threshold is None or relevance(h, mode) >= threshold]


def _document(h: Hit, mode: str | None) -> Document:
    metadata = {**(h.attributes or {}), "score": h.score, "relevance_score": relevance(h, mode)}
    return Document(id=h.id, page_content=h.text, metadata=metadata)
