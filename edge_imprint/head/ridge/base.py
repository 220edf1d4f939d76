"""What other pictures' embeddings say about the scatter to expect."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ShapeError, ValueRangeError


class BaseMoments(Protocol):
    """Mean (dim,) and second moment (dim, dim) of L2-normalised embeddings, as bundles have them."""

    @property
    def mean(self) -> NDArray[Any]: ...  # noqa: D102

    @property
    def second_moment(self) -> NDArray[Any]: ...  # noqa: D102


def base_covariance(base: BaseMoments | None, dim: int) -> NDArray[np.float64] | None:
    """The covariance of the base embeddings, (dim, dim).

    Raises:
        ShapeError: another dimension, or no such thing.
        ValueRangeError: a number is not finite, or larger than unit embeddings allow.
    """
    if base is None:
        return None
    try:
        mean, second = np.asarray(base.mean, np.float64), np.asarray(base.second_moment, np.float64)
    except (AttributeError, TypeError, ValueError) as error:
        raise ShapeError(f"base must have mean and second_moment, as base_statistics has; got {base!r}") from error
    if mean.shape != (dim,) or second.shape != (dim, dim):
        raise ShapeError(
            f"base must have mean ({dim},) and second_moment ({dim}, {dim}); got {mean.shape}, {second.shape}"
        )
    if not (np.abs(mean).max() <= 1.001 and np.abs(second).max() <= 1.001):
        raise ValueRangeError(
            "base must be finite moments of unit embeddings, each at most 1. Normalise before you average"
        )
    return second - np.outer(mean, mean)
