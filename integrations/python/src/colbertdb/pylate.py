"""An index for PyLate, in place of one of its own::

    index = colbertdb.pylate.Index(index_folder="indexes", index_name="colbert", override=True)
    # was: indexes.PLAID(index_folder="indexes", index_name="colbert", override=True)

    index.add_documents(documents_ids=ids, documents_embeddings=embeddings)
    results = retrieve.ColBERT(index=index).retrieve(queries_embeddings=queries, k=10)

What PyLate's retrievers and evaluation need of an index, this one has. The documents are
in a collection of the server that COLBERTDB_URL names, or of one that is started for
``index_folder`` (colbertdb.local). Documents are added and removed one by one, found by
the next search, and their ids may be added again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .client import Client, Collection
from .errors import CollectionNotFoundError, InputError
from .filters import Filter, attr
from .local import connect
from .types import Profile, Search
from .vectors import Vectors, matrix

#: The attribute that ids are kept in as well, so that a subset is a filter.
_ID = "pylate_id"


class Index:
    """A PyLate index over a collection, which is made with the first documents, by their
    dimension. ``override`` empties one that is there.

    ``profile`` and ``retain_raw`` say how vectors are kept (colbertdb create);
    ``search_options`` are of colbertdb.SearchOptions, such as effort. Ids are strings;
    others are turned into strings."""

    #: PyLate asks: the results are documents with scores, ready.
    is_end_to_end_index = True

    def __init__(
        self,
        index_folder: str = "indexes",
        index_name: str = "colbert",
        override: bool = False,
        *,
        client: Client | None = None,
        profile: Profile = "exact",
        retain_raw: bool = False,
        show_progress: bool = True,
        **search_options: Any,
    ) -> None:
        self.client = client or connect(os.path.join(index_folder, "colbertdb"))
        self.collection: Collection = self.client.collection(index_name)
        self.show_progress = show_progress
        self._make: dict[str, Any] = {"profile": profile, "retain_raw": retain_raw, "text_index": "none"}
        self._options: dict[str, Any] = search_options
        if override:
            try:
                self.client.drop_collection(index_name)
            except CollectionNotFoundError:
                pass

    def add_documents(
        self, documents_ids: str | Iterable[Any], documents_embeddings: Any, batch_size: int | None = None, **_: Any
    ) -> Index:
        """Stores documents. One with an id that is there replaces it. ``batch_size`` is
        taken, and not needed."""
        ids = _ids(documents_ids)
        embeddings = _matrices(documents_embeddings, "document")
        if len(ids) != len(embeddings):
            raise InputError(f"{len(ids)} ids of {len(embeddings)} documents")
        if ids:
            self.client.create_collection(self.collection.name, dim=embeddings[0].shape[1], **self._make)
            documents = ({"id": id, "vectors": e, "attributes": {_ID: id}} for id, e in zip(ids, embeddings))
            self.collection.load(documents, progress=self.show_progress, total=len(ids))
        return self

    def update_documents(self, documents_ids: Iterable[Any], documents_embeddings: Any) -> Index:
        """What add_documents does."""
        return self.add_documents(documents_ids, documents_embeddings)

    def remove_documents(self, documents_ids: str | Iterable[Any]) -> Index:
        """Removes documents; ids that are not there are no error."""
        ids = _ids(documents_ids)
        for start in range(0, len(ids), 1000):
            self.collection.delete(ids[start : start + 1000])
        return self

    def __call__(self, queries_embeddings: Any, k: int = 10, subset: Sequence[Any] | None = None) -> list[list[dict[str, Any]]]:
        """The best ``k`` documents of each query, as ``{"id": …, "score": MaxSim}``.
        ``subset`` are the only ids to look at, for all queries or for each."""
        queries = _matrices(queries_embeddings, "query")
        filters = _subsets(subset, len(queries))
        searches = [Search(q, filter=f) if f is not None else Search(q) for q, f in zip(queries, filters)]
        found = self.collection.search_batch(searches, k=k, include=[], **self._options)
        return [[] if f is _NOTHING else [{"id": h.id, "score": h.score} for h in r] for r, f in zip(found, filters)]

    def get_documents_embeddings(self, documents_ids: Sequence[Sequence[Any]]) -> list[list[Vectors]]:
        """The documents' vectors as the collection represents them; those of an id that
        is not there are an error."""
        return [[self._embeddings(str(id)) for id in ids] for ids in documents_ids]

    def _embeddings(self, id: str) -> Vectors:
        vectors = self.collection.get(id, vectors=True).vectors
        if vectors is None:
            raise InputError(f"document {id!r} has no vectors")
        return vectors


#: A filter that nothing meets, for an empty subset.
_NOTHING = attr(_ID).is_in("") & ~attr(_ID).exists()


def _subsets(subset: Sequence[Any] | None, queries: int) -> list[Filter | None]:
    """The filter of each query."""
    if subset is None:
        return [None] * queries
    each = bool(subset) and isinstance(subset[0], (list, tuple))
    lists = list(subset) if each else [list(subset)] * queries
    if len(lists) != queries:
        raise InputError(f"{len(lists)} subsets of {queries} queries")
    return [attr(_ID).is_in(*map(str, ids)) if ids else _NOTHING for ids in lists]


def _ids(given: str | Iterable[Any]) -> list[str]:
    return [given] if isinstance(given, str) else [str(id) for id in given]


def _matrices(given: Any, what: str) -> list[npt.NDArray[Any]]:
    """The token vectors of each text: of a list of matrices, of one array or tensor of
    three dimensions, or of one matrix. Rows of zeros are padding, and left out."""
    items = [given] if getattr(given, "ndim", 0) == 2 else list(given)
    out = []
    for i, item in enumerate(items):
        m = matrix(item, f"{what} {i}")
        kept = m.any(axis=1)
        if not kept.any():
            raise InputError(f"{what} {i}: all vectors are zero")
        out.append(m if kept.all() else np.ascontiguousarray(m[kept]))
    return out
