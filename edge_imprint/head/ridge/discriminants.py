"""From means, centres and scatter to int8 discriminants: the only floating point of the head, in a fixed order.

With A the scatter and g the mean of the class means, a proxy p answers a unit embedding x with
d(x) = w . (x - g) - w . (p - g) / 4, w = A^-1 (p - g). Equal covariances ask for twice that last term; half serves
better, as the means are uncertain themselves. Proxies are the class means and the centres, shrunk towards their mean as
in `scoring`, five times as far: what a cluster has of its own must be worth more than the noise that it adds.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import fixed, moment, scoring
from edge_imprint.head.arena import Arena
from edge_imprint.head.fixed import Int64
from edge_imprint.head.ridge.state import FLOOR, Moment, background

Float32 = NDArray[np.float32]

_CENTRE_CAUTION = 5
_ONE_Q24 = np.float32(2.0**24)
_ONE_Q28 = np.float32(2.0**28)
_MOST_LENGTH_Q24 = 1 << 38


def refresh(arena: Arena, second: Moment, shrinkage: int) -> None:
    """Bring the discriminants up to date; they follow from arena and scatter alone."""
    if not second.stale:
        return
    second.stale = False
    if not arena.n_classes:
        return
    moment.factor(second.scatter, second.factor, FLOOR)
    proxies = _proxies(arena, shrinkage)
    points = np.empty_like(proxies)
    points[0] = proxies[0] * np.float32(0.5)
    proxies[1:] -= proxies[0]
    points[1:] = proxies[0] + proxies[1:] * np.float32(0.25)
    solved = proxies.T.copy(order="C")
    moment.solve(second.factor, solved)
    weights = np.ascontiguousarray(solved.T)
    # Where a discriminant is 0. Sums of whole numbers are the same in any order.
    lengths = np.rint(points * weights * _ONE_Q24).astype(np.int64).sum(axis=1)
    second.spread_q24 = _spread_q24(lengths[: 1 + arena.n_classes])
    offsets = lengths.astype(np.float32) * -np.float32(2.0**-24)
    rows, scales = moment.quantise(weights)
    norm2 = np.einsum("ij,ij->i", rows.astype(np.int32), rows.astype(np.int32))
    # One scale for all, so that no answer can exceed 1.
    unit = (scales * np.sqrt(norm2.astype(np.float32)) + np.abs(offsets)).max()
    second.unit = np.float32(unit)
    n = arena.n_slots + 1
    second.row[:n] = rows
    if unit > 0:
        second.slope[:n] = np.rint(scales / unit * _ONE_Q28)
        second.offset[:n] = np.rint(offsets / unit * _ONE_Q28)
    else:
        second.slope[:n] = second.offset[:n] = 0


def _spread_q24(lengths: Int64) -> int:
    """Root of the mean of m' A^-1 m over the class means m, times 2^24.

    Args:
        lengths: of the background, g' A^-1 g / 2, then of each class's mean, of which the mean over the classes is
            that of (m - g)' A^-1 (m - g) / 4; times 2^24.
    """
    ground, apart = int(lengths[0]), int(lengths[1:].sum())
    square = 2 * ground + 4 * apart // (len(lengths) - 1)
    return isqrt(min(max(square, 0), _MOST_LENGTH_Q24) << 24)


def _proxies(arena: Arena, shrinkage: int) -> Float32:
    """Background, then each slot's proxy: (1 + n_slots, dim)."""
    out = np.empty((arena.n_slots + 1, arena.layout.dim), np.float32)
    out[0] = background(arena).astype(np.float32) * np.float32(2.0**-14)
    for slot in range(arena.n_slots):
        scale = np.float32(2.0 ** -(14 + int(arena.shift[slot])))
        out[slot + 1] = fixed.join(arena.high[slot], arena.low[slot]).astype(np.float32) * scale
    for index in range(arena.n_classes):
        centres = arena.centres_of(index)
        if len(centres):
            _shrink(arena, out, index, centres, shrinkage)
    return out


def _shrink(arena: Arena, out: Float32, index: int, centres: Int64, shrinkage: int) -> None:
    """(min(n_j, s) c_j + kappa m) / (min(n_j, s) + kappa)."""
    own = np.minimum(arena.count[centres], shrinkage).astype(np.float32)[:, None]
    kappa = np.float32(_CENTRE_CAUTION * scoring.weight_of_mean(arena, index, centres, shrinkage))
    mixed = own * out[centres + 1]
    mixed += kappa * out[index + 1]
    mixed /= own + kappa
    out[centres + 1] = mixed
