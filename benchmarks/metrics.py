"""Balanced accuracy and AUROC, in numpy; a test compares both with scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def balanced_accuracy(truth: NDArray[Any], answer: NDArray[Any]) -> float:
    """Mean over the true classes of the share answered right, in percent. Shapes (n,)."""
    right = truth == answer
    return 100.0 * float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def auroc(positive: NDArray[Any], negative: NDArray[Any]) -> float:
    """Chance that a random positive scores above a random negative, ties counted half (Mann-Whitney U).

    Args:
        positive: scores, shape (n,), n >= 1.
        negative: scores, shape (m,), m >= 1.

    Returns:
        0 to 1; 0.5 when the scores say nothing.
    """
    scores = np.concatenate([positive, negative]).astype(np.float64)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # The rank of a group of ties is the mean of the places it takes: that is what counts a tie half.
    ranks = np.cumsum(counts) - (counts - 1) / 2
    n, m = len(positive), len(negative)
    above = ranks[inverse][:n].sum() - n * (n + 1) / 2
    return float(above / (n * m))
