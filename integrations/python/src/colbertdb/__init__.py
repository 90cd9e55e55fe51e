"""Client of colbertdb, a multi-vector (ColBERT) database::

    import colbertdb

    with colbertdb.Client("http://127.0.0.1:8080") as db:
        notes = db.create_collection("notes")
        notes.upsert([{"id": "cat", "text": "The cat sleeps on the warm windowsill."}])
        for hit in notes.search("where does the kitten rest?", k=3):
            print(hit.rank, hit.score, hit.id, hit.text)

AsyncClient is the same with ``await``. Adapters: colbertdb.langchain,
colbertdb.llamaindex, colbertdb.pylate and colbertdb.colbert (Stanford ColBERT's
Indexer, Searcher and Checkpoint). colbertdb.local starts a server of its own.
"""

from . import errors, filters
from .aio import AsyncClient, AsyncCollection
from .client import Client, Collection
from .errors import *  # noqa: F403
from .filters import Filter, attr
from .types import (
    CollectionInfo,
    Deleted,
    Document,
    Encoded,
    Highlight,
    Hit,
    Match,
    Model,
    Page,
    Progress,
    Purged,
    Ranked,
    Search,
    SearchOptions,
    SearchResult,
    Similar,
    Truncated,
    Upserted,
)

__all__ = [
    "AsyncClient",
    "AsyncCollection",
    "Client",
    "Collection",
    "CollectionInfo",
    "Deleted",
    "Document",
    "Encoded",
    "Filter",
    "Highlight",
    "Hit",
    "Match",
    "Model",
    "Page",
    "Progress",
    "Purged",
    "Ranked",
    "Search",
    "SearchOptions",
    "SearchResult",
    "Similar",
    "Truncated",
    "Upserted",
    "attr",
    "errors",
    "filters",
    *errors.__all__,
]
