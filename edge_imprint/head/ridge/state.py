"""The second part of a second-moment head's memory: typed views, and the scatter as shots come and go."""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import SnapshotCorruptError
from edge_imprint.head import fixed, moment
from edge_imprint.head.arena import Arena
from edge_imprint.head.fixed import COUNT_CAP, Int64
from edge_imprint.head.ridge.layout import (
    ROW_META_BYTES,
    SOLVED_AT_ONCE,
    STATE_BYTES,
    RidgeLayout,
    packed_bytes,
    row_bytes,
)

STATE = np.dtype([("shots", "<u4"), ("sharpness", "<i4"), ("before", "<i4"), ("added", "<u4"), ("spare", "<u4", (4,))])
ONE = 1 << 16
PRIOR = ONE
BASE_SHOTS = 30
MERGED_WEIGHT = 4
MOST_SHOTS = 0xFFFFFFFF
SHARPNESS_MAX = 6 << 16
FLOOR = np.float32(0.25)
LEAST = ONE // 4
STATE_SECTION = struct.Struct("<Ii")
_SHOT_MAX = 32767
Factorise = Callable[[NDArray[np.int32], NDArray[np.float32], np.float32], None]


class Moment:
    """Scatter within classes, its factor and the discriminants, in the bytes behind the proxies' arena.

    The scatter is sum of (x - m)(x - m)' n / (n + 1) over the shots x, m and n being the mean and the number of its
    class's shots so far (Welford 1962); a class's first shot counts with its distance from the mean of the other
    classes. Whole numbers in units of 2^-16, so that taking a shot back leaves nothing behind.
    """

    def __init__(self, layout: RidgeLayout, buffer: NDArray[np.uint8], factorise: Factorise = moment.factor) -> None:
        """Look at `layout.moment_bytes` bytes; `factorise` is `moment.factor` or gives the same bits."""
        self.layout = layout
        self._factorise = factorise
        dim, data, at = layout.dim, buffer.data, STATE_BYTES
        self.state = np.ndarray((), STATE, data)
        self.last: NDArray[np.int16] = np.ndarray((dim,), "<i2", data, at)
        at += (2 * dim + 3) // 4 * 4
        self.scatter: NDArray[np.int32] = np.ndarray((packed_bytes(dim) // 4,), "<i4", data, at)
        at += packed_bytes(dim)
        self.factor: NDArray[np.float32] = np.ndarray((packed_bytes(dim) // 4,), "<f4", data, at)
        at += packed_bytes(dim) + 4 * dim * SOLVED_AT_ONCE
        step = row_bytes(dim)

        def column(offset: int, dtype: str, *shape: int) -> NDArray[Any]:
            strides = (step, 1) if shape else (step,)
            return np.ndarray((layout.rows + 1, *shape), dtype, data, at + offset, strides)

        # Discriminant 0 is the background's, slot i has discriminant i + 1.
        meta = step - ROW_META_BYTES
        self.row, self.slope, self.offset = column(0, "i1", dim), column(meta, "<i4"), column(meta + 4, "<i4")
        # Follows from what is in the arena, so it is not kept there.
        self.stale = True
        self.unit = np.float32(0)
        self.spread_q24 = 0

    def clear(self, base: NDArray[np.float64] | None) -> None:
        """Start anew: as much scatter in every direction as one unit of squared distance, and that of the base.

        Args:
            base: (dim, dim) covariance of unit embeddings of other pictures; counts as 30 shots. None for no base.
        """
        self.state[()] = 0
        self.scatter[:] = 0
        if base is not None:
            self.scatter[:] = prior(base)
        self.scatter[moment.diagonal(self.layout.dim)] += PRIOR
        self.stale = True

    @property
    def shots(self) -> int:
        """How many shots the scatter is made of."""
        return int(self.state["shots"])

    def begin(self) -> None:
        """Remember what `take_back` needs, before a shot is scored."""
        self.state["before"], self.state["added"] = self.state["sharpness"], 0

    def absorb(self, arena: Arena, index: int | None, values: Int64) -> None:
        """Add a shot, (dim,) times 2^14, of a class, or of a new one when None, whose mean does not know it yet."""
        self.stale = True
        if index is not None:
            count = min(int(arena.count[index]), COUNT_CAP)
            weight = isqrt((count << 30) // (count + 1))
            centre = mean_of(arena, index)
        elif arena.n_classes:
            weight = isqrt((arena.n_classes << 30) // (arena.n_classes + 1))
            centre = background(arena)
        else:
            return
        self._add(((values - centre) * weight + (1 << 15)) >> 16)

    def pool(self, arena: Arena, index: int, values: Int64, count: int) -> None:
        """Add how far another head's mean of `count` shots, (dim,) times 2^14, lies from a class's own."""
        self.stale = True
        own = min(int(arena.count[index]), COUNT_CAP)
        count = min(count, COUNT_CAP)
        weight = isqrt(min((own * count << 30) // (own + count), MERGED_WEIGHT << 30))
        self._add(((values - mean_of(arena, index)) * weight + (1 << 15)) >> 16)

    def _add(self, shot: Int64) -> None:
        self.last[:] = shot.clip(-_SHOT_MAX, _SHOT_MAX)
        # A scatter that is full stays as it is: it has seen tens of thousands of shots.
        if self.shots < MOST_SHOTS and moment.has_room(self.scatter, self.last):
            moment.add(self.scatter, self.last, 1)
            self.state["shots"] += 1
            self.state["added"] = 1

    def take_back(self) -> None:
        """Undo the last `begin` and `absorb`."""
        if self.state["added"]:
            moment.add(self.scatter, self.last, -1)
            self.state["shots"] -= 1
        self.state["sharpness"], self.state["added"] = self.state["before"], 0
        self.stale = True

    def merge(self, other: Moment) -> None:
        """Add another head's scatter, less the prior, which both have."""
        total = self.scatter.astype(np.int64) + other.scatter
        diagonal = moment.diagonal(self.layout.dim)
        total[diagonal] -= PRIOR
        while total[diagonal].max() > moment.MOST:
            total >>= 1
            total[diagonal] += PRIOR // 2
        self.scatter[:] = total
        self.state["shots"] = min(self.shots + other.shots, MOST_SHOTS)
        self.state["added"] = 0
        self.stale = True

    def sections(self) -> dict[str, bytes]:
        """What a snapshot keeps."""
        return {
            "ridge": STATE_SECTION.pack(self.shots, int(self.state["sharpness"])),
            "scatter": self.scatter.tobytes(),
        }

    def restore(self, state: bytes, scatter: bytes) -> None:
        """Take over the sections of a snapshot.

        Raises:
            SnapshotCorruptError: a scatter that no shots have, or a sharpness out of its range.
        """
        shots, sharpness = STATE_SECTION.unpack(state)
        self.scatter[:] = np.frombuffer(scatter, "<i4")
        places = moment.diagonal(self.layout.dim)
        diagonal = self.scatter[places]
        possible = abs(sharpness) <= SHARPNESS_MAX and diagonal.min() > 0 and diagonal.max() <= moment.MOST
        if possible:
            # Shots leave at least the prior in every direction; with less than a part of it solutions would overflow.
            self.scatter[places] -= LEAST
            with np.errstate(all="ignore"):
                self._factorise(self.scatter, self.factor, FLOOR)
            self.scatter[places] += LEAST
            possible = bool(self.factor[places].min() > np.sqrt(FLOOR))
        if not possible:
            raise SnapshotCorruptError("the snapshot's scatter is none that shots can have. Use a backup")
        self.state[()] = 0
        self.state["shots"], self.state["sharpness"] = shots, sharpness
        self.stale = True


def prior(base: NDArray[np.float64]) -> NDArray[np.int32]:
    """A base covariance (dim, dim) as a packed scatter of 30 shots."""
    lower = base[np.tril_indices(len(base))]
    return np.rint(lower * (BASE_SHOTS * ONE)).astype(np.int32)


def mean_of(arena: Arena, index: int) -> Int64:
    """A class's mean, (dim,) times 2^14, rounded."""
    shift = int(arena.shift[index])
    values = fixed.join(arena.high[index], arena.low[index])
    return (values + (1 << shift >> 1)) >> shift


def background(arena: Arena) -> Int64:
    """The mean of the class means, (dim,) times 2^14, rounded."""
    total = mean_of(arena, 0)
    for index in range(1, arena.n_classes):
        total += mean_of(arena, index)
    return (2 * total + arena.n_classes) // (2 * arena.n_classes)
