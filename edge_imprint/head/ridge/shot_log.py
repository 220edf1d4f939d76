"""The shots that the scatter is made of, class by class, as long as there is room: what makes `forget` exact.

They lie where proxies that are not there yet will have their discriminants, from the end of the arena downwards, the
oldest last, and give way when proxies come. So they cost no bytes of their own. A class is forgotten exactly while
each of its shots is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head.ridge.layout import ROW_META_BYTES, RidgeLayout, row_bytes

MOST_LOGGED = 4096
# Differences of unit vectors need no more; so many shots of it cannot make 32-bit sums overflow.
SHIFT_MAX = 7
# What an entry says of its row: class, scale, whether it is in the scatter.
SHOT = np.dtype([("cls", "<u2"), ("shift", "u1"), ("counted", "u1")])
_THERE = 2  # beside `counted` of what a shot pushed out


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
        self._rows, self._state, self._spare = layout.rows, state, spare
        step = row_bytes(layout.dim)
        entry = np.dtype(
            {
                "names": ["row", "shot"],
                "formats": [("i1", (layout.dim,)), SHOT],
                "offsets": [0, step - ROW_META_BYTES],
                "itemsize": step,
            }
        )
        self._bytes = rows[::-1]
        entries = rows.view(entry)[::-1, 0]
        self._row, self._shot = entries["row"], entries["shot"]

    @property
    def count(self) -> int:
        """How many shots it has."""
        return int(self._state["logged"])

    def of_class(self, index: int) -> int:
        """How many of a class's shots it has."""
        return int((self._shot["cls"][: self.count] == index).sum())

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
        room = self.free(slots)
        whole = shots <= self.count and self.of_class(index) == shots
        fits = shift <= SHIFT_MAX and room > 0 and shots <= room and whole
        if fits:
            self._append(row, (index, shift, counted))
        self._state["in_log"], self._state["gone"] = fits, 0

    def _append(self, row: NDArray[np.int8], shot: Any) -> None:
        place = self.count
        self._bytes[place] = 0
        self._row[place], self._shot[place] = row, shot
        self._state["logged"] = place + 1

    def make_way(self, slots: int) -> None:
        """Give up the place that the last shot's new proxy needs, if it needs one."""
        if self.free(slots) >= 0:
            return
        self._state["logged"] = place = self.count - 1
        if not self._state["in_log"]:
            self._spare[:] = self._row[place]
            self._state["gone"] = self._shot[place]
            self._state["gone"]["counted"] |= _THERE
        self._state["in_log"] = 0

    def take_back(self) -> None:
        """Undo the last shot's `add` and `make_way`."""
        self._state["logged"] -= self._state["in_log"]
        gone = self._state["gone"]
        if gone["counted"]:
            self._append(self._spare, (gone["cls"], gone["shift"], gone["counted"] & 1))
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
        mine = self._shot[: self.count]
        wanted = mine["counted"] == 1
        if index is not None:
            wanted &= mine["cls"] == index
        for place in np.flatnonzero(wanted):
            yield self._row[place].astype(np.int16) << int(mine["shift"][place])

    def drop(self, index: int) -> None:
        """Leave out a class's shots; the others move up."""
        kept = self._bytes[: self.count][self._shot["cls"][: self.count] != index]
        self._bytes[: len(kept)] = kept
        self._state["logged"] = len(kept)
        self.settle()

    def renumber(self, gone: int) -> None:
        """Class `gone` is no more: later ones move up by one."""
        cls = self._shot["cls"][: self.count]
        cls[cls > gone] -= 1

    def trim(self, slots: int) -> None:
        """Give up the newest shots that proxies leave no room for."""
        self._state["logged"] = self.count + min(self.free(slots), 0)

    def take_over(self, other: ShotLog, source: int, index: int, slots: int) -> None:
        """Add another head's shots of a class, if all fit."""
        theirs = np.flatnonzero(other._shot["cls"][: other.count] == source)
        if len(theirs) <= self.free(slots):
            for place in theirs:
                _, shift, counted = other._shot[place].tolist()
                self._append(other._row[place], (index, shift, counted))

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
        mine = self._shot[:count]
        self._state["logged"] = count
        fine = (mine["cls"] < classes) & (mine["shift"] <= SHIFT_MAX) & (mine["counted"] <= 1)
        return bool(fine.all()) and int(mine["counted"].sum()) <= int(self._state["shots"])
