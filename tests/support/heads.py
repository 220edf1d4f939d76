"""Heads, shots and snapshots for the tests of the streaming head."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

from edge_imprint import ImprintHead, snapshot
from edge_imprint.head import codec, fixed
from edge_imprint.head.budget import HEADER_BYTES, RECORD_BYTES, Layout

Floats = NDArray[np.float64]


def blob(head: ImprintHead) -> bytes:
    """The bytes that `save` would write."""
    return snapshot.encode(codec.sections(head, head.backbone))


def digest(head: ImprintHead) -> str:
    return hashlib.sha256(blob(head)).hexdigest()


def reload(head: ImprintHead) -> ImprintHead:
    """The head after a save and a load, without a file."""
    return codec.head_from(ImprintHead, snapshot.decode(blob(head)))


def used_bytes(head: ImprintHead) -> bytes:
    """Header, slots and class records in use, derived coefficients brought up to date; without the journal."""
    arena = head._arena
    head._engine.refresh()
    slots = arena.buffer[HEADER_BYTES:][: arena.n_slots * arena.layout.slot_bytes]
    end = head.budget // 4 * 4 - arena.layout.journal_bytes
    records = arena.buffer[end - arena.n_classes * RECORD_BYTES : end]
    return arena.header.tobytes() + slots.tobytes() + records.tobytes()


def budget_for(dim: int, classes: int, proxies: int, spare: int = 0, *, undo: bool = True) -> int:
    """The budget that holds so many records and slots, and `spare` bytes more."""
    return Layout(dim, 1 << 24, undo).used_bytes(classes, proxies) + spare


def row(head: ImprintHead, slot: int) -> Floats:
    """A slot's row as the vector that it stands for."""
    arena = head._arena
    return fixed.join(arena.high[slot], arena.low[slot]) / 2.0 ** (14 + int(arena.shift[slot]))


def row8(head: ImprintHead, slot: int) -> Floats:
    """A slot's int8 row as the vector that it stands for: what scores are made of."""
    arena = head._arena
    return arena.high[slot].astype(np.float64) * 2.0 ** (8 - 14 - int(arena.shift[slot]))


def unit(x: NDArray[np.floating]) -> Floats:
    wide = np.asarray(x, np.float64)
    return wide / np.linalg.norm(wide, axis=-1, keepdims=True)


def clumps(
    seed: int, classes: int, modes: int, shots: int, dim: int, noise: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Shots of classes that lie in so many clumps each, in random order; `noise` is a clump's radius, clumps are
    about 1.4 apart."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(classes, modes, dim)))
    y = np.repeat(np.arange(classes), shots)
    mode = rng.integers(modes, size=len(y))
    x = centres[y, mode] + rng.normal(size=(len(y), dim)) * noise / np.sqrt(dim)
    order = rng.permutation(len(y))
    return x[order].astype(np.float32), y[order]


@functools.cache
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """scikit-learn's 1,797 scans of handwritten digits as 64 grey values."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data.astype(np.float32), data.target.astype(np.int64)


def split_digits(seed: int, shots: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of `shots` training pictures of each digit in random order, and of all pictures never taught."""
    y = digits()[1]
    rng = np.random.default_rng(seed)
    taught = np.concatenate([rng.permutation(np.flatnonzero(y == k))[:shots] for k in range(10)])
    return rng.permutation(taught), np.setdiff1d(np.arange(len(y)), taught)
