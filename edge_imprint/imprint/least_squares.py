"""Least-squares proxies: the linear map that answers with the class, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import NotTaughtError, ValueRangeError

RIDGE = 1e-3
"""Default ridge, as a share of the embeddings' mean squared length."""


def least_squares(
    groups: Sequence[NDArray[np.float32]], ridge: float = RIDGE, bias: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Fit one row per group that answers 1 for its own shots and 0 for all others.

    Ridge regression onto one-hot targets, each scaled so that every group weighs the same however many shots
    it has:

        W = (M - m) (S + lambda I)^-1 / C,  b = 1 / C - W m      with a bias
        W = M (S + m m^T + lambda I)^-1 / C                      without

    M holds the group means, m is the mean and S the covariance of all shots, C the number of groups, and
    lambda = ridge times the mean squared length of a shot (so L2-normalised shots have lambda = ridge). The
    form without a bias is the paper's "least-squares", its oracle (arXiv 2503.06385, eq. 3). Computed in
    float64.

    Args:
        groups: arrays (n_c, dim), float32, n_c >= 1, one per class or cluster. Not modified.
        ridge: above 0.
        bias: whether the map may have a constant term.

    Returns:
        W, shape (n_groups, dim), float32, and b, shape (n_groups,), float32, or None without a bias.

    Raises:
        NotTaughtError: fewer than two groups: there is nothing to tell apart.
        ValueRangeError: every shot is zero.

    Example:
        >>> a, b = np.array([[1, 0]], dtype=np.float32), np.array([[0, 1]], dtype=np.float32)
        >>> W, constant = least_squares([a, b], ridge=1e-9)
        >>> (W @ a[0] + constant).round(3).tolist()
        [1.0, 0.0]
    """
    if len(groups) < 2:
        raise NotTaughtError(
            f"least-squares needs at least 2 classes; got {len(groups)}. Teach another or use gen='mean'."
        )
    n = sum(len(group) for group in groups)
    dim = groups[0].shape[1]
    means = np.stack([group.mean(axis=0, dtype=np.float64) for group in groups])
    second = np.zeros((dim, dim))
    centre = np.zeros(dim)
    if bias:
        centre = sum((len(group) * mean for group, mean in zip(groups, means, strict=True)), centre) / n
    for group in groups:
        wide = group - centre  # centring before the product keeps the digits a subtraction afterwards would lose
        second += wide.T @ wide
    second /= n
    mean_square = float(np.trace(second) + centre @ centre)
    if mean_square == 0:
        raise ValueRangeError("least-squares needs an embedding that is not all zeros; got none. Check the backbone.")
    second[np.diag_indices(dim)] += ridge * mean_square
    share = 1 / len(groups)
    W = np.linalg.solve(second, (means - centre).T * share).T
    constant = np.asarray(share - W @ centre, dtype=np.float32) if bias else None
    return W.astype(np.float32), constant
