"""The shots that the scatter is made of, class by class, as long as there is room: what makes `forget` exact.

They lie where proxies that are not there yet will have their discriminants, from the end of the arena downwards, the
oldest last, and give way when proxies come. So they cost no bytes of their own. A class is forgotten exactly while
each of its shots is there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head.ridge.layout import RidgeLayout, row_bytes

MOST_LOGGED = 4096
# Differences of unit vectors need no more; so many shots of it cannot make 32-bit sums overflow.
SHIFT_MAX = 7
_GONE = struct.Struct("<HBB")


class ShotLog:
    """Shots as int8 rows times a power of two, which is how they were added to the scatter.

    A class may take a place more while as many are free as it has: one that is taught with thousands of shots takes
    half of the log and leaves half, two of them leave a third (Choudhury and Hahne 1998, with the factor 1).
    """

    def __init__(
        self, layout: RidgeLayout, rows: NDArray[np.uint8], state: NDArray[Any], spare: NDArray[np.int8]
    ) -> None:
        """Look at a head's bytes.

        Args:
            layout: of the head.
            rows: the discriminants' bytes, the background's first: (rows + 1, row_bytes).
            state: the second moment's, whose fields `logged`, `in_log` and `gone` belong to the log.
            spare: (dim,), where the last shot leaves an entry that it pushed out.
        """
        self._dim, self._rows, self._state, self._spare = layout.dim, layout.rows, state, spare
        entry = np.dtype(
            {
                "names": ["row", "cls", "shift", "counted"],
                "formats": [("i1", (layout.dim,)), "<u2", "u1", "u1"],
                "offsets": [0, *(row_bytes(layout.dim) - 8 + at for at in (0, 2, 3))],
                "itemsize": row_bytes(layout.dim),
            }
        )
        self._bytes = rows[::-1]
        self._entries = rows.view(entry)[::-1, 0]

    @property
    def count(self) -> int:
        """How many shots it has."""
        return int(self._state["logged"])

    def of_class(self, index: int) -> int:
        """How many of a class's shots it has."""
        return int((self._entries["cls"][: self.count] == index).sum())

    def free(self, slots: int) -> int:
        """How many more fit beside so many proxies."""
        return min(self._rows - slots, MOST_LOGGED) - self.count

    def add(self, index: int, shots: int, slots: int, row: NDArray[np.int8], shift: int, counted: bool) -> None:
        """Log the shot after `shots` of a class, if these are all there and it may take a place more.

        Args:
            index: the class.
            shots: how many it was taught with before.
            slots: proxies that there are.
            row: (dim,) the shot's difference from its mean, over 2^`shift`.
            shift: its scale.
            counted: whether it is in the scatter.
        """
        free = self.free(slots)
        fits = shift <= SHIFT_MAX and 0 < free >= shots <= self.count and self.of_class(index) == shots
        if fits:
            self._append(index, row, shift, counted)
        self._state["in_log"], self._state["gone"] = fits, 0

    def _append(self, index: int, row: NDArray[np.int8], shift: int, counted: bool) -> None:
        place = self.count
        self._bytes[place] = 0
        entry = self._entries[place]
        entry["row"], entry["cls"], entry["shift"], entry["counted"] = row, index, shift, counted
        self._state["logged"] = place + 1

    def make_way(self, slots: int) -> None:
        """Give up the place that the last shot's new proxy needs, if it needs one."""
        if self.free(slots) >= 0:
            return
        self._state["logged"] = place = self.count - 1
        if self._state["in_log"]:
            self._state["in_log"] = 0
        else:
            entry = self._entries[place]
            self._spare[:] = entry["row"]
            packed = _GONE.pack(int(entry["cls"]), int(entry["shift"]), 2 + int(entry["counted"]))
            self._state["gone"] = int.from_bytes(packed, "little")

    def take_back(self) -> None:
        """Undo the last shot's `add` and `make_way`."""
        self._state["logged"] -= self._state["in_log"]
        gone = int(self._state["gone"])
        if gone:
            index, shift, counted = _GONE.unpack(gone.to_bytes(4, "little"))
            self._append(index, self._spare, shift, bool(counted & 1))
        self.settle()

    def settle(self) -> None:
        """There is nothing to take back."""
        self._state["in_log"] = self._state["gone"] = 0

    def clear(self) -> None:
        """No shots."""
        self._state["logged"] = 0
        self.settle()

    def counted(self, index: int | None = None) -> Iterator[NDArray[np.int16]]:
        """The shots, (dim,), of a class, or all, that are in the scatter."""
        mine = self._entries[: self.count]
        wanted = mine["counted"] == 1
        if index is not None:
            wanted &= mine["cls"] == index
        for entry in mine[wanted]:
            yield entry["row"].astype(np.int16) << int(entry["shift"])

    def drop(self, index: int) -> None:
        """Leave out a class's shots; the others move up."""
        mine = self._entries[: self.count]
        kept = self._bytes[: self.count][mine["cls"] != index]
        self._bytes[: len(kept)] = kept
        self._state["logged"] = len(kept)
        self.settle()

    def renumber(self, gone: int) -> None:
        """Class `gone` is no more: later ones move up by one."""
        cls = self._entries["cls"][: self.count]
        cls[cls > gone] -= 1

    def trim(self, slots: int) -> None:
        """Give up the newest shots that proxies leave no room for."""
        self._state["logged"] = self.count + min(self.free(slots), 0)

    def take_over(self, other: ShotLog, source: int, index: int, slots: int) -> None:
        """Add another head's shots of a class, if all fit."""
        theirs = other._entries[: other.count]
        theirs = theirs[theirs["cls"] == source]
        if len(theirs) <= self.free(slots):
            for entry in theirs:
                self._append(index, entry["row"], int(entry["shift"]), bool(entry["counted"]))

    def section(self) -> bytes:
        """What a snapshot keeps: the bytes from the newest shot to the end."""
        return self._bytes[: self.count][::-1].tobytes()

    def restore(self, section: bytes, slots: int, classes: int) -> bool:
        """Take over the section of a snapshot; whether it can be one of so many proxies and classes."""
        self.clear()
        step = self._bytes.shape[1]
        count, rest = divmod(len(section), step)
        if rest or count > self.free(slots):
            return False
        self._bytes[:count] = np.frombuffer(section, np.uint8).reshape(count, step)[::-1]
        mine = self._entries[:count]
        self._state["logged"] = count
        fine = (mine["cls"] < classes) & (mine["shift"] <= SHIFT_MAX) & (mine["counted"] <= 1)
        return bool(fine.all()) and int(mine["counted"].sum()) <= int(self._state["shots"])
