"""The second part of a second-moment head's memory: typed views, and the scatter as shots come and go."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
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
from edge_imprint.head.ridge.shot_log import SHOT, ShotLog

# `in_log`, `logged` and `gone` are the log's: whether it has the last shot, how many it has, what that one pushed out.
STATE = np.dtype(
    [("shots", "<u4"), ("sharpness", "<i4"), ("before", "<i4"), ("added", "u1"), ("shift", "u1"), ("in_log", "<u2"),
     ("logged", "<u4"), ("gone", SHOT), ("spare", "<u4", (2,))]
)  # fmt: skip
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
_ROW_MAX, _ROW_BITS = 127, 7
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
        # The last shot, as a row and a shift, and what the log gave up for it.
        self.last: NDArray[np.int8] = np.ndarray((dim,), "i1", data, at)
        spare: NDArray[np.int8] = np.ndarray((dim,), "i1", data, at + dim)
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
        self.log = ShotLog(layout, np.ndarray((layout.rows + 1, step), np.uint8, data, at), self.state, spare)
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
        shots = 0 if index is None else int(arena.shots[index])
        if index is not None:
            count = min(int(arena.count[index]), COUNT_CAP)
            self._add(values - mean_of(arena, index), isqrt((count << 30) // (count + 1)))
        elif arena.n_classes:
            self._add(values - background(arena), isqrt((arena.n_classes << 30) // (arena.n_classes + 1)))
        else:
            self.last[:] = self.state["shift"] = 0
        place, counted = arena.n_classes if index is None else index, bool(self.state["added"])
        self.log.add(place, shots, arena.n_slots, self.last, int(self.state["shift"]), counted)

    def settle(self, arena: Arena) -> None:
        """The arena knows the shot: a proxy that is new in it may have the log's last place."""
        self.log.make_way(arena.n_slots)

    def pool(self, arena: Arena, index: int, values: Int64, count: int) -> None:
        """Add how far another head's mean of `count` shots, (dim,) times 2^14, lies from a class's own.

        A class that two heads were taught with is not forgotten exactly: its shots leave the log.
        """
        self.stale = True
        own = min(int(arena.count[index]), COUNT_CAP)
        count = min(count, COUNT_CAP)
        self._add(values - mean_of(arena, index), isqrt(min((own * count << 30) // (own + count), MERGED_WEIGHT << 30)))
        self.log.drop(index)

    def _add(self, apart: Int64, weight: int) -> None:
        """Add a difference, times 2^14, `weight` times 2^15 as long: as the int8 row and shift that the log keeps."""
        shot = ((apart * weight + (1 << 15)) >> 16).clip(-_SHOT_MAX, _SHOT_MAX)
        shift = max(int(np.abs(shot).max()).bit_length() - _ROW_BITS, 0)
        self.last[:] = ((shot + (1 << shift >> 1)) >> shift).clip(-_ROW_MAX, _ROW_MAX)
        self.state["shift"] = shift
        wide = self._last()
        # A scatter that is full stays as it is: it has seen tens of thousands of shots.
        if self.shots < MOST_SHOTS and moment.has_room(self.scatter, wide):
            moment.add(self.scatter, wide, 1)
            self.state["shots"] += 1
            self.state["added"] = 1

    def _last(self) -> NDArray[np.int16]:
        return self.last.astype(np.int16) << int(self.state["shift"])

    def take_back(self) -> None:
        """Undo the last `begin`, `absorb` and `settle`."""
        if self.state["added"]:
            moment.add(self.scatter, self._last(), -1)
            self.state["shots"] -= 1
        self.state["sharpness"], self.state["added"] = self.state["before"], 0
        self.log.take_back()
        self.stale = True

    def forget(self, index: int) -> None:
        """Take out what the log has of a class; later classes move up by one."""
        for shot in self.log.counted(index):
            moment.add(self.scatter, shot, -1)
            self.state["shots"] -= 1
        self.log.drop(index)
        self.log.renumber(index)
        self.state["added"] = 0
        self.stale = True

    def is_logged(self, arena: Arena, index: int) -> bool:
        """Whether all shots of a class are in the log, so that `forget` takes all of it back."""
        return self.log.of_class(index) == int(arena.shots[index])

    def merge(self, arena: Arena, other: Moment, places: Sequence[int], known: int) -> None:
        """Add another head's scatter, less the prior, which both have.

        Args:
            arena: of the head, which has the other's classes by now.
            other: the other's.
            places: what its classes are here.
            known: how many classes the head had; of those that are new the shots are taken over, too.
        """
        self.log.trim(arena.n_slots)
        total = self.scatter.astype(np.int64) + other.scatter
        diagonal = moment.diagonal(self.layout.dim)
        total[diagonal] -= PRIOR
        halved = False
        while total[diagonal].max() > moment.MOST:
            total >>= 1
            total[diagonal] += PRIOR // 2
            halved = True
        self.scatter[:] = total
        self.state["shots"] = min(self.shots + other.shots, MOST_SHOTS)
        self.state["added"] = 0
        self.stale = True
        if halved:
            self.log.clear()
            return
        for source, place in enumerate(places):
            if place >= known:
                self.log.take_over(other.log, source, place, arena.n_slots)

    def sections(self) -> dict[str, bytes]:
        """What a snapshot keeps."""
        logged = {"log": self.log.section()} if self.log.count else {}
        return {
            "ridge": STATE_SECTION.pack(self.shots, int(self.state["sharpness"])),
            "scatter": self.scatter.tobytes(),
            **logged,
        }

    def restore(self, state: bytes, scatter: bytes, log: bytes, slots: int, classes: int) -> None:
        """Take over the sections of a snapshot of so many proxies and classes.

        Raises:
            SnapshotCorruptError: a scatter that no shots have, or not those of the log; a sharpness out of its range.
        """
        shots, sharpness = STATE_SECTION.unpack(state)
        self.state[()] = 0
        self.state["shots"], self.state["sharpness"] = shots, sharpness
        numbers = np.frombuffer(scatter, "<i4")
        places = moment.diagonal(self.layout.dim)
        possible = (
            abs(sharpness) <= SHARPNESS_MAX
            and numbers[places].min() > 0
            and numbers.max() <= moment.MOST
            and numbers.min() >= -moment.MOST
            and self.log.restore(log, slots, classes)
        )
        if possible:
            # Shots leave at least the prior in every direction; with less than a part of it solutions would overflow.
            self.scatter[:] = numbers
            self.scatter[places] -= LEAST
            for shot in self.log.counted():
                moment.add(self.scatter, shot, -1)
            with np.errstate(all="ignore"):
                self._factorise(self.scatter, self.factor, FLOOR)
            possible = bool(self.factor[places].min() > np.sqrt(FLOOR))
        if not possible:
            raise SnapshotCorruptError("the snapshot's scatter is none that its shots can have. Use a backup")
        self.scatter[:] = numbers
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
