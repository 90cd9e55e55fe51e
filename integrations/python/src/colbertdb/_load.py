"""Bulk loads, without anything that sends.

A load is one request after another, each a stream of lines (NDJSON) that the server
stores as one group; so memory is bounded, progress is of what is durable, and a request
whose connection broke is sent again: documents of equal ids replace one another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ._call import Call, dumps
from ._requests import NDJSON, collection_path, document
from .errors import AnswerError, ColbertDBError, InputError, LoadError, make
from .types import DocumentLike, Progress

#: A group ends after so many documents or bytes: those of the server's own.
GROUP_DOCUMENTS = 256
GROUP_BYTES = 4 << 20

#: Called with each document that cannot be stored, by its place among those given.
OnRefused: TypeAlias = Callable[[int, ColbertDBError], object]

#: True: a bar of tqdm, where it is installed. A function is called with each Progress.
OnProgress: TypeAlias = "bool | Callable[[Progress], object]"


@dataclass(frozen=True)
class Group:
    """Documents that are sent in one request."""

    call: Call[list[Any]]
    places: list[int]  #: among those given


class Load:
    """A load on its way: ``add`` and ``rest`` give groups to send, ``done`` takes their
    answers, ``failed`` their errors."""

    def __init__(self, collection: str, on_refused: OnRefused | None, progress: OnProgress, total: int | None) -> None:
        self.collection = collection
        self.on_refused = on_refused
        self.progress = Progress()
        self._report = _reporter(progress, total)
        self._lines: list[bytes] = []
        self._places: list[int] = []
        self._bytes = 0
        self._given = 0

    def add(self, given: DocumentLike) -> Iterator[Group]:
        """Takes one document; gives a group when it is full."""
        place, self._given = self._given, self._given + 1
        try:
            line = dumps(document(given)) + b"\n"
        except (InputError, TypeError, ValueError) as e:
            yield from self.rest()
            self._refuse(place, e if isinstance(e, InputError) else InputError(f"document {place}: {e}"))
            return
        if self._lines and self._bytes + len(line) > GROUP_BYTES:
            yield from self.rest()
        self._lines.append(line)
        self._places.append(place)
        self._bytes += len(line)
        if len(self._lines) >= GROUP_DOCUMENTS:
            yield from self.rest()

    def rest(self) -> Iterator[Group]:
        """Gives what is not sent yet."""
        if not self._lines:
            return
        call = Call(
            "POST",
            collection_path(self.collection, "/documents"),
            list,
            b"".join(self._lines),
            NDJSON,
            {"on_error": "stop" if self.on_refused is None else "skip"},
            again=True,
            lines=True,
        )
        group = Group(call, self._places)
        self._lines, self._places, self._bytes = [], [], 0
        yield group

    def failed(self, group: Group, error: ColbertDBError) -> ColbertDBError:
        """The exception of a group whose request failed."""
        return self._error(group.places[0], error)

    def done(self, group: Group, told: list[Any]) -> None:
        """Takes the lines of an answer."""
        before = self.progress
        for line in told:
            self.progress = Progress(
                before.stored + line["upserted"],
                before.refused + line["failed"],
                max(before.seq, line["seq"]),
                self.progress.truncated + len(line.get("truncated") or ()),
            )
            if e := line.get("error"):
                place = group.places[line["line"] - 1]
                error = make(e["message"], status=e["code"], kind=e["error_type"], request_id=e.get("request_id", ""))
                if self.on_refused is None or error.status not in (400, 413, 422):
                    raise self._error(place, error) from error
                self.on_refused(place, error)
        if not told or not told[-1].get("done"):
            raise self._error(group.places[0], AnswerError("the answer to the load was cut off"))
        self._report(self.progress)

    def close(self) -> None:
        """Ends the bar."""
        self._report(None)

    def _refuse(self, place: int, error: InputError) -> None:
        if self.on_refused is None:
            raise self._error(place, error) from error
        p = self.progress
        self.progress = Progress(p.stored, p.refused + 1, p.seq, p.truncated)
        self.on_refused(place, error)

    def _error(self, place: int, error: ColbertDBError) -> LoadError:
        return LoadError(f"document {place}: {error}", document=place, progress=self.progress)


def _reporter(progress: OnProgress, total: int | None) -> Callable[[Progress | None], object]:
    """A function that is told each Progress, and None at the end."""
    if callable(progress):
        return lambda p: progress(p) if p is not None else None
    if not progress:
        return lambda p: None
    try:
        from tqdm import tqdm
    except ImportError:
        return lambda p: None
    bar = tqdm(total=total, unit=" documents", file=sys.stderr)

    def show(p: Progress | None) -> None:
        if p is None:
            bar.close()
            return
        if p.refused:
            bar.set_postfix(refused=p.refused, refresh=False)
        bar.update(p.stored + p.refused - bar.n)

    return show
