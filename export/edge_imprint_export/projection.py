"""Fewer dimensions: the principal axes of the calibration pictures' embeddings, as a last linear layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import UsageError


@dataclass(frozen=True)
class Projection:
    """The layer `weight @ x + bias`.

    Attributes:
        weight: shape (to, dim), float32, orthonormal rows, the most variance first.
        bias: shape (to,), float32; takes the mean embedding to zero.
        kept: share of the variance that is left, 0 to 1.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    kept: float

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project embeddings (n, dim) to (n, to)."""
        projected = embeddings.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return projected.astype(np.float32)


def fit_projection(embeddings: NDArray[np.float32], to: int) -> Projection:
    """Principal component analysis of embeddings as the backbone gives them, not normalised.

    Args:
        embeddings: shape (n, dim).
        to: dimensions to keep; at most dim, and less than n.

    Raises:
        UsageError: more dimensions than the embeddings have or than so many pictures can tell apart.

    Example:
        >>> line = np.outer(np.arange(4.0), [3, 4]).astype(np.float32)
        >>> float(fit_projection(line, 1).kept)
        1.0
    """
    count, dim = embeddings.shape
    if to > dim:
        raise UsageError(f"project must be at most the embedding's {dim} dimensions; got {to}")
    if to >= count:
        raise UsageError(f"project to {to} dimensions needs more than {to} calibration pictures; got {count}. Add some")
    mean = embeddings.mean(axis=0, dtype=np.float64)
    _, lengths, axes = np.linalg.svd(embeddings - mean, full_matrices=False)
    weight = axes[:to]
    # A singular vector's sign is arbitrary; fixed, so that the same pictures give the same bytes everywhere.
    largest = np.abs(weight).argmax(axis=1)
    weight = weight * np.sign(weight[np.arange(to), largest])[:, None]
    energy = lengths**2
    kept = float(energy[:to].sum() / energy.sum()) if energy.sum() > 0 else 1.0
    return Projection(weight.astype(np.float32), (-weight @ mean).astype(np.float32), kept)
