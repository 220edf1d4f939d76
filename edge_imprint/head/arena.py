"""The one block of memory that a head lives in, and the journal that takes the last shot back.

    header | slots ->           <- class records | journal

Slots 0 to n_classes - 1 are the class means, in class order; the centres follow in the order in which they came.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import fixed
from edge_imprint.head.budget import HEADER_BYTES, RECORD_BYTES, SLOT_META_BYTES, Layout
from edge_imprint.head.fixed import Int64, Point
from edge_imprint.head.labels import LABEL_FIELD_BYTES

# Header words, int64 each; then the running statistics of shots with their own class; the rest is spare.
N_SLOTS, N_CLASSES, SHOTS = range(3)
MOST_SHOTS = 1 << 48
_OWN = np.dtype([("count", "<u4"), ("mean", "<i4"), ("variance", "<u4")])
_NO_RECORD = -1
NO_CLASS = 0xFFFF
_SQUARE_MAX = 1 << 28
_STEP = 64
_HEADER = slice(0, HEADER_BYTES)


def square_of(values: Int64, shift: int) -> int:
    """Squared length of a row times 2^20, at most 2^28, so that sums of them stay in 64 bits."""
    return min(int(values @ values) >> (2 * shift + 8), _SQUARE_MAX)


class Arena:
    """Typed views into one buffer of exactly `layout.budget` bytes, allocated once."""

    def __init__(self, layout: Layout, buffer: NDArray[np.uint8] | None = None) -> None:
        """Look at a buffer, or allocate one, zeroed."""
        self.layout = layout
        self.buffer: NDArray[np.uint8] = np.zeros(layout.budget, np.uint8) if buffer is None else buffer
        self._bytes = self.buffer.data
        step, most, dim = layout.slot_bytes, layout.pool_bytes // layout.slot_bytes, layout.dim

        def column(offset: int, dtype: str, *shape: int) -> NDArray[Any]:
            strides = (step, 1) if shape else (step,)
            return np.ndarray((most, *shape), dtype, self.buffer.data, HEADER_BYTES + offset, strides)

        self.header = np.ndarray((3,), "<i8", self.buffer.data)
        self._own = np.ndarray((), _OWN, self.buffer.data, self.header.nbytes)
        meta = step - SLOT_META_BYTES
        self.high, self.low = column(0, "i1", dim), column(dim, "i1", dim)
        self.count, self.square = column(meta, "<u4"), column(meta + 4, "<i4")
        self.alpha, self.beta = column(meta + 8, "<i4"), column(meta + 12, "<i4")
        self.cls, self.shift = column(meta + 16, "<u2"), column(meta + 18, "u1")

        # Slots and records are multiples of 4 bytes: up to 3 bytes of an odd budget hold nothing.
        self._records_end = end = layout.budget // 4 * 4 - layout.journal_bytes

        def field(offset: int, dtype: str) -> NDArray[Any]:
            start = end - RECORD_BYTES + offset
            return np.ndarray((layout.max_classes,), dtype, self.buffer.data, start, (-RECORD_BYTES,))

        self.label, at = field(0, f"V{LABEL_FIELD_BYTES}"), LABEL_FIELD_BYTES
        self.shots, self.pair_cost = field(at, "<u4"), field(at + 4, "<u4")
        self.other_count, self.other_mean = field(at + 8, "<u4"), field(at + 12, "<i4")
        self.other_variance = field(at + 16, "<u4")

        self._saved_header = slice(end, end + HEADER_BYTES)
        self._saved_record = slice(end + HEADER_BYTES, end + HEADER_BYTES + RECORD_BYTES)
        # Which slots and which record the journal holds, how many slots there were, and whether undo may use it.
        self._journal: list[int] = []
        self._journal_record, self._slots_before, self.can_undo = _NO_RECORD, 0, False
        # Classes whose alpha and beta are out of date: derived state, so it is not kept in the arena.
        self.stale: set[int] = set()

    @property
    def n_slots(self) -> int:
        """Proxies in use."""
        return int(self.header[N_SLOTS])

    @property
    def n_classes(self) -> int:
        """Classes in use."""
        return int(self.header[N_CLASSES])

    @property
    def total_shots(self) -> int:
        """Shots learnt, up to 2^48."""
        return int(self.header[SHOTS])

    @property
    def own(self) -> tuple[int, int, int]:
        """Count, mean and variance of the cosines of shots with their own class."""
        count, mean, variance = self._own.item()
        return count, mean, variance

    @own.setter
    def own(self, numbers: tuple[int, int, int]) -> None:
        self._own[()] = numbers

    def count_shots(self, shots: int) -> None:
        """Add to the shots learnt, which are counted up to 2^48."""
        self.header[SHOTS] = min(int(self.header[SHOTS]) + shots, MOST_SHOTS)

    def has_room(self, slots: int, classes: int) -> bool:
        """Whether so many more slots and records fit."""
        return self.n_slots + slots <= self.layout.slots_for(self.n_classes + classes)

    def window(self) -> int:
        """How many slots to look through: those in use, and free ones, marked so, up to a multiple of 64.

        Arrays of few different sizes keep memory steady: numpy and malloc hold on to freed arrays of every size that
        they ever saw. Free slots farther on are not touched: a large budget takes memory only as it is used.
        """
        n, classes = self.header[: N_CLASSES + 1].tolist()
        end: int = min(-(-n // _STEP) * _STEP, self.layout.slots_for(classes))
        self.cls[n:end] = NO_CLASS
        return end

    def centres_of(self, index: int) -> Int64:
        """Slot numbers of one class's centres, ascending."""
        # The mean's slot comes first.
        slots: Int64 = (self.cls[: self.window()] == index).nonzero()[0][1:]
        return slots

    def point(self, slot: int) -> Point:
        """A slot's proxy as a point that stands for all its shots."""
        high, shift = self.high[slot].copy(), int(self.shift[slot])
        values = fixed.join(high, self.low[slot])
        return Point(values, shift, int(self.count[slot]), high, 1 << (14 + shift), int(self.square[slot]))

    def write(self, slot: int, index: int, values: Int64, shift: int, count: int) -> None:
        """Put a row into a slot (journalled)."""
        self.save_slot(slot)
        self.cls[slot] = index
        self.store(slot, values, shift, count)

    def store(self, slot: int, values: Int64, shift: int, count: int) -> None:
        """Overwrite a saved slot's row and what follows from it; its class stays."""
        values, shift = fixed.fit_row(values, shift)
        self.high[slot], self.low[slot] = fixed.split(values)
        self.square[slot] = square_of(values, shift)
        self.count[slot], self.shift[slot] = min(count, 0xFFFFFFFF), shift
        self.stale.add(int(self.cls[slot]))

    def move(self, source: int, target: int) -> None:
        """Copy one slot over another (journalled)."""
        if source != target:
            self.save_slot(target)
            self._copy(self._slot_at(source), self._slot_at(target))

    def _copy(self, source: slice, target: slice) -> None:
        self._bytes[target] = self._bytes[source]

    def _slot_at(self, slot: int, start: int = HEADER_BYTES) -> slice:
        first = start + slot * self.layout.slot_bytes
        return slice(first, first + self.layout.slot_bytes)

    def _record_at(self, index: int) -> slice:
        first = self._records_end - (index + 1) * RECORD_BYTES
        return slice(first, first + RECORD_BYTES)

    def _saved_slot_at(self, place: int) -> slice:
        return self._slot_at(place, self._saved_record.stop)

    def append(self, index: int, point: Point) -> None:
        """Put a point into a new slot at the end. The caller has checked `has_room`."""
        slot = self.n_slots
        self.write(slot, index, point.values, point.shift, point.weight)
        self.header[N_SLOTS] = slot + 1

    def give_back(self, slot: int) -> None:
        """Close the gap at a freed slot with the last one."""
        last = self.n_slots - 1
        # A class record may come to lie where it was.
        self.save_slot(last)
        self.move(last, slot)
        self.header[N_SLOTS] = last

    def open_record(self, label: bytes, point: Point) -> int:
        """Add a class with its mean; the first centre moves to the end. The caller has checked `has_room`."""
        index = self.n_classes
        self.move(index, self.n_slots)
        self.header[N_SLOTS] += 1
        self.header[N_CLASSES] = index + 1
        self.write(index, index, point.values, point.shift, point.weight)
        self.label[index] = label
        self.shots[index] = point.weight
        self.pair_cost[index] = self.other_count[index] = self.other_mean[index] = self.other_variance[index] = 0
        return index

    def remove_class(self, index: int) -> None:
        """Close the gaps that a class leaves; order is kept, later classes move up by one."""
        n, classes = self.n_slots, self.n_classes
        keep = np.flatnonzero(self.cls[:n] != index)
        for target, source in enumerate(keep.tolist()):
            self._copy(self._slot_at(source), self._slot_at(target))
        numbers = self.cls[: len(keep)]
        numbers[numbers > index] -= 1
        for record in range(index, classes - 1):
            self._copy(self._record_at(record + 1), self._record_at(record))
        self.header[N_SLOTS], self.header[N_CLASSES] = len(keep), classes - 1
        if classes == 1:
            self.own = (0, 0, 0)
        self.stale = set(range(classes - 1))
        self.close_journal()

    def open_journal(self) -> None:
        """Start recording: from here on, every slot and one record are saved before they are overwritten."""
        if self.layout.undo:
            self._journal.clear()
            self._journal_record, self._slots_before, self.can_undo = _NO_RECORD, self.n_slots, True
            self._copy(_HEADER, self._saved_header)

    def save_slot(self, slot: int) -> None:
        """Save a slot that was in use when the journal was opened, once."""
        if self.can_undo and slot < self._slots_before and slot not in self._journal:
            self._copy(self._slot_at(slot), self._saved_slot_at(len(self._journal)))
            self._journal.append(slot)

    def save_record(self, index: int) -> None:
        """Save a class record before it changes."""
        if self.can_undo:
            self._copy(self._record_at(index), self._saved_record)
            self._journal_record = index

    def close_journal(self) -> None:
        """Make undo impossible until the next shot."""
        self.can_undo = False

    def roll_back(self) -> None:
        """Put back everything since `open_journal`."""
        for place, slot in enumerate(self._journal):
            self._copy(self._saved_slot_at(place), self._slot_at(slot))
            self.stale.add(int(self.cls[slot]))
        if self._journal_record != _NO_RECORD:
            self._copy(self._saved_record, self._record_at(self._journal_record))
        self._copy(self._saved_header, _HEADER)
        self.stale = {index for index in self.stale if index < self.n_classes}
        self.close_journal()
