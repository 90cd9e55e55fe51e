"""What can go wrong, as exceptions.

Every answer of the server that is no success has a stable word, its ``error_type``
(docs/api.md). Each word has a class here, so that a program catches what it can deal
with::

    try:
        notes.get("cat")
    except colbertdb.NotFoundError:
        ...
"""

from __future__ import annotations

import json
from typing import Any

__all__ = [
    "AnswerError",
    "AuthenticationError",
    "BadRequestError",
    "ColbertDBError",
    "CollectionExistsError",
    "CollectionNotFoundError",
    "ConflictError",
    "CorruptionError",
    "DiskFullError",
    "FilterError",
    "IdempotencyConflictError",
    "InputError",
    "InternalError",
    "InvalidError",
    "LoadError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "NoModelError",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "SearchError",
    "ServerError",
    "ServerTimeoutError",
    "TooLargeError",
    "TransportError",
    "UnavailableError",
    "VectorsError",
]


class ColbertDBError(Exception):
    """The base of every exception of this package."""


class InputError(ColbertDBError, ValueError):
    """An argument that cannot be sent; nothing was sent."""


class TransportError(ColbertDBError):
    """No answer came: the server is not there, or the connection broke. A write may
    have been made."""


class AnswerError(ColbertDBError):
    """An answer that is none of colbertdb's."""


class ServerError(ColbertDBError):
    """An answer that is no success.

    ``status`` is HTTP's, ``kind`` the stable word, ``request_id`` names the request in
    the server's log, ``retry_after`` is the time in seconds after which the server asks
    to try again, None where it does not.
    """

    def __init__(
        self, message: str, *, status: int, kind: str = "", request_id: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.request_id = request_id
        self.retry_after = retry_after

    @property
    def untouched(self) -> bool:
        """The server has done nothing of the request: it can be sent again."""
        return self.kind in ("overloaded", "busy", "encoder_busy", "shutting_down")


class BadRequestError(ServerError):
    """A request that cannot be read (400, 408, 415)."""


class InvalidError(ServerError):
    """A request that makes no sense (422)."""


class FilterError(InvalidError):
    """A filter that cannot be read."""


class SearchError(InvalidError):
    """A search that cannot be made as it was asked for."""


class VectorsError(InvalidError):
    """Vectors of a wrong form: not finite, none, or not of the collection's dimension."""


class NoModelError(InvalidError):
    """Text where the collection, or the server, has no model; or no text where one is needed."""


class TooLargeError(InvalidError):
    """A request or an answer beyond the server's limits (413, 422)."""


class AuthenticationError(ServerError):
    """The key is missing or wrong (401)."""


class PermissionDeniedError(ServerError):
    """The key, the host or the page that asks is not allowed to (403)."""


class NotFoundError(ServerError):
    """There is no document, collection, model, snapshot or route of that name (404)."""


class CollectionNotFoundError(NotFoundError):
    """There is no collection or alias of that name."""


class ModelNotFoundError(NotFoundError):
    """There is no model of that name."""


class ConflictError(ServerError):
    """The request contradicts what is there (409, 410)."""


class CollectionExistsError(ConflictError):
    """There is a collection of that name with another configuration."""


class ModelMismatchError(ConflictError):
    """The collection was made with another model."""


class IdempotencyConflictError(ConflictError):
    """Another write had that idempotency key."""


class OverloadedError(ServerError):
    """The server has too much to do, also after the repetitions (429). Nothing was done."""


class UnavailableError(ServerError):
    """The server shuts down, is closed, or takes no writes (503)."""


class ServerTimeoutError(ServerError):
    """The server did not end in time (504)."""


class DiskFullError(ServerError):
    """The server's disk is full (507). Nothing was done."""


class InternalError(ServerError):
    """The server failed (500)."""


class CorruptionError(InternalError):
    """The server has read damaged bytes; the message names the place."""


#: The class of each error_type.
KINDS: dict[str, type[ServerError]] = {
    "bad_request": BadRequestError,
    "slow_body": BadRequestError,
    "unsupported_type": BadRequestError,
    "unsupported_encoding": BadRequestError,
    "unauthorized": AuthenticationError,
    "forbidden": PermissionDeniedError,
    "host": PermissionDeniedError,
    "cross_origin": PermissionDeniedError,
    "not_found": NotFoundError,
    "no_route": NotFoundError,
    "collection_not_found": CollectionNotFoundError,
    "model_not_found": ModelNotFoundError,
    "collection_exists": CollectionExistsError,
    "model_mismatch": ModelMismatchError,
    "moved": ConflictError,
    "in_use": ConflictError,
    "bulk_open": ConflictError,
    "snapshot_exists": ConflictError,
    "too_old": ConflictError,
    "idempotency_conflict": IdempotencyConflictError,
    "too_large": TooLargeError,
    "answer_too_large": TooLargeError,
    "invalid": InvalidError,
    "bad_search": SearchError,
    "bad_filter": FilterError,
    "bad_vectors": VectorsError,
    "bad_vector": VectorsError,
    "dimension": VectorsError,
    "no_vectors": VectorsError,
    "no_model": NoModelError,
    "no_text": NoModelError,
    "overloaded": OverloadedError,
    "busy": OverloadedError,
    "encoder_busy": OverloadedError,
    "shutting_down": UnavailableError,
    "read_only": UnavailableError,
    "closed": UnavailableError,
    "timeout": ServerTimeoutError,
    "not_visible": ServerTimeoutError,
    "disk_full": DiskFullError,
    "internal": InternalError,
    "corruption": CorruptionError,
}

#: The class of an answer without a known word, by its status.
_STATUSES: dict[int, type[ServerError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: BadRequestError,
    409: ConflictError,
    410: ConflictError,
    413: TooLargeError,
    415: BadRequestError,
    422: InvalidError,
    429: OverloadedError,
    503: UnavailableError,
    504: ServerTimeoutError,
    507: DiskFullError,
}


def error_of(status: int, body: bytes, headers: Any) -> ServerError:
    """The exception of an answer; headers need ``get``."""
    try:
        told = json.loads(body)
        message, kind = str(told["message"]), str(told.get("error_type", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        message, kind = f"HTTP {status}: {body[:200]!r}", ""
    after = headers.get("Retry-After")
    return make(
        message,
        status=status,
        kind=kind,
        request_id=headers.get("X-Request-Id") or "",
        retry_after=float(after) if after and after.isdigit() else None,
    )


def make(message: str, *, status: int, kind: str, request_id: str = "", retry_after: float | None = None) -> ServerError:
    """The exception of an error_type, or of a status where the word is not known."""
    cls = KINDS.get(kind) or _STATUSES.get(status) or (InternalError if status >= 500 else ServerError)
    return cls(message, status=status, kind=kind, request_id=request_id, retry_after=retry_after)


class LoadError(ColbertDBError):
    """A load that ended before its end. What came before ``document``, counted from 0
    among those given, is stored; the load can be repeated as a whole. The cause is the
    exception's ``__cause__``."""

    def __init__(self, message: str, *, document: int, progress: Any) -> None:
        super().__init__(message)
        self.document = document
        self.progress = progress
