"""What advice and drift need to know of a head's classes, read from its arena."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import fixed
from edge_imprint.head.arena import Arena
from edge_imprint.head.labels import Label

if TYPE_CHECKING:
    from edge_imprint.head.advice import ClassSummary


class Sizes(Protocol):
    """A layout that knows how many bytes so many classes and slots take."""

    def used_bytes(self, n_classes: int, n_slots: int) -> int:
        """Bytes in use."""
        ...


def summaries(arena: Arena, labels: Sequence[Label], sizes: Sizes) -> list[ClassSummary]:
    """One summary for each class, in the order of the arena.

    Args:
        arena: not modified.
        labels: one for each class.
        sizes: the head's layout.
    """
    from edge_imprint.head.advice import ClassSummary  # here: an answer needs no advice

    found = []
    for index, label in enumerate(labels):
        centres = arena.centres_of(index)
        classes, slots = arena.n_classes, arena.n_slots
        size = sizes.used_bytes(classes, slots) - sizes.used_bytes(classes - 1, slots - 1 - len(centres))
        rows = np.stack([_row(arena, slot) for slot in centres.tolist()]) if len(centres) else None
        counts = arena.count[centres].astype(np.int64) if len(centres) else None
        found.append(ClassSummary(label, int(arena.shots[index]), _row(arena, index), size, rows, counts))
    return found


def means_and_shots(arena: Arena) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Means of unit shots, (n_classes, dim), and their counts, (n_classes,): what `DriftMonitor.report` takes."""
    rows = [_row(arena, index) for index in range(arena.n_classes)]
    means = np.stack(rows) if rows else np.zeros((0, arena.layout.dim), np.float32)
    return means, arena.shots[: arena.n_classes].astype(np.int64)


def _row(arena: Arena, slot: int) -> NDArray[np.float32]:
    """A slot's value, (dim,) float32: means and centres of unit shots."""
    values = fixed.join(arena.high[slot], arena.low[slot])
    row: NDArray[np.float32] = values.astype(np.float32) * np.float32(2.0 ** -(14 + int(arena.shift[slot])))
    return row
