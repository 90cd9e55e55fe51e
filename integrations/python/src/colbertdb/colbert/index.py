"""Indexer and Searcher: an index is a collection, a passage's id its place in the list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..client import Client, Collection
from ..errors import ColbertDBError, CollectionNotFoundError, InputError
from ..filters import attr
from ..local import connect
from ..types import Search, SearchOptions, SearchResult
from ..vectors import matrix
from .infra import ColBERTConfig, Run, collection_name
from .modeling.checkpoint import Checkpoint, model_of

#: The attribute that a passage's id is kept in as well, so that pids are a filter.
_PID = "pid"


class IndexExistsError(ColbertDBError):
    """There is an index of that name already."""


class Indexer:
    """Makes indexes. ``Run().context()`` says in which root and experiment."""

    def __init__(self, checkpoint: str, config: ColBERTConfig | None = None, verbose: int = 3) -> None:
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.config = ColBERTConfig.from_existing(config, Run().config)
        self.client = connect(self.config.store)
        self.index_path: str | None = None

    def configure(self, **settings: Any) -> None:
        """Gives settings of the configuration."""
        self.config.configure(**settings)

    def get_index(self) -> str | None:
        """The collection of the index that was made."""
        return self.index_path

    def erase(self, force_silent: bool = False) -> list[str]:
        """Removes the index that was made."""
        if self.index_path is None:
            raise InputError("no index was made")
        self.client.drop_collection(self.index_path)
        return [self.index_path]

    def index(
        self,
        name: str,
        collection: Sequence[str] | str,
        overwrite: bool | Literal["reuse", "resume", "force_silent_overwrite"] = False,
    ) -> str:
        """Encodes and stores passages: a list of texts, or the path of a TSV file with
        lines of id, text and perhaps title, whose ids are 0, 1, 2, … An index that is
        there is an error, or is made anew (True, "force_silent_overwrite"), left as it is
        ("reuse") or filled on ("resume"). Returns the name of its collection."""
        texts = _passages(collection)
        self.index_path = collection_name(self.config.experiment, name)
        if _exists(self.client, self.index_path):
            if overwrite == "reuse":
                return self.index_path
            if not overwrite:
                raise IndexExistsError(f"the index {name!r} is there (collection {self.index_path!r}): give overwrite=True")
            if overwrite != "resume":
                self.client.drop_collection(self.index_path)
        made = self.client.create_collection(self.index_path, model=model_of(self.client, self.checkpoint))
        documents = ({"id": str(i), "text": t, "attributes": {_PID: i}} for i, t in enumerate(texts))
        made.load(documents, progress=self.verbose > 1, total=len(texts))
        return self.index_path


def _exists(client: Client, name: str) -> bool:
    try:
        client.collection(name).info()
    except CollectionNotFoundError:
        return False
    return True


def _passages(given: Sequence[str] | str) -> list[str]:
    if not isinstance(given, str):
        return list(given)
    out: list[str] = []
    with Path(given).open(encoding="utf-8") as f:
        for line in f:
            pid, text, *title = line.rstrip("\n").split("\t")
            if pid != str(len(out)) and pid != "id":
                raise InputError(f"{given}: line {len(out) + 1} has the id {pid!r}, want {len(out)}")
            if pid != "id":
                out.append(f"{title[0]} | {text}" if title and title[0] else text)
    return out


class Passages(Mapping[int, str]):
    """The texts of an index, by the passages' ids."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __getitem__(self, pid: int) -> str:
        return self._collection.get(str(pid)).text

    def __len__(self) -> int:
        return self._collection.info().documents

    def __iter__(self) -> Iterator[int]:
        return (int(d.id) for d in self._collection.scroll(include=[]))


class Ranking:
    """What search_all finds: for each query's id, triples of passage, rank and score."""

    def __init__(self, data: dict[Any, list[tuple[int, int, float]]]) -> None:
        self.data = data

    def todict(self) -> dict[Any, list[tuple[int, int, float]]]:
        return dict(self.data)

    def tolist(self) -> list[tuple[Any, int, int, float]]:
        return [(qid, *hit) for qid, hits in self.data.items() for hit in hits]

    def items(self) -> Any:
        return self.data.items()

    def save(self, path: str) -> str:
        """Writes lines of query, passage, rank and score, between tabs."""
        with Path(path).open("w", encoding="utf-8") as f:
            f.writelines("\t".join(map(str, line)) + "\n" for line in self.tolist())
        return path


#: A search's answer in Stanford's form: ids of passages, ranks from 1, scores.
Found = tuple[list[int], list[int], list[float]]


class Searcher:
    """Searches an index. The model is the one that it was made with."""

    def __init__(
        self,
        index: str,
        checkpoint: str | None = None,
        collection: Any = None,
        config: ColBERTConfig | None = None,
        index_root: str | None = None,
        verbose: int = 3,
    ) -> None:
        self.config = ColBERTConfig.from_existing(config, Run().config)
        self.client = connect(self.config.store)
        self.index = collection_name(self.config.experiment, index)
        self._collection = self.client.collection(self.index)
        info = self._collection.info()  # raises where there is none
        self._model = (info.model or {}).get("name")
        self.collection = Passages(self._collection)

    def configure(self, **settings: Any) -> None:
        """Gives settings of the configuration."""
        self.config.configure(**settings)

    def search(
        self, text: str, k: int = 10, filter_fn: None = None, full_length_search: bool = False, pids: Sequence[int] | None = None
    ) -> Found:
        """The ``k`` best passages: their ids, their ranks and their scores, three lists.
        ``pids`` are the only ones to look at."""
        return _found(self._collection.search(text, **self._options(k, filter_fn, pids)))

    def search_all(
        self,
        queries: Mapping[Any, str] | Sequence[str],
        k: int = 10,
        filter_fn: None = None,
        full_length_search: bool = False,
        qid_to_pids: Mapping[Any, Sequence[int]] | None = None,
    ) -> Ranking:
        """Many queries: a list of texts, or texts by ids."""
        given = dict(queries) if isinstance(queries, Mapping) else dict(enumerate(queries))
        pids = qid_to_pids or {}
        searches = [Search(text, **self._options(k, filter_fn, pids.get(qid))) for qid, text in given.items()]
        results = self._collection.search_batch(searches)
        return Ranking({qid: list(zip(*_found(r))) for qid, r in zip(given, results)})

    def encode(self, text: str | list[str], full_length_search: bool = False) -> Any:
        """Token vectors of queries: Checkpoint.queryFromText."""
        checkpoint = Checkpoint(str(self._model), self.config)
        return checkpoint.queryFromText([text] if isinstance(text, str) else text)

    def dense_search(self, Q: Any, k: int = 10, filter_fn: None = None, pids: Sequence[int] | None = None) -> Found:
        """The best passages for one encoded query, (1, tokens, dimensions). The length
        of a vector is its token's weight (Checkpoint.queryFromText)."""
        q = matrix(Q[0], "Q")
        lengths = np.linalg.norm(q, axis=1)
        kept = lengths > 0
        options = self._options(k, filter_fn, pids)
        options["weights"] = lengths[kept].tolist()
        return _found(self._collection.search(q[kept] / lengths[kept, None], **options))

    @staticmethod
    def _options(k: int, filter_fn: Callable[..., Any] | None, pids: Sequence[int] | None) -> SearchOptions:
        if filter_fn is not None:
            raise InputError("filter_fn cannot be sent to a server: give pids, or search the collection with a filter of attributes")
        out: SearchOptions = {"k": k, "include": []}
        if pids is not None:
            out["filter"] = attr(_PID).is_in(*map(int, pids))
        return out


def _found(r: SearchResult) -> Found:
    return [int(h.id) for h in r], [h.rank for h in r], [h.score for h in r]
