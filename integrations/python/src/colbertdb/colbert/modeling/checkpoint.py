"""A model that encodes queries and passages: one of the server's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ...client import Client
from ...errors import InputError
from ...local import connect
from ..infra import ColBERTConfig, Run
from ..tensors import stacked, tensor

#: How many texts are sent at once.
_BATCH = 64


def model_of(client: Client, checkpoint: str | None) -> str | None:
    """The server's model of a checkpoint's name, None for its default one."""
    if checkpoint is None:
        return None
    models = client.models()
    if any(m.id == checkpoint for m in models):
        return checkpoint
    default = next((m.id for m in models if m.default), None)
    if default is None:
        raise InputError(f"the server has no model {checkpoint!r}, and no other")
    warnings.warn(f"the server has no model {checkpoint!r}: its default one, {default!r}, encodes", stacklevel=3)
    return None


class Checkpoint:
    """The model ``name`` of the server, or its default one."""

    def __init__(self, name: str, colbert_config: ColBERTConfig | None = None, verbose: int = 3) -> None:
        self.name = name
        self.colbert_config = ColBERTConfig.from_existing(Run().config, colbert_config)
        self.client = connect(self.colbert_config.store)
        self._model = model_of(self.client, name)

    def queryFromText(
        self, queries: Sequence[str], bsize: int | None = None, to_cpu: bool = False, context: Any = None, full_length_search: bool = False
    ) -> Any:
        """Token vectors of queries, (queries, most tokens, dimensions); shorter ones end
        in zeros. Where the model weighs a query's tokens, a vector is as long as its
        token's weight, so that colbert_score is the score of a search."""
        if context is not None:
            raise InputError("context: queries are encoded by themselves")
        return tensor(stacked(self._encode(queries, bsize, True)))

    def docFromText(
        self,
        docs: Sequence[str],
        bsize: int | None = None,
        keep_dims: bool | Literal["flatten"] = True,
        to_cpu: bool = False,
        showprogress: bool = False,
        return_tokens: bool = False,
        pool_factor: int = 1,
        protected_tokens: int = 0,
        clustering_mode: str = "hierarchical",
    ) -> Any:
        """Token vectors of passages: (passages, most tokens, dimensions), shorter ones
        ending in zeros; with ``keep_dims=False`` a list of (tokens, dimensions); with
        ``"flatten"`` all tokens in one matrix and the number of each passage. As in
        Stanford ColBERT it is the first of a tuple when ``bsize`` is given."""
        if return_tokens or pool_factor != 1:
            raise InputError("return_tokens and pool_factor are not there")
        vectors = self._encode(docs, bsize, False)
        if keep_dims == "flatten":
            return tensor(np.concatenate(vectors)), [len(v) for v in vectors]
        out = tensor(stacked(vectors)) if keep_dims else [tensor(v) for v in vectors]
        return (out,) if bsize else out

    def _encode(self, texts: Sequence[str], bsize: int | None, query: bool) -> list[np.ndarray[Any, Any]]:
        if isinstance(texts, str) or not texts:
            raise InputError("give a list of texts")
        encode = self.client.encode_queries if query else self.client.encode_documents
        out: list[np.ndarray[Any, Any]] = []
        step = min(bsize or _BATCH, 1000)
        for start in range(0, len(texts), step):
            encoded = encode(list(texts[start : start + step]), model=self._model)
            out += [v if w is None else v * w[:, None] for v, w in zip(encoded.vectors, encoded.weights)]
        return out
