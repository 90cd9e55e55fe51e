"""Tensors: torch's where it is installed, else NumPy arrays with the few methods of
tensors that programs for ColBERT call on vectors and scores."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Tensor", "stacked", "tensor", "torch"]


class Tensor(np.ndarray):
    """An array that can be moved to the CPU, where it is, and made a NumPy array."""

    def cpu(self) -> Tensor:
        return self

    def detach(self) -> Tensor:
        return self

    def float(self) -> Tensor:
        return self.astype(np.float32).view(Tensor)

    def numpy(self) -> np.ndarray[Any, Any]:
        return self.view(np.ndarray)

    def dim(self) -> int:
        return self.ndim

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else super().__array_wrap__(array, context, return_scalar)


class _NumPy:
    """What of torch's names such programs use, for arrays."""

    long = np.int64
    float32 = np.float32
    bool = np.bool_

    @staticmethod
    def ones(*shape: Any, dtype: Any = np.float32) -> Tensor:
        return np.ones(_shape(shape), dtype).view(Tensor)

    @staticmethod
    def zeros(*shape: Any, dtype: Any = np.float32) -> Tensor:
        return np.zeros(_shape(shape), dtype).view(Tensor)

    @staticmethod
    def tensor(value: Any, dtype: Any = None) -> Tensor:
        return np.array(value, dtype).view(Tensor)

    @staticmethod
    def from_numpy(array: Any) -> Tensor:
        return np.asarray(array).view(Tensor)


def _shape(given: tuple[Any, ...]) -> Any:
    return given[0] if len(given) == 1 else given


try:
    import torch  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    torch: Any = _NumPy()  # type: ignore[no-redef]


def tensor(array: np.ndarray[Any, Any]) -> Any:
    """An array as a tensor."""
    return torch.from_numpy(np.ascontiguousarray(array))


def stacked(matrices: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Matrices (tokens, dimensions) as one array (texts, most tokens, dimensions), with
    zeros after the last token of those that have fewer."""
    longest = max(len(m) for m in matrices)
    out = np.zeros((len(matrices), longest, matrices[0].shape[1]), np.float32)
    for row, m in zip(out, matrices):
        row[: len(m)] = m
    return out
