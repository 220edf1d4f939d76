"""A packed symmetric matrix of whole numbers: added to, taken from, factorised and solved with, bit for bit everywhere.

The lower triangle lies row after row: element (i, j), j <= i, at i (i + 1) / 2 + j, in units of 2^-16. What is floating
point here is single precision in a written order, each product and each difference rounded by itself; the C library
(`eimp_moment.h`) gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
MOST = (1 << 30) - 1
_UNIT = np.float32(2.0**-16)
_LARGEST_Q = np.float32(127)
_SMALLEST = np.float32(1e-30)


def packed_size(dim: int) -> int:
    """How many numbers the lower triangle of (dim, dim) has."""
    return dim * (dim + 1) // 2


def dim_of(packed: NDArray[np.generic]) -> int:
    """The inverse of `packed_size`."""
    return int((np.sqrt(8.0 * len(packed) + 1) - 1) / 2 + 0.5)


def diagonal(dim: int) -> NDArray[np.int64]:
    """Places of the diagonal's elements, (dim,)."""
    return np.cumsum(np.arange(1, dim + 1)) - 1


def _products(shot: NDArray[np.int16], row: int) -> NDArray[np.int64]:
    wide = shot[: row + 1].astype(np.int64)
    products: NDArray[np.int64] = (wide * wide[row] + 512) >> 10
    return products


def has_room(scatter: NDArray[np.int32], shot: NDArray[np.int16]) -> bool:
    """Whether every diagonal element stays at most `MOST` when a shot is added."""
    wide = shot.astype(np.int64)
    return bool((scatter[diagonal(len(shot))] + ((wide * wide + 512) >> 10)).max() <= MOST)


def add(scatter: NDArray[np.int32], shot: NDArray[np.int16], sign: int) -> None:
    """Add a shot's products, (dim,) in units of 2^-13, or take them away (`sign` -1): exact inverses."""
    start = 0
    for row in range(len(shot)):
        scatter[start : start + row + 1] += (sign * _products(shot, row)).astype(np.int32)
        start += row + 1


def _square(packed: NDArray[np.generic], dim: int) -> Float32:
    full = np.zeros((dim, dim), np.float32)
    full[np.tril_indices(dim)] = packed
    return full


def factor(scatter: NDArray[np.int32], out: Float32, floor: np.float32) -> None:
    """Cholesky factor of the matrix, packed as it is; a pivot that is not at least `floor` becomes `floor`."""
    dim = dim_of(scatter)
    a = _square(scatter.astype(np.float32) * _UNIT, dim)
    for k in range(dim):
        pivot = a[k, k]
        a[k, k] = np.sqrt(pivot if pivot >= floor else floor)
        below = a[k + 1 :, k]
        below /= a[k, k]
        a[k + 1 :, k + 1 :] -= np.multiply.outer(below, below)
    out[:] = a[np.tril_indices(dim)]


def whiten(factors: Float32, x: Float32) -> None:
    """Solve with the factor alone, the first half of `solve`, for right-hand sides (dim, n) side by side, in place."""
    _forward(_square(factors, len(x)), x)


def _forward(lower: Float32, x: Float32) -> None:
    for k in range(len(x)):
        x[k] /= lower[k, k]
        x[k + 1 :] -= np.multiply.outer(lower[k + 1 :, k], x[k])


def solve(factors: Float32, x: Float32) -> None:
    """Solve with a factor for right-hand sides (dim, n) side by side, in place."""
    dim = len(x)
    lower = _square(factors, dim)
    _forward(lower, x)
    for k in range(dim - 1, -1, -1):
        x[k] /= lower[k, k]
        x[:k] -= np.multiply.outer(lower[k, :k], x[k])


def quantise(rows: Float32) -> tuple[NDArray[np.int8], Float32]:
    """Rows (n, dim) as int8 and scales (n,): a row is about its int8 image times its scale."""
    largest = np.abs(rows).max(axis=1)
    there = largest >= _SMALLEST
    safe = np.where(there, largest, np.float32(1))
    images = np.rint(rows * (_LARGEST_Q / safe)[:, None])
    images[~there] = 0
    return images.astype(np.int8), np.where(there, largest / _LARGEST_Q, np.float32(0))
