"""Fixed-point arithmetic of the head. Every operation here is on integers with one written rounding rule.

`docs/DESIGN.md` ("Integer arithmetic of the head") states the formats and the order of operations; a C implementation
that follows it gives the same bytes. `//` and `>>` round towards minus infinity.
"""

from __future__ import annotations

from math import inf, isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ShapeError, ValueRangeError

Int8 = NDArray[np.int8]
Int64 = NDArray[np.int64]

SHIFT_MAX = 14
ROW_MAX = 32639
E16_MAX = 32767
SQUARE_BITS = 20
COUNT_CAP = 1 << 16
_BLOCK_BYTES = 16 * 1024
_EXACT_FLOAT32_DIM = (1 << 24) // (127 * 127)


class Point(NamedTuple):
    """One shot, or a proxy that stands for several, on its way into a class.

    `values` are the components times 2^(14 + shift), (dim,) int64; `weight` is how many shots it stands for; `query` is
    its int8 image at any scale, and `query_scale` that scale: 256 |query| / |point|; `square` is |point|^2 times 2^20.
    """

    values: Int64
    shift: int
    weight: int
    query: Int8
    query_scale: int
    square: int


def check_embeddings(x: Any, dim: int) -> NDArray[np.float32]:
    """Embeddings as a float32 array of shape (n, dim); a float32 array is not copied.

    Raises:
        ShapeError: wrong rank, width or type, or no rows.
    """
    try:
        rows = np.asarray(x)
        if rows.dtype.kind not in "fiub":
            raise TypeError(f"their type is {rows.dtype}")
        if rows.dtype != np.float32:
            # What float32 cannot hold becomes infinite, which `quantize` refuses.
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ShapeError(f"embeddings must be numbers of shape (n, {dim}); got {type(x).__name__}: {error}") from None
    if rows.ndim != 2 or rows.shape[1] != dim or rows.shape[0] == 0:
        hint = ". Use x[None] for one embedding" if rows.shape == (dim,) else ""
        raise ShapeError(f"embeddings must be (n, {dim}) with n >= 1; got {rows.shape}{hint}")
    return rows


def quantize(rows: NDArray[np.float32]) -> Int64:
    """Rows (n, dim) scaled so that each one's largest magnitude is 32,767: rint(x * 32767 / max|x|), ties to even.

    Raises:
        ValueRangeError: a row holds NaN or infinity, or only zeros.
    """
    # In float64: 32-bit ARM flushes the smallest float32 to zero in vectors.
    wide = rows.astype(np.float64)
    largest = np.abs(wide).max(axis=1)
    for row, value in enumerate(largest.tolist()):
        if not 0 < value < inf:
            rule = "not be all zeros" if value == 0 else "be finite"
            raise ValueRangeError(f"embeddings must {rule}; row {row} has the largest magnitude {value}. Leave it out")
    wide *= E16_MAX
    wide /= largest[:, None]
    return np.rint(wide, out=wide).astype(np.int64)


def queries(e16: Int64) -> Int8:
    """Quantised embeddings as int8: (e * 32513 + 2^22) >> 23, which is e * 127 / 32767 rounded."""
    wide = e16 * 32513
    wide += 1 << 22
    wide >>= 23
    return wide.astype(np.int8)


def shot(e16: Int64) -> Point:
    """One quantised embedding (dim,), L2-normalised: (e * (2^52 // l) + 2^29) >> 30 with l = isqrt(e . e * 2^16)."""
    wide = e16.astype(np.float64)
    values = e16 * ((1 << 52) // isqrt(int(wide @ wide) << 16))
    values += 1 << 29
    values >>= 30
    query = queries(e16)
    return Point(values, 0, 1, query, isqrt(length2(query) << 16), 1 << SQUARE_BITS)


def length2(row: Int8) -> int:
    """Squared length of an int8 row, exact."""
    wide = row.astype(np.float64)
    return int(wide @ wide)


def dots(rows: Int8, vector: Int8) -> Int64:
    """Exact dot products of int8 rows (n, dim) with one int8 vector (dim,): (n,) int64.

    127 * 127 * 4096 = 66,064,384 < 2^31. einsum widens 32 KB at a time as it goes: one thread, and no copy of the rows.
    """
    out: Int64 = np.einsum("ij,j->i", rows, vector.astype(np.int32)).astype(np.int64)
    return out


def dots_in_blocks(rows: Int8, vector: Int8) -> Int64:
    """`dots` with 16 KB of working memory whatever the number of rows, at twice the time."""
    block = max(1, _BLOCK_BYTES // (4 * rows.shape[1]))
    parts = [dots(rows[start : start + block], vector) for start in range(0, len(rows), block)]
    return np.concatenate(parts)


def gram(rows: Int8) -> Int64:
    """Exact dot products of a few int8 rows (n, dim) with each other: (n, n) int64, without BLAS and its buffers."""
    wide = rows.astype(np.int32)
    out: Int64 = np.einsum("ij,kj->ik", wide, wide).astype(np.int64)
    return out


def products(rows: Int8, others: Int8) -> Int64:
    """Exact dot products of int8 rows (n, dim) with other rows (m, dim): (n, m) int64.

    Products of int8 add up exactly in float32 below 2^24 and in float64 below 2^53, so BLAS may add in any order.
    """
    if rows.shape[1] <= _EXACT_FLOAT32_DIM:
        return (rows.astype(np.float32) @ others.astype(np.float32).T).astype(np.int64)
    return (rows.astype(np.float64) @ others.astype(np.float64).T).astype(np.int64)


def rounded(value: int, divisor: int) -> int:
    """Value / divisor rounded to the nearest integer, halves up: (2 v + d) // (2 d), d > 0."""
    return (2 * value + divisor) // (2 * divisor)


def fit_row(values: Int64, shift: int) -> tuple[Int64, int]:
    """Bring a row into the int16 range with as many significant bits as fit.

    Args:
        values: (dim,) components times 2^(14 + shift).
        shift: the row's shift, 0 to 14.

    Returns:
        The row and its shift, such that the largest magnitude lies in 16,320 to 32,639 or `shift` is at its end.
    """
    largest = int(max(values.max(), -values.min()))
    while largest > ROW_MAX:
        values = (values + 1) >> 1
        largest = (largest + 1) >> 1
        shift -= 1
    steps = 0
    while largest and 2 * largest <= ROW_MAX and shift + steps < SHIFT_MAX:
        largest *= 2
        steps += 1
    return (values << steps if steps else values), shift + steps


def split(values: Int64) -> tuple[Int8, Int8]:
    """int16 rows as their int8 images, (v + 128) >> 8, and the rests that make them exact, both int8."""
    high = values + 128
    high >>= 8
    low = values - (high << 8)
    return high.astype(np.int8), low.astype(np.int8)


def join(high: Int8, low: Int8) -> Int64:
    """The inverse of `split`."""
    values = high.astype(np.int64)
    values <<= 8
    values += low
    return values
