"""One request and the reading of its answer, without anything that sends.

The clients that wait and those of asyncio send the same Calls: what is built, what is
read and what is sent again is written once, here and in _requests.py.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from .errors import AnswerError, ColbertDBError, ServerError, TransportError, error_of

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request. ``read`` makes the result of the answer's JSON, of None where the
    answer has no body."""

    method: str
    path: str
    read: Callable[[Any], T]
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    again: bool = False  #: may be sent twice: it changes nothing, or carries an idempotency key
    lines: bool = False  #: the answer is JSON a line; ``read`` gets the list

    def result(self, answer: httpx.Response) -> T:
        """What an answer means; raises the exception of one that is no success."""
        if answer.status_code >= 300:
            raise error_of(answer.status_code, answer.content, answer.headers)
        try:
            if self.lines:
                return self.read([json.loads(line) for line in answer.content.splitlines() if line])
            return self.read(json.loads(answer.content) if answer.content else None)
        except (ValueError, KeyError, TypeError, IndexError) as e:
            raise AnswerError(f"the server's answer cannot be read: {e!r}: {answer.content[:200]!r}") from e


def dumps(value: object) -> bytes:
    """JSON as it is sent. NaN is none."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def escape(name: str) -> str:
    """One part of a path of any name. Dots are escaped too: two of them lead elsewhere."""
    return "".join(chr(c) if chr(c).isalnum() and c < 128 or c in b"-_" else f"%{c:02X}" for c in name.encode())


@dataclass(frozen=True)
class Retry:
    """When a request is sent again: when the server did not begin it because it was busy
    or shutting down, and when the connection broke under one that may be sent twice."""

    times: int = 4
    wait: float = 0.1  #: seconds before the first repetition, twice as long each time
    longest: float = 30.0

    def after(self, call: Call[Any], error: ColbertDBError, tries: int) -> float | None:
        """Seconds to wait before the next try after so many, None to give up."""
        if tries > self.times:
            return None
        wait = min(self.wait * 2 ** (tries - 1), self.longest) * random.uniform(0.8, 1.2)
        if isinstance(error, ServerError):
            return max(wait, error.retry_after or 0) if error.untouched else None
        return wait if isinstance(error, TransportError) and call.again else None


def broken(error: httpx.HTTPError) -> TransportError:
    """The exception of a request that got no answer."""
    return TransportError(f"no answer from the server: {error or type(error).__name__}")
