"""The one block of memory that a head lives in, and the journal that takes the last shot back.

    header | slots ->           <- class records | journal

Slots 0 to n_classes - 1 are the class means, in class order; the centres follow in the order in which they came.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import fixed
from edge_imprint.head.budget import HEADER_BYTES, JOURNAL_SLOTS, RECORD_BYTES, SLOT_META_BYTES, Layout
from edge_imprint.head.fixed import Int8, Int64, Point
from edge_imprint.head.labels import LABEL_FIELD_BYTES

# Header words, int64 each. The journal's own words come last; everything before `USED` is saved with a shot.
N_SLOTS, N_CLASSES, SHOTS, OWN_COUNT, OWN_MEAN, OWN_VARIANCE, USED, RECORD_SAVED = range(8)
_NO_RECORD = -1
_SAVED_WORDS = USED


class Arena:
    """Typed views into one buffer of exactly `layout.budget` bytes, allocated once."""

    def __init__(self, layout: Layout) -> None:
        """Allocate the buffer, zeroed."""
        self.layout = layout
        self.buffer: NDArray[np.uint8] = np.zeros(layout.budget, np.uint8)
        self._bytes = self.buffer.data
        step, most, dim = layout.slot_bytes, layout.pool_bytes // layout.slot_bytes, layout.dim

        def column(offset: int, dtype: str, *shape: int) -> NDArray[Any]:
            strides = (step, 1) if shape else (step,)
            return np.ndarray((most, *shape), dtype, self.buffer.data, HEADER_BYTES + offset, strides)

        self.header = np.ndarray((8,), "<i8", self.buffer.data)
        meta = step - SLOT_META_BYTES
        self.high, self.low = column(0, "i1", dim), column(dim, "i1", dim)
        self.count, self.square = column(meta, "<u4"), column(meta + 4, "<i4")
        self.alpha, self.beta = column(meta + 8, "<i4"), column(meta + 12, "<i4")
        self.cls, self.shift = column(meta + 16, "<u2"), column(meta + 18, "u1")

        self._records_end = end = layout.budget - layout.journal_bytes

        def field(offset: int, dtype: str) -> NDArray[Any]:
            start = end - RECORD_BYTES + offset
            return np.ndarray((layout.max_classes,), dtype, self.buffer.data, start, (-RECORD_BYTES,))

        self.label, at = field(0, f"V{LABEL_FIELD_BYTES}"), LABEL_FIELD_BYTES
        self.shots, self.pair_cost = field(at, "<u4"), field(at + 4, "<u4")
        self.other_count, self.other_mean = field(at + 8, "<u4"), field(at + 12, "<i4")
        self.other_variance = field(at + 16, "<u4")

        saved = HEADER_BYTES + RECORD_BYTES
        if layout.undo:
            self._saved_header = np.ndarray((8,), "<i8", self.buffer.data, end)
            self._saved_slots = np.ndarray((JOURNAL_SLOTS,), "<i4", self.buffer.data, end + saved)
            self._saved_rows = end + saved + 4 * JOURNAL_SLOTS
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

    def has_room(self, slots: int, classes: int) -> bool:
        """Whether so many more slots and records fit."""
        return self.n_slots + slots <= self.layout.slots_for(self.n_classes + classes)

    def centres_of(self, index: int) -> Int64:
        """Slot numbers of one class's centres, ascending."""
        first = int(self.header[N_CLASSES])
        slots: Int64 = (self.cls[first : self.header[N_SLOTS]] == index).nonzero()[0] + first
        return slots

    def point(self, slot: int) -> Point:
        """A slot's proxy as a point that stands for all its shots."""
        high, shift = self.high[slot].copy(), int(self.shift[slot])
        values = fixed.join(high, self.low[slot])
        return Point(values, shift, int(self.count[slot]), high, 1 << (14 + shift), int(self.square[slot]))

    def write(self, slot: int, index: int, values: Int64, shift: int, count: int) -> None:
        """Put a row into a slot (journalled)."""
        self.save_slot(slot)
        values, shift = fixed.fit_row(values, shift)
        high, low = fixed.split(values)
        self.cls[slot] = index
        self.store(slot, high, low, shift, count, values)

    def store(self, slot: int, high: Int8, low: Int8, shift: int, count: int, values: Int64) -> None:
        """Overwrite a saved slot's row, count, shift and square; its class stays."""
        self.high[slot], self.low[slot] = high, low
        self.square[slot] = int(values @ values) >> (2 * shift + 8)
        self.count[slot], self.shift[slot] = min(count, 0xFFFFFFFF), shift
        self.stale.add(int(self.cls[slot]))

    def move(self, source: int, target: int) -> None:
        """Copy one slot over another (journalled)."""
        if source != target:
            self.save_slot(target)
            start, stop, step = self._slot_bytes(source)
            self._bytes[HEADER_BYTES + target * step :][:step] = self._bytes[start:stop]

    def _slot_bytes(self, slot: int) -> tuple[int, int, int]:
        step = self.layout.slot_bytes
        start = HEADER_BYTES + slot * step
        return start, start + step, step

    def append(self, index: int, point: Point) -> None:
        """Put a point into a new slot at the end. The caller has checked `has_room`."""
        slot = self.n_slots
        self.write(slot, index, point.values, point.shift, point.weight)
        self.header[N_SLOTS] = slot + 1

    def give_back(self, slot: int) -> None:
        """Close the gap at a freed slot with the last one."""
        last = self.n_slots - 1
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
        n, classes, step = self.n_slots, self.n_classes, self.layout.slot_bytes
        keep = np.flatnonzero(self.cls[:n] != index)
        for target, source in enumerate(keep.tolist()):
            start, stop, _ = self._slot_bytes(source)
            self._bytes[HEADER_BYTES + target * step :][:step] = self._bytes[start:stop]
        numbers = self.cls[: len(keep)]
        numbers[numbers > index] -= 1
        for field in (
            self.label,
            self.shots,
            self.pair_cost,
            self.other_count,
            self.other_mean,
            self.other_variance,
        ):
            field[index : classes - 1] = field[index + 1 : classes].copy()
        self.header[N_SLOTS], self.header[N_CLASSES] = len(keep), classes - 1
        self.stale = set(range(classes - 1))
        self.close_journal()

    def open_journal(self) -> None:
        """Start recording: from here on, every slot and one record are saved before they are overwritten."""
        if self.layout.undo:
            header = self.header
            header[USED], header[RECORD_SAVED] = 0, _NO_RECORD
            self._saved_header[:_SAVED_WORDS] = header[:_SAVED_WORDS]

    def save_slot(self, slot: int) -> None:
        """Save a slot that was in use when the journal was opened, once."""
        if not self.layout.undo or slot >= self._saved_header[N_SLOTS]:
            return
        used = int(self.header[USED])
        if slot not in self._saved_slots[:used].tolist():
            start, stop, step = self._slot_bytes(slot)
            self._bytes[self._saved_rows + used * step :][:step] = self._bytes[start:stop]
            self._saved_slots[used] = slot
            self.header[USED] = used + 1

    def save_record(self, index: int) -> None:
        """Save a class record before it changes."""
        if self.layout.undo and self.header[RECORD_SAVED] == _NO_RECORD:
            start = self._records_end - (index + 1) * RECORD_BYTES
            saved = self._records_end + HEADER_BYTES
            self._bytes[saved : saved + RECORD_BYTES] = self._bytes[start : start + RECORD_BYTES]
            self.header[RECORD_SAVED] = index

    def close_journal(self) -> None:
        """Make undo impossible until the next shot."""
        if self.layout.undo:
            self._saved_header[SHOTS] = self.header[SHOTS]

    @property
    def can_undo(self) -> bool:
        """Whether the journal holds a shot."""
        return self.layout.undo and bool(self._saved_header[SHOTS] != self.header[SHOTS])

    def roll_back(self) -> None:
        """Put back everything since `open_journal`."""
        step = self.layout.slot_bytes
        for i, slot in enumerate(self._saved_slots[: self.header[USED]].tolist()):
            saved = self._saved_rows + i * step
            self._bytes[HEADER_BYTES + slot * step :][:step] = self._bytes[saved : saved + step]
        index = int(self.header[RECORD_SAVED])
        if index != _NO_RECORD:
            start = self._records_end - (index + 1) * RECORD_BYTES
            saved = self._records_end + HEADER_BYTES
            self._bytes[start : start + RECORD_BYTES] = self._bytes[saved : saved + RECORD_BYTES]
        self.header[:_SAVED_WORDS] = self._saved_header[:_SAVED_WORDS]
        self.stale = set(range(self.n_classes))
        self.close_journal()
