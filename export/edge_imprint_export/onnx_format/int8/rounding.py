"""Rounding weights so that a layer's output changes least, given how its inputs vary together (GPTQ, arXiv 2210.17323).

Columns of a layer's weights are rounded one after the other, and the columns that are still free take over the error
so far as their inputs are correlated. What remains of the mean error goes into the bias.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DAMPING = 0.01
PAIR = 128
_BLOCK = 64


def rounded(weights: Array, covariance: Array, scale: Array, *, pairs: bool) -> Array:
    """Whole numbers in -127 .. 127 for weights / scale that keep the output's error power small.

    Args:
        weights: (blocks, outputs, inputs), inputs in the order in which a processor adds the products.
        covariance: (blocks, inputs, inputs) of the inputs about their mean.
        scale: (blocks, outputs), above zero.
        pairs: keep |a + b| <= 128 for neighbours of equal sign, see `weights.pair_limit`.

    Returns:
        (blocks, outputs, inputs) float64.
    """
    inputs = weights.shape[2]
    upper = _spreading(covariance)
    left = weights / scale[:, :, None]
    whole = np.zeros_like(left)
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        errors = np.zeros((*left.shape[:2], stop - start))
        for j in range(start, stop):
            q = np.clip(np.rint(left[:, :, j]), -127, 127)
            if pairs and j:
                q = _beside(q, whole[:, :, j - 1])
            whole[:, :, j] = q
            error = (left[:, :, j] - q) / upper[:, j, j, None]
            left[:, :, j:stop] -= error[:, :, None] * upper[:, j, None, j:stop]
            errors[:, :, j - start] = error
        left[:, :, stop:] -= errors @ upper[:, start:stop, stop:]
    return whole


def _spreading(covariance: Array) -> Array:
    """Upper triangular U with U^T U = covariance^-1: row j says how column j's error spreads over the next columns."""
    size = covariance.shape[1]
    power = np.trace(covariance, axis1=1, axis2=2)[:, None, None] / size
    # Only ratios matter. Inputs that never vary, or vary together, leave a covariance without an inverse, and their
    # differences can be below what subtracting large numbers leaves exact: hence damping, more until it is enough.
    relative = covariance / np.where(power > 0, power, 1.0)
    damping = DAMPING
    while True:
        try:
            inverse = np.linalg.inv(relative + damping * np.eye(size))
            spread = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2)
            return spread.transpose(0, 2, 1).astype(np.float64, copy=False)
        except np.linalg.LinAlgError:
            damping *= 10


def _beside(values: Array, before: Array) -> Array:
    limit = np.where(before * values > 0, PAIR - np.abs(before), 127)
    return np.sign(values) * np.minimum(np.abs(values), limit)


def limit_pairs(rows: Array) -> Array:
    """Rows (outputs, inputs) of whole numbers in which no neighbours of equal sign add up to more than 128."""
    rows = rows.copy()
    sums = np.abs(rows[:, :-1] + rows[:, 1:]) * (rows[:, :-1] * rows[:, 1:] > 0)
    for j in np.flatnonzero((sums > PAIR).any(0)) + 1:
        rows[:, j] = _beside(rows[:, j], rows[:, j - 1])
    return rows
