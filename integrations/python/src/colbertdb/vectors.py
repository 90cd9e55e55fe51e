"""Token vectors: NumPy arrays on this side, little-endian numbers on the wire."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import InputError

#: Token vectors as an answer has them: float32 of shape (tokens, dimensions).
Vectors: TypeAlias = npt.NDArray[np.float32]

#: What is taken as token vectors: an array, a tensor of torch, or nested lists.
VectorsLike: TypeAlias = "npt.NDArray[Any] | Sequence[Sequence[float]] | Any"


def matrix(value: VectorsLike, what: str = "vectors") -> npt.NDArray[Any]:
    """The array (tokens, dimensions) of anything that is one: float16 stays, all else
    becomes float32. Tensors of torch may live on any device."""
    if hasattr(value, "detach"):  # torch.Tensor, without importing torch
        value = value.detach().cpu()
        value = value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    try:
        out = np.asarray(value)
        out = out if out.dtype == np.float16 else out.astype(np.float32, copy=False)
    except (TypeError, ValueError) as e:
        raise InputError(f"{what}: not an array of numbers: {e}") from e
    if out.ndim != 2 or 0 in out.shape:
        raise InputError(f"{what}: want an array of shape (tokens, dimensions), have shape {out.shape}")
    return out


def wire(value: VectorsLike, what: str = "vectors") -> dict[str, Any]:
    """The fields of a document or a query that carry vectors in binary."""
    m = matrix(value, what)
    name, kind = ("vectors_f16_b64", "<f2") if m.dtype == np.float16 else ("vectors_f32_b64", "<f4")
    data = np.ascontiguousarray(m, dtype=kind).tobytes()
    return {name: base64.b64encode(data).decode(), "shape": list(m.shape)}


def from_rows(rows: list[list[float]] | None) -> Vectors | None:
    """Vectors that came as JSON: each number is written as the shortest that is read
    as the same float32."""
    return None if rows is None else np.asarray(rows, dtype=np.float32).reshape(len(rows), -1)


def from_base64(rows: list[str]) -> Vectors:
    """Vectors that came as one string of little-endian float32 a token."""
    data = b"".join(base64.b64decode(row) for row in rows)
    return np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(len(rows), -1)
