"""The metric behind AGG's Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def shrunk_covariance(shots: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the shared within-class covariance, shrunk towards a multiple of the identity.

    S = (1 - a) S_W + a tr(S_W) / dim I, with S_W the covariance of all shots, each about its own class's
    mean. The share a is the one of Ledoit and Wolf 2004 (lemma 3.2 to 3.4), but at least C / n: n shots about
    C means that were taken from them leave n - C degrees of freedom, and with a handful of shots that formula
    alone trusts S_W too much.

    Args:
        shots: arrays (n_c, dim), float32, n_c >= 1, one per class. Not modified.

    Returns:
        shape (dim, dim), float64, symmetric, positive definite. The identity when no class has two different
        shots, which makes the distance Euclidean.

    Example:
        >>> shrunk_covariance([np.array([[1, 2]], dtype=np.float32)]).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    n = sum(len(own) for own in shots)
    dim = shots[0].shape[1]
    within = np.zeros((dim, dim))
    fourth = 0.0
    for own in shots:
        gap = own - own.mean(axis=0, dtype=np.float64)
        within += gap.T @ gap
        fourth += float(np.square(np.einsum("ij,ij->i", gap, gap)).sum())
    within /= n
    scale = float(np.trace(within)) / dim
    if scale == 0:
        return np.eye(dim)
    square = float(np.square(within).sum())
    to_target = square - dim * scale**2  # squared Frobenius distance of S_W from its target
    noise = (fourth / n - square) / n
    share = 1.0 if to_target <= noise else max(noise / to_target, len(shots) / n)
    shrunk = (1 - share) * within
    shrunk[np.diag_indices(dim)] += share * scale
    return shrunk


def whitening(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return V such that Euclidean distances of X @ V are Mahalanobis distances of X.

    Args:
        covariance: shape (dim, dim), symmetric, positive definite.

    Returns:
        shape (dim, dim), float64.

    Example:
        >>> whitening(np.diag([4.0, 1.0])).tolist()
        [[0.5, 0.0], [0.0, 1.0]]
    """
    factor = np.linalg.cholesky(covariance)
    return np.asarray(np.linalg.solve(factor, np.eye(len(factor))).T)
