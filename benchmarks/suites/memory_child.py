"""The measured process of the memory suite; arguments: DIM KB CLASSES SHOTS SEED.

Prints one JSON object on standard output. Apart from the suites' own module because it must import nothing
else.
"""

from __future__ import annotations

import gc
import os
import sys

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import CapacityError
from edge_imprint.head import ImprintHead

POOL = 4_000
WARM_UP_SHOTS = 300
LOOK_EVERY = 500


def main(dim: int, budget_kb: int, classes: int, shots: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Everything the stream needs exists before the first reading: the shots, their labels and the order.
    pool, labels = _pool(rng, dim, classes)
    order = rng.integers(0, POOL, shots)
    looks = shots // LOOK_EVERY
    readings: NDArray[np.int64] = np.zeros((looks, 3), np.int64)
    warm = _warm_up(pool, labels, dim, classes)
    gc.collect()
    before = anonymous_bytes()
    head = ImprintHead(dim=dim, budget=budget_kb * 1024)
    refused = 0
    for number, place in enumerate(order):
        try:
            head.partial_fit(pool[place : place + 1], labels[place : place + 1])
        except CapacityError:
            refused += 1
        if number % LOOK_EVERY == LOOK_EVERY - 1:
            readings[number // LOOK_EVERY] = (head.nbytes, *anonymous_bytes())
    gc.collect()
    del warm
    import json  # after the last reading: its memory is not the head's

    found = {
        "nbytes": readings[:, 0].tolist(),
        "anonymous_growth": (readings[:, 1] - before[0]).tolist(),
        "rss_anon_growth": (readings[:, 2] - before[1]).tolist(),
        "refused": [refused],
    }
    print(json.dumps(found))


def _pool(rng: np.random.Generator, dim: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Messy made-up classes, four clusters each, so that the head wants many proxies; float32."""
    centres = rng.normal(size=(classes, 4, dim)) / np.sqrt(dim)
    labels = rng.integers(0, classes, POOL)
    noise = rng.normal(size=(POOL, dim)) * 0.5 / np.sqrt(dim)
    shots = (centres[labels, rng.integers(0, 4, POOL)] + noise).astype(np.float32)
    return shots, np.array([f"class {number}" for number in labels])


def _warm_up(pool: NDArray[np.float32], labels: NDArray[np.str_], dim: int, classes: int) -> ImprintHead:
    """Let Python and numpy fill their own caches with every operation that follows."""
    head = ImprintHead(dim=dim, budget=16 * 1024)
    for place in range(WARM_UP_SHOTS):
        try:
            head.partial_fit(pool[place : place + 1], labels[place : place + 1])
        except CapacityError:
            continue
    assert head.nbytes > 0
    for _ in range(3):
        anonymous_bytes()
    return head


def anonymous_bytes() -> tuple[int, int]:
    """Anonymous memory of this process: exact, and as the kernel's quick counter has it."""
    quick = _kilobytes("/proc/self/status", b"RssAnon:")
    try:
        exact = _kilobytes("/proc/self/smaps_rollup", b"Anonymous:")
    except OSError:
        exact = quick
    return exact * 1024, quick * 1024


def _kilobytes(path: str, name: bytes) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = os.read(descriptor, 16384)
    finally:
        os.close(descriptor)
    start = content.index(name) + len(name)
    return int(content[start : content.index(b"kB", start)])


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:6]))
