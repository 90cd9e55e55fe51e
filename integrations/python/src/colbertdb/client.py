"""The client of a server, for programs that wait for each answer.

aio.py has the same for asyncio; what both send and read is in _requests.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Literal, Self, TypeVar, Unpack
from urllib.parse import urlsplit

import httpx

from . import _requests as requests
from ._call import Call, Retry, broken
from ._load import Load, OnProgress, OnRefused
from .errors import ColbertDBError
from .types import (
    CollectionInfo,
    Deleted,
    Document,
    DocumentLike,
    Encoded,
    FilterLike,
    Include,
    Model,
    Page,
    Profile,
    Progress,
    Purged,
    QueryLike,
    Ranked,
    Search,
    SearchOptions,
    SearchResult,
    Upserted,
)

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT = httpx.Timeout(330.0, connect=5.0)  # a write may take the server 5 minutes


def http_options(url: str, key: str | None, timeout: float | httpx.Timeout) -> dict[str, Any]:
    """How httpx is set up, for both clients."""
    headers = {"User-Agent": "colbertdb-python", **({"Authorization": f"Bearer {key}"} if key else {})}
    # Proxies of the environment are for other machines.
    host = urlsplit(url).hostname or ""
    here = host == "localhost" or host == "::1" or host.startswith("127.")
    return {"base_url": url.rstrip("/"), "headers": headers, "timeout": timeout, "trust_env": not here}


class Client:
    """A server. ``key`` is one of ``colbertdb key``. A request that the server did not
    begin because it was busy is sent again ``retries`` times, after ``retry_wait``
    seconds, twice as long each time, and no sooner than the server asks; so is one
    whose connection broke, where that is safe: writes carry idempotency keys.

    ``transport`` is one of httpx, for tests and proxies. A Client may be used by
    several threads at once."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        retries: int = 4,
        retry_wait: float = 0.1,
        timeout: float | httpx.Timeout = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._retry = Retry(retries, retry_wait)
        self._http = httpx.Client(transport=transport, **http_options(url, key, timeout))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: Call[T]) -> T:
        tries = 0
        while True:
            try:
                try:
                    answer = self._http.request(
                        call.method, call.path, content=call.body, headers=dict(call.headers), params=dict(call.params)
                    )
                except httpx.HTTPError as e:
                    raise broken(e) from e
                return call.result(answer)
            except ColbertDBError as e:
                tries += 1
                wait = self._retry.after(call, e, tries)
                if wait is None:
                    raise
                time.sleep(wait)

    def ready(self) -> None:
        """Returns when the server takes requests, and raises where it does not."""
        self._send(requests.ready())

    def collections(self) -> list[CollectionInfo]:
        """Every collection that the key may see."""
        return self._send(requests.list_collections())

    def create_collection(
        self,
        name: str,
        *,
        dim: int | None = None,
        profile: Profile | None = None,
        retain_raw: bool | None = None,
        model: str | None = None,
        recall_target: float | None = None,
        text_index: Literal["english", "plain", "none"] | None = None,
    ) -> Collection:
        """Creates a collection, or opens the one of that name when its configuration is
        equal. Without ``model`` and ``dim`` it has the server's default model; with
        ``dim`` alone it takes vectors."""
        self._send(
            requests.create_collection(
                name, dim=dim, profile=profile, retain_raw=retain_raw, model=model, recall_target=recall_target, text_index=text_index
            )
        )
        return Collection(self, name)

    def collection(self, name: str) -> Collection:
        """A collection by its name or an alias. Asks the server nothing yet."""
        return Collection(self, name)

    def drop_collection(self, name: str) -> None:
        """Removes a collection with its documents."""
        self._send(requests.drop_collection(name))

    def aliases(self) -> dict[str, str]:
        """The collection that each alias leads to."""
        return self._send(requests.list_aliases())

    def set_alias(self, name: str, collection: str) -> None:
        """Makes a name lead to a collection."""
        self._send(requests.set_alias(name, collection))

    def drop_alias(self, name: str) -> None:
        """Removes an alias; the collection stays."""
        self._send(requests.drop_alias(name))

    def models(self) -> list[Model]:
        """The server's models."""
        return self._send(requests.models())

    def encode_queries(self, texts: Sequence[str], *, model: str | None = None) -> Encoded:
        """Token vectors of queries."""
        return self._send(requests.encode(texts, True, model))

    def encode_documents(self, texts: Sequence[str], *, model: str | None = None) -> Encoded:
        """Token vectors of documents, which are encoded on a side of their own."""
        return self._send(requests.encode(texts, False, model))

    def rerank(self, query: str, documents: Sequence[str], *, top_n: int | None = None, model: str | None = None) -> list[Ranked]:
        """Documents that are stored nowhere, best first."""
        return self._send(requests.rerank(query, documents, top_n, model))


class Collection:
    """A collection of a server."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    def info(self) -> CollectionInfo:
        """What the server tells of it."""
        return self.client._send(requests.get_collection(self.name))

    def stats(self) -> dict[str, Any]:
        """Sizes, columns, debts and indexes."""
        return self.client._send(requests.stats(self.name))

    def upsert(self, documents: Sequence[DocumentLike], *, idempotency_key: str | None = None) -> Upserted:
        """Stores up to 1,000 documents in one step: on disk and seen by every later
        search when it returns. ``idempotency_key`` makes a repetition of the same write,
        also by another process, do nothing; without one each call has its own."""
        return self.client._send(requests.upsert(self.name, documents, idempotency_key))

    def load(
        self,
        documents: Iterable[DocumentLike],
        *,
        on_refused: OnRefused | None = None,
        progress: OnProgress = False,
        total: int | None = None,
    ) -> Progress:
        """Stores any number of documents, read as they are sent. It is not one step:
        what was stored before an exception (LoadError) stays, and the load can be
        repeated as a whole. With ``on_refused`` documents that cannot be stored are told
        to it, and the load goes on. ``progress`` is True for a bar (where tqdm is
        installed, which ``total`` is for) or a function."""
        load = Load(self.name, on_refused, progress, len(documents) if isinstance(documents, Sized) else total)

        def send(groups: Iterator[Any]) -> None:
            for group in groups:
                try:
                    told = self.client._send(group.call)
                except ColbertDBError as e:
                    raise load.failed(group, e) from e
                load.done(group, told)

        try:
            for document in documents:
                send(load.add(document))
            send(load.rest())
        finally:
            load.close()
        return load.progress

    def get(self, id: str, *, vectors: bool = False) -> Document:
        """A document; raises NotFoundError where there is none."""
        return self.client._send(requests.get(self.name, id, vectors))

    def delete(self, ids: Sequence[str] | None = None, *, filter: FilterLike | None = None, idempotency_key: str | None = None) -> Deleted:
        """Removes documents, by ids or by a filter, in one step."""
        return self.client._send(requests.delete(self.name, ids, filter, idempotency_key))

    def purge(self, ids: Sequence[str]) -> Purged:
        """Erases documents from every file of the server's store."""
        return self.client._send(requests.purge(self.name, ids))

    def page(
        self,
        cursor: str | None = None,
        *,
        limit: int | None = None,
        filter: FilterLike | None = None,
        vectors: bool = False,
        include: Sequence[Include] | None = None,
    ) -> Page:
        """Documents in the order of their last upsert, some at a time; ``next_cursor``
        leads to the next page. A page may be shorter than ``limit``."""
        return self.client._send(requests.page(self.name, cursor, limit, filter, vectors, include))

    def scroll(
        self,
        *,
        limit: int | None = None,
        filter: FilterLike | None = None,
        vectors: bool = False,
        include: Sequence[Include] | None = None,
    ) -> Iterator[Document]:
        """Every document, page by page: each page as it is at its own moment."""
        cursor = None
        while True:
            page = self.page(cursor, limit=limit, filter=filter, vectors=vectors, include=include)
            yield from page.documents
            cursor = page.next_cursor
            if cursor is None:
                return

    def search(self, query: QueryLike | None = None, **options: Unpack[SearchOptions]) -> SearchResult:
        """The documents nearest to a text, to token vectors, or to a stored document
        (Similar). SearchOptions has the options."""
        return self.client._send(requests.search(self.name, query, options))

    def search_batch(self, searches: Iterable[Search | QueryLike], **options: Unpack[SearchOptions]) -> list[SearchResult]:
        """Several searches, in few requests. Options are of all of them; a Search has
        its own besides."""
        calls = requests.search_batches(self.name, searches, options)
        return [result for call in calls for result in self.client._send(call)]

    def index(self, paths: Sequence[str] = (), *, text: Literal["english", "plain"] | None = None) -> dict[str, Any]:
        """Declares indexes of attributes, or of text; returns when every segment has them."""
        return self.client._send(requests.make_indexes(self.name, paths, text))

    def drop_index(self, paths: Sequence[str] = (), *, text: Literal["english", "plain"] | None = None) -> dict[str, Any]:
        """Removes indexes."""
        return self.client._send(requests.drop_indexes(self.name, paths, text))

    def compact(self) -> CollectionInfo:
        """Merges the collection's segments into as few as the limits allow."""
        return self.client._send(requests.compact(self.name))
