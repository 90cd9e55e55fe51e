"""What is sent and what comes back.

Answers may gain fields: those that this version does not know are ignored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias, TypedDict

import numpy.typing as npt

from .filters import Filter
from .vectors import Vectors, VectorsLike, from_rows

Attributes: TypeAlias = Mapping[str, Any]
Profile: TypeAlias = Literal["exact", "balanced", "compact"]
Mode: TypeAlias = Literal["late-interaction", "bm25", "rerank", "hybrid"]
Effort: TypeAlias = Literal["fast", "default", "high", "full"]
Include: TypeAlias = Literal["text", "attributes", "highlights"]

#: A condition on attributes: the text form, the JSON form, or one made with colbertdb.filters.
FilterLike: TypeAlias = "str | Mapping[str, Any] | Filter"


class _Answer:
    """Reads a dataclass from an object of an answer."""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{k: v for k, v in told.items() if k in known})


@dataclass(slots=True)
class Document(_Answer):
    """A document, to store or as it is stored: with text, token vectors or both. Text
    alone is encoded by the collection's model."""

    id: str
    text: str = ""
    vectors: npt.NDArray[Any] | None = None  #: (tokens, dimensions); float32 in answers
    attributes: dict[str, Any] | None = None
    tokens: int = 0  #: number of token vectors, in answers

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        return cls(
            id=told["id"],
            text=told.get("text", ""),
            vectors=from_rows(told.get("vectors")),
            attributes=told.get("attributes"),
            tokens=told.get("tokens", 0),
        )


#: A document to store: a Document, or a dict with its fields.
DocumentLike: TypeAlias = "Document | Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class Truncated(_Answer):
    """A document whose text is longer than the model's window: so many tokens have no vectors."""

    id: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Upserted:
    """A write that is durable and seen by every later search."""

    seq: int  #: of the change: ``min_seq`` of a search that must see it
    upserted: int
    truncated: list[Truncated]

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        return cls(told["seq"], told["upserted"], [Truncated.read(t) for t in told.get("truncated") or ()])


@dataclass(frozen=True, slots=True)
class Deleted(_Answer):
    """A delete: ids that were not there are no error, and not counted."""

    deleted: int
    seq: int


@dataclass(frozen=True, slots=True)
class Purged(_Answer):
    """Documents erased from every file of the store; ``copies`` may still hold them."""

    deleted: int
    seq: int
    segments: int = 0
    log_files: int = 0
    copies: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """Documents in the order of their last upsert; ``next_cursor`` is None with the last page."""

    documents: list[Document]
    next_cursor: str | None
    seq: int

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        return cls([Document.read(d) for d in told["documents"]], told.get("next_cursor") or None, told["seq"])


@dataclass(frozen=True, slots=True)
class CollectionInfo(_Answer):
    """A collection as the server describes it. ``model`` is None where it takes vectors alone."""

    name: str
    dim: int
    profile: Profile
    documents: int
    tokens: int
    seq: int
    retain_raw: bool = False
    buffered: int = 0
    deleted: int = 0
    segments: int = 0
    bytes: int = 0
    representation: str = ""
    model: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Highlight(_Answer):
    """A word that matched, as bytes of the hit's text in UTF-8."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Match(_Answer):
    """The document token that a token of the query matched best."""

    document_token: int
    similarity: float
    weight: float
    query_token: str = ""
    start: int = 0  #: bytes of the hit's text
    end: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A document found."""

    id: str
    rank: int  #: from 1
    score: float  #: MaxSim; by the modes bm25 and hybrid theirs
    score_norm: float  #: the mean similarity of the query's tokens; by bm25 and hybrid 0
    text: str = ""
    attributes: dict[str, Any] | None = None
    highlights: list[Highlight] = field(default_factory=list)
    explain: list[Match] = field(default_factory=list)
    terms: list[dict[str, Any]] = field(default_factory=list)
    group: Any = None  #: the value of ``group_by``
    passages: list[Hit] = field(default_factory=list)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        return cls(
            id=told["id"],
            rank=told["rank"],
            score=told["score"],
            score_norm=told["score_norm"],
            text=told.get("text", ""),
            attributes=told.get("attributes"),
            highlights=[Highlight.read(h) for h in told.get("highlights") or ()],
            explain=[Match.read(m) for m in told.get("explain") or ()],
            terms=list(told.get("terms") or ()),
            group=told.get("group"),
            passages=[Hit.read(p) for p in told.get("passages") or ()],
        )


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to a search. Iterating goes through its hits."""

    hits: list[Hit]
    documents: int  #: of the version searched
    candidates: int
    scored: int
    exhaustive: bool  #: every matching document was scored
    applied_seq: int  #: the newest change that the search saw
    took_us: int
    took: dict[str, int]  #: microseconds by stage
    effort: str = ""  #: that ``recall_target`` led to
    query_tokens: list[str] = field(default_factory=list)
    filter: dict[str, Any] | None = None  #: with ``explain``: how it was evaluated

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        return cls(
            hits=[Hit.read(h) for h in told["hits"]],
            documents=told["documents"],
            candidates=told["candidates"],
            scored=told["scored"],
            exhaustive=told["exhaustive"],
            applied_seq=told["applied_seq"],
            took_us=told["took_us"],
            took={s["stage"]: s["us"] for s in told["took"]},
            effort=told.get("effort", ""),
            query_tokens=list(told.get("query_tokens") or ()),
            filter=told.get("filter"),
        )

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


def relevance(hit: Hit, mode: str | None) -> float:
    """A hit's score as one number that adapters give: the mean similarity of the query's
    tokens, by the modes that rank by words their score."""
    return hit.score if mode in ("bm25", "hybrid") else hit.score_norm


class SearchOptions(TypedDict, total=False):
    """How a search is made, beside its query. What is left out is the server's default."""

    text: str  #: with ``vectors`` as the query: its words, for the modes that need them
    weights: Sequence[float] | Vectors  #: of each of the query's vectors
    mode: Mode  #: default late-interaction
    k: int  #: default 10
    offset: int
    effort: Effort
    recall_target: float  #: the cheapest effort that was measured to reach it
    exact: bool  #: score every document
    n_probe: int
    n_candidates: int
    n_full_scores: int
    filter: FilterLike
    group_by: str  #: one hit for each value of this attribute
    group_size: int
    include: Sequence[Include]  #: default text and attributes
    explain: bool
    min_seq: int  #: the search sees this change
    timeout_ms: int
    bm25: Mapping[str, float]  #: k1 and b
    fusion: Mapping[str, Any]  #: of hybrid: weight, or rrf and rank_constant


@dataclass(frozen=True, slots=True)
class Similar:
    """A query for documents like a stored one, which is not found itself."""

    document_id: str


#: A query: text, token vectors, or Similar(id).
QueryLike: TypeAlias = "str | VectorsLike | Similar"


class Search:
    """A search of a batch: ``Search("tax", k=5)``."""

    __slots__ = ("query", "options")

    def __init__(self, query: QueryLike, **options: Any) -> None:
        self.query = query
        self.options: SearchOptions = options  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token vectors of texts, float32 of shape (tokens, dimensions) each. ``weights`` are
    those of a query's vectors where the model weighs them: a search for the vectors with
    these weights is one for the text."""

    vectors: list[Vectors]
    weights: list[Vectors | None]
    model: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """A reranked document: ``index`` is its place among those given."""

    index: int
    score: float  #: 0 to 1: the mean similarity of the query's tokens
    document: str


@dataclass(frozen=True, slots=True)
class Model(_Answer):
    """A model of the server."""

    id: str
    dim: int = 0
    fingerprint: str = ""
    max_query_tokens: int = 0
    max_document_tokens: int = 0
    loaded: bool = False
    default: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is: what is counted here is durable and searchable."""

    stored: int = 0
    refused: int = 0
    seq: int = 0  #: of the last change
    truncated: int = 0  #: documents longer than the model's window
