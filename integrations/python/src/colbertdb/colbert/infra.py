"""The settings of a run: Run, RunConfig, ColBERTConfig.

Where a setting stands neither in a configuration nor in the run's context, the default
below holds, as in Stanford ColBERT.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Settings of a run, with their defaults.
RUN: dict[str, Any] = {
    "overwrite": False,
    "root": "experiments",
    "experiment": "default",
    "index_root": None,
    "name": "",
    "rank": 0,
    "nranks": 1,
    "amp": True,
    "gpus": 0,
    "avoid_fork_if_possible": False,
}

#: Settings of models, training, indexes and searches; those of a run are settings of a
#: ColBERTConfig too. Most are taken so that programs run, and have no effect.
COLBERT: dict[str, Any] = {
    "checkpoint": None,
    "triples": None,
    "collection": None,
    "queries": None,
    "index_name": None,
    "dim": 128,
    "doc_maxlen": 220,
    "mask_punctuation": True,
    "query_maxlen": 32,
    "attend_to_mask_tokens": False,
    "interaction": "colbert",
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
    "query_token": "[Q]",
    "doc_token": "[D]",
    "similarity": "cosine",
    "bsize": 32,
    "accumsteps": 1,
    "lr": 3e-06,
    "maxsteps": 500_000,
    "save_every": None,
    "resume": False,
    "warmup": None,
    "warmup_bert": None,
    "relu": False,
    "nway": 2,
    "use_ib_negatives": False,
    "reranker": False,
    "distillation_alpha": 1.0,
    "ignore_scores": False,
    "model_name": None,
    "index_path": None,
    "index_bsize": 64,
    "nbits": 1,
    "kmeans_niters": 4,
    "pool_factor": 1,
    "clustering_mode": "hierarchical",
    "protected_tokens": 0,
    "ncells": None,
    "centroid_score_threshold": None,
    "ndocs": None,
    "load_index_with_mmap": False,
}


class _Config:
    """Settings by name: those that were given, and defaults for the others."""

    _defaults: dict[str, Any] = {}

    def __init__(self, **given: Any) -> None:
        self.assigned: dict[str, Any] = {}
        self.configure(**given)

    def configure(self, **given: Any) -> None:
        """Gives settings."""
        for name, value in given.items():
            if name not in self._defaults:
                raise TypeError(f"{type(self).__name__} has no setting {name!r}")
            self.assigned[name] = value

    def __getattr__(self, name: str) -> Any:
        if name in self._defaults:
            return self.assigned.get(name, self._defaults[name])
        raise AttributeError(name)

    @classmethod
    def from_existing(cls, *sources: _Config | None) -> Any:
        """Settings of several, of which the later go first."""
        out = cls()
        for s in sources:
            out.assigned.update({k: v for k, v in (s.assigned if s is not None else {}).items() if k in cls._defaults})
        return out

    @property
    def store(self) -> str:
        """The folder of the store that a server is started for, where none is named."""
        return os.path.join(self.root, "colbertdb")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.assigned.items())})"


class RunConfig(_Config):
    """Settings of a run: root, experiment, and others."""

    _defaults = RUN


class ColBERTConfig(_Config):
    """Settings of everything."""

    _defaults = {**COLBERT, **RUN}


class Run:
    """The run that this program is in; there is one."""

    _stack: list[RunConfig] = [RunConfig()]

    @property
    def config(self) -> RunConfig:
        """The settings that hold now."""
        return self._stack[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.config, name)

    @contextmanager
    def context(self, runconfig: RunConfig, inherit_config: bool = True) -> Iterator[None]:
        """Settings that hold within the block."""
        self._stack.append(RunConfig.from_existing(self.config if inherit_config else None, runconfig))
        try:
            yield
        finally:
            self._stack.pop()


def collection_name(experiment: str, index: str) -> str:
    """The collection of an index, whose name and whose experiment may be any text, also
    none: itself where a collection may be called so, else what of it may stand in a name
    and a hash that tells it from others."""
    wanted = f"{experiment}/{index}" if experiment not in ("", RUN["experiment"]) else index
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", wanted):
        return wanted
    plain = re.sub(r"[^a-z0-9_-]+", "-", wanted.lower()).strip("-_")[:40]
    return f"{plain or 'index'}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
