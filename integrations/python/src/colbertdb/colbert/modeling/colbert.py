"""MaxSim of encoded queries and passages."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensors import tensor

#: The similarity of a token that is masked (Khattab and Zaharia 2020, section 3.3, as
#: Stanford's implementation has it).
_MASKED = -9999


def colbert_score(Q: Any, D_padded: Any, D_mask: Any, config: Any = None) -> Any:
    """Scores of passages, shape (passages,).

    ``Q`` is (1 or passages, tokens, dimensions): one query for all passages, or one for
    each. ``D_padded`` is (passages, tokens, dimensions), ``D_mask`` (passages, tokens) or
    with a last axis of 1: zero where there is no token."""
    q, d, mask = (np.asarray(_array(x)) for x in (Q, D_padded, D_mask))
    if q.ndim != 3 or d.ndim != 3 or q.shape[0] not in (1, d.shape[0]):
        raise ValueError(f"Q of shape {q.shape} and D of shape {d.shape}: want three dimensions, and one query or one for each passage")
    similarities = d @ q.transpose(0, 2, 1).astype(d.dtype)  # (passages, tokens of D, tokens of Q)
    similarities[~mask.reshape(d.shape[:2]).astype(bool)] = _MASKED
    return tensor(similarities.max(axis=1).sum(axis=-1))


def _array(x: Any) -> Any:
    return x.detach().cpu().numpy() if hasattr(x, "detach") else x
