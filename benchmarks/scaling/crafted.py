"""Heads of any size at once: a million proxies cannot be taught one shot at a time in minutes.

Rows, counts and records are written into the head's memory as a snapshot's loader does it, and are such that a snapshot
of them is accepted. Labels are whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import ImprintHead, fixed
from edge_imprint.head.budget import MAX_BUDGET, RECORD_BYTES, Layout
from edge_imprint.head.labels import encode_label
from edge_imprint.head.ridge.layout import RidgeLayout, row_bytes

SHOTS_PER_PROXY = 800
"""Of the age at which a head keeps its proxies; a multiple of 8, since every eighth shot of a class is scored."""
SCATTER = 0.6
_CHUNK = 1 << 22


def craft(dim: int, classes: int, proxies_each: int, method: str, *, spare_classes: int = 0) -> ImprintHead:
    """A head with so many classes of so many proxies each, and room for `spare_classes` more of one proxy.

    Its classes keep no more proxies than they have: a shot moves one, or merges two and takes the free place.

    Raises:
        BudgetError: it would need more than 1 GB.
    """
    slots = classes * proxies_each
    budget = _budget(dim, classes + spare_classes, slots + spare_classes, method)
    head = ImprintHead(dim, budget, method=method, max_proxies=proxies_each, undo=True)
    arena = head._arena
    for label in range(classes):
        head._add_label(label)
        arena.label[label] = encode_label(label)
    for index, own in _classes(dim, classes, proxies_each):
        # Slots 0 to classes - 1 are the means; the centres follow, class after class.
        centres = classes + index.start * (proxies_each - 1)
        arena.high[index], arena.low[index], arena.shift[index] = _rows(own.mean(axis=1))
        arena.cls[index] = np.arange(index.start, index.stop)
        if proxies_each > 1:
            rows = own[:, 1:].reshape(-1, dim)
            place = slice(centres, centres + len(rows))
            arena.high[place], arena.low[place], arena.shift[place] = _rows(rows)
            arena.cls[place] = np.repeat(np.arange(index.start, index.stop), proxies_each - 1)
    arena.count[:slots] = SHOTS_PER_PROXY
    arena.count[:classes] = arena.shots[:classes] = SHOTS_PER_PROXY * proxies_each
    arena.header[:] = (slots, classes, SHOTS_PER_PROXY * slots)
    head._engine.loaded()
    head._taught()
    return head


def shots_of(head: ImprintHead, label: int, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shots of a crafted class, (count, dim): near its proxies, as far off as these lie from each other."""
    arena = head._arena
    slots = np.flatnonzero(arena.cls[: arena.n_slots] == label)
    rows = fixed.join(arena.high[rng.choice(slots, count)], arena.low[rng.choice(slots, 1)[0]]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    noise = rng.normal(size=rows.shape) * SCATTER / np.sqrt(head.dim)
    return (rows + noise).astype(np.float32)


def _budget(dim: int, classes: int, slots: int, method: str) -> int:
    if method == "proxies":
        return Layout(dim, MAX_BUDGET, True).used_bytes(classes, slots)
    budget = RidgeLayout(dim, MAX_BUDGET, True).used_bytes(classes, slots)
    # Where class records lie a proxy could, and has room for a discriminant.
    return budget + (classes * RECORD_BYTES // (2 * dim) + 2) * row_bytes(dim)


def _classes(dim: int, classes: int, proxies_each: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Some classes at a time: their numbers, and unit vectors (classes, proxies, dim) that scatter about one each."""
    rng = np.random.default_rng([dim, classes, proxies_each])
    step = max(1, _CHUNK // (proxies_each * dim))
    for first in range(0, classes, step):
        index = slice(first, min(first + step, classes))
        own = rng.standard_normal((index.stop - first, proxies_each, dim), np.float32) * np.float32(SCATTER)
        own += rng.standard_normal((index.stop - first, 1, dim), np.float32)
        own /= np.linalg.norm(own, axis=2, keepdims=True)
        yield index, own


def _rows(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.uint8]]:
    """Vectors (n, dim), at most of unit length, as rows of the arena: int8 images, rests and shifts."""
    largest = np.abs(vectors).max(axis=1)
    shift = np.clip(np.floor(np.log2(fixed.ROW_MAX / (largest * (1 << 14)))), 0, fixed.SHIFT_MAX).astype(np.int64)
    values = np.rint(vectors * np.exp2(14 + shift)[:, None]).astype(np.int64)
    high, low = fixed.split(values)
    return high, low, shift.astype(np.uint8)
