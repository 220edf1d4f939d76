"""edge-imprint itself: the int8 head by the C library and by numpy, and the head with a second moment."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.head import METHODS
from benchmarks.peers.peer import Entry, Peer, Setting
from edge_imprint.head import ImprintHead
from edge_imprint.head.engine import VARIABLE, native_is_there

FAMILY = "edge-imprint"


class Head(Peer):
    """`ImprintHead` with the budget that the suite `learning` gives its method."""

    def __init__(self, setting: Setting, method: str, engine: str, **options: Any) -> None:
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = engine
        try:
            budget = METHODS[method].budget(setting.dim)
            base = setting.base if method != "proxies" else None
            self._head = ImprintHead(setting.dim, budget, method=method, base=base, **options)
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before
        self._last: NDArray[np.float32] | None = None

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for place in range(len(labels)):
            self._head.partial_fit(shots[place : place + 1], labels[place : place + 1])
        self._last = shots[-1:]

    def settle(self) -> None:
        # The second moment is solved by the first answer that needs it; the answer's own time is counted, too.
        if self._head.method == "ridge" and self._last is not None:
            self._head.predict(self._last)
            self._last = None

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._head.predict(embeddings)

    @property
    def nbytes(self) -> int:
        return self._head.nbytes

    def forget(self, label: str) -> None:
        self._head.forget(label)

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._head.known_score(embeddings)

    def save(self, path: Path) -> None:
        self._head.save(path)

    def restore(self, path: Path) -> None:
        self._head = ImprintHead.load(path)


def entries() -> dict[str, Entry]:
    """The head's methods; the C library only where it was built."""
    entry = partial(
        Entry,
        family=FAMILY,
        update="moves int8 proxies and integer sums",
        keeps="int8 proxies, integer sums, what undo and refusing need",
        memory="its own count of bytes in use; its arena has the whole budget",
        disk="snapshot, by way of a temporary file",
        refuses="verdicts for a false-accept rate",
    )
    native = partial(Head, engine="native")
    found = {}
    if native_is_there():
        found["ours"] = entry("edge-imprint, proxies", make=partial(native, method="proxies"))
        found["ours_single"] = entry(
            "edge-imprint, one proxy a class",
            make=partial(native, method="proxies", max_proxies=1, undo=False),
            update="moves an int8 proxy and its integer sum",
            keeps="an int8 proxy and an integer sum a class, no undo",
        )
        found["ours_auto"] = entry(
            "edge-imprint, auto",
            make=partial(native, method="auto"),
            update="adds to a second moment, which the next answer solves",
            keeps="int8 proxies, a second moment, what undo needs",
        )
    found["ours_numpy"] = entry("edge-imprint, proxies, numpy", make=partial(Head, method="proxies", engine="numpy"))
    return found
