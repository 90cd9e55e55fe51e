"""Conditions on attributes, written in Python::

    from colbertdb.filters import attr

    year, lang = attr("year"), attr("lang")
    notes.search("harbour", filter=(year >= 2020) & lang.is_in("en", "de") & ~attr("draft").exists())

They become the JSON form of docs/api.md, which, like the text form, is taken as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Value: TypeAlias = "str | int | float | bool | None"


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition; ``&``, ``|`` and ``~`` combine them."""

    json: Mapping[str, Any]

    def __and__(self, other: Filter) -> Filter:
        return Filter({"and": [self.json, other.json]})

    def __or__(self, other: Filter) -> Filter:
        return Filter({"or": [self.json, other.json]})

    def __invert__(self) -> Filter:
        return Filter({"not": self.json})

    def __bool__(self) -> bool:
        raise TypeError("a filter is no truth value: combine filters with &, | and ~, not with and, or, not")


class attr:
    """An attribute, by its path: ``a.b`` is b in the object a."""

    __slots__ = ("path",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, path: str) -> None:
        self.path = path

    def _compare(self, operator: str, value: object) -> Filter:
        return Filter({operator: {self.path: value}})

    def __eq__(self, value: Value) -> Filter:  # type: ignore[override]
        return self._compare("eq", value)

    def __ne__(self, value: Value) -> Filter:  # type: ignore[override]
        return self._compare("ne", value)

    def __lt__(self, value: float | str) -> Filter:
        return self._compare("lt", value)

    def __le__(self, value: float | str) -> Filter:
        return self._compare("lte", value)

    def __gt__(self, value: float | str) -> Filter:
        return self._compare("gt", value)

    def __ge__(self, value: float | str) -> Filter:
        return self._compare("gte", value)

    def is_in(self, *values: Value) -> Filter:
        """One of the values."""
        return self._compare("in", list(values))

    def prefix(self, begin: str) -> Filter:
        """A string that begins so."""
        return self._compare("prefix", begin)

    def exists(self) -> Filter:
        """The attribute is there at all."""
        return Filter({"exists": self.path})


def wire(given: str | Mapping[str, Any] | Filter) -> Any:
    """A filter as the server takes it."""
    return given.json if isinstance(given, Filter) else given
