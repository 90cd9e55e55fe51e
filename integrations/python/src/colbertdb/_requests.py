"""The requests of the server's routes, each as a Call. docs/api.md has the words to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from . import filters
from ._call import Call, dumps, escape
from .errors import InputError
from .types import (
    CollectionInfo,
    Deleted,
    Document,
    DocumentLike,
    Encoded,
    FilterLike,
    Model,
    Page,
    Profile,
    Purged,
    QueryLike,
    Ranked,
    Search,
    SearchOptions,
    SearchResult,
    Similar,
    Upserted,
)
from .vectors import from_base64, wire

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def nothing(_: Any) -> None:
    return None


def _keyed(key: str | None) -> dict[str, str]:
    """Headers of a write: with a key, so that it can be sent again when its answer was lost."""
    return {**JSON, "Idempotency-Key": key or str(uuid.uuid4())}


# Collections


def ready() -> Call[None]:
    return Call("GET", "/readyz", nothing, again=True)


def list_collections() -> Call[list[CollectionInfo]]:
    return Call("GET", "/v1/collections", lambda a: [CollectionInfo.read(c) for c in a["collections"]], again=True)


def list_aliases() -> Call[dict[str, str]]:
    return Call("GET", "/v1/aliases", lambda a: {x["name"]: x["collection"] for x in a["aliases"]}, again=True)


def collection_path(name: str, rest: str = "") -> str:
    return f"/v1/collections/{escape(name)}{rest}"


def create_collection(
    name: str,
    *,
    dim: int | None,
    profile: Profile | None,
    retain_raw: bool | None,
    model: str | None,
    recall_target: float | None,
    text_index: Literal["english", "plain", "none"] | None,
) -> Call[CollectionInfo]:
    given = {
        "dim": dim,
        "profile": profile,
        "retain_raw": retain_raw,
        "model": model,
        "recall_target": recall_target,
        "text_index": text_index,
    }
    body = dumps({k: v for k, v in given.items() if v is not None})
    return Call("PUT", collection_path(name), CollectionInfo.read, body, JSON, again=True)


def get_collection(name: str) -> Call[CollectionInfo]:
    return Call("GET", collection_path(name), CollectionInfo.read, again=True)


def drop_collection(name: str) -> Call[None]:
    return Call("DELETE", collection_path(name), nothing)


def set_alias(name: str, collection: str) -> Call[None]:
    return Call("PUT", f"/v1/aliases/{escape(name)}", nothing, dumps({"collection": collection}), JSON, again=True)


def drop_alias(name: str) -> Call[None]:
    return Call("DELETE", f"/v1/aliases/{escape(name)}", nothing)


def stats(name: str) -> Call[dict[str, Any]]:
    return Call("GET", collection_path(name, "/stats"), dict, again=True)


def compact(name: str) -> Call[CollectionInfo]:
    return Call("POST", collection_path(name, "/compact"), CollectionInfo.read)


def make_indexes(name: str, paths: Sequence[str], text: str | None) -> Call[dict[str, Any]]:
    return Call("POST", collection_path(name, "/indexes"), dict, _indexes(paths, text), JSON, again=True)


def drop_indexes(name: str, paths: Sequence[str], text: str | None) -> Call[dict[str, Any]]:
    return Call("DELETE", collection_path(name, "/indexes"), dict, _indexes(paths, text), JSON)


def _indexes(paths: Sequence[str], text: str | None) -> bytes:
    if isinstance(paths, str):
        raise InputError(f"paths: give a list of paths, not the string {paths!r}")
    return dumps({**({"paths": list(paths)} if paths else {}), **({"text": text} if text else {})})


# Documents


def document(given: DocumentLike) -> dict[str, Any]:
    """A document as it is sent."""
    if not isinstance(given, Document):
        unknown = set(given) - {"id", "text", "vectors", "attributes"}
        if unknown:
            raise InputError(f"document {given.get('id')!r}: unknown fields {sorted(unknown)}; attributes go into 'attributes'")
        given = Document(**given)
    if not given.id or not isinstance(given.id, str):
        raise InputError(f"document {given.id!r}: the id must be a string that is not empty")
    out: dict[str, Any] = {"id": given.id}
    if given.text:
        out["text"] = given.text
    if given.attributes is not None:
        out["attributes"] = given.attributes
    if given.vectors is not None:
        out.update(wire(given.vectors, f"document {given.id!r}"))
    return out


def upsert(name: str, documents: Sequence[DocumentLike], key: str | None) -> Call[Upserted]:
    if not documents:
        raise InputError("no documents")
    body = dumps({"documents": [document(d) for d in documents]})
    return Call("POST", collection_path(name, "/documents"), Upserted.read, body, _keyed(key), again=True)


def delete(name: str, ids: Sequence[str] | None, where: FilterLike | None, key: str | None) -> Call[Deleted]:
    if (not ids) == (where is None):
        raise InputError("give either ids or a filter")
    body = dumps({"ids": list(ids)} if ids else {"filter": filters.wire(where)})  # type: ignore[arg-type]
    return Call("POST", collection_path(name, "/documents:delete"), Deleted.read, body, _keyed(key), again=True)


def purge(name: str, ids: Sequence[str]) -> Call[Purged]:
    return Call("POST", collection_path(name, "/documents:purge"), Purged.read, dumps({"ids": list(ids)}), JSON)


def get(name: str, id: str, vectors: bool) -> Call[Document]:
    if not id:
        raise InputError("the id is empty")
    params = {"vectors": "true"} if vectors else {}
    return Call("GET", collection_path(name, f"/documents/{escape(id)}"), Document.read, params=params, again=True)


def page(
    name: str, cursor: str | None, limit: int | None, where: FilterLike | None, vectors: bool, include: Sequence[str] | None
) -> Call[Page]:
    params: dict[str, str] = {}
    if cursor:
        params["cursor"] = cursor
    if limit is not None:
        params["limit"] = str(limit)
    if where is not None:
        told = filters.wire(where)
        params["filter"] = told if isinstance(told, str) else dumps(told).decode()
    if vectors:
        params["vectors"] = "true"
    if include is not None:
        params["include"] = ",".join(include)
    return Call("GET", collection_path(name, "/documents"), Page.read, params=params, again=True)


# Searches


def search_body(query: QueryLike | None, options: SearchOptions | Mapping[str, Any]) -> dict[str, Any]:
    """A search as it is sent."""
    out: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
    if "filter" in out:
        out["filter"] = filters.wire(out["filter"])
    if "weights" in out:
        out["weights"] = [float(w) for w in out["weights"]]
    if "include" in out:
        out["include"] = list(out["include"])
    if isinstance(query, str):
        if "text" in out:
            raise InputError("the query is a text, and text is given besides")
        out["text"] = query
    elif isinstance(query, Similar):
        out["document_id"] = query.document_id
    elif query is not None:
        out.update(wire(query, "query"))
    return out


def search(name: str, query: QueryLike | None, options: SearchOptions) -> Call[SearchResult]:
    body = dumps(search_body(query, options))
    return Call("POST", collection_path(name, "/search"), SearchResult.read, body, JSON, again=True)


#: The most searches that a server takes in one request, by default.
BATCH = 256


def search_batches(name: str, searches: Iterable[Search | QueryLike], options: SearchOptions) -> Iterator[Call[list[SearchResult]]]:
    """One Call for each 256 searches. ``options`` are of all, a Search's own go before them."""
    if isinstance(searches, str):
        raise InputError("give a list of searches, not one string")
    bodies: list[dict[str, Any]] = []
    for s in searches:
        one = s if isinstance(s, Search) else Search(s)
        bodies.append(search_body(one.query, {**options, **one.options}))
        if len(bodies) == BATCH:
            yield _batch(name, bodies)
            bodies = []
    if bodies:
        yield _batch(name, bodies)


def _batch(name: str, bodies: list[dict[str, Any]]) -> Call[list[SearchResult]]:
    def read(a: Any) -> list[SearchResult]:
        results = [SearchResult.read(r) for r in a["results"]]
        if len(results) != len(bodies):
            raise ValueError(f"{len(results)} results of {len(bodies)} searches")
        return results

    return Call("POST", collection_path(name, "/search:batch"), read, dumps({"searches": bodies}), JSON, again=True)


# Models


def models() -> Call[list[Model]]:
    return Call("GET", "/v1/models", lambda a: [Model.read(m) for m in a["data"]], again=True)


def encode(texts: Sequence[str], query: bool, model: str | None) -> Call[Encoded]:
    if isinstance(texts, str):
        raise InputError("give a list of texts, not one string")

    def read(a: Any) -> Encoded:
        data = sorted(a["data"], key=lambda d: d["index"])
        weights = [np.asarray(d["weights"], dtype=np.float32) if "weights" in d else None for d in data]
        return Encoded([from_base64(d["embeddings"]) for d in data], weights, a["model"], a["usage"]["total_tokens"])

    body = {"input": list(texts), "input_type": "query" if query else "document", "embedding_type": "base64"}
    return Call("POST", "/v1/multi-vector", read, dumps({**body, **_model(model)}), JSON, again=True)


def rerank(query: str, documents: Sequence[str], top_n: int | None, model: str | None) -> Call[list[Ranked]]:
    if isinstance(documents, str):
        raise InputError("give a list of documents, not one string")

    def read(a: Any) -> list[Ranked]:
        return [Ranked(r["index"], r["relevance_score"], documents[r["index"]]) for r in a["results"]]

    body: dict[str, Any] = {"query": query, "documents": list(documents), "return_documents": False, **_model(model)}
    if top_n is not None:
        body["top_n"] = top_n
    return Call("POST", "/v1/rerank", read, dumps(body), JSON, again=True)


def _model(name: str | None) -> dict[str, str]:
    return {"model": name} if name else {}
