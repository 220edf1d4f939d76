"""Random courses of teaching, done by both heads at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.identity.c_head import CError, CHead
from edge_imprint import snapshot
from edge_imprint.errors import CapacityError, EdgeImprintError, NotTaughtError, UnknownLabelError
from edge_imprint.head import ImprintHead, codec
from edge_imprint.head.budget import Layout
from edge_imprint.head.labels import Label
from edge_imprint.head.ridge.layout import RidgeLayout, row_bytes

LABELS: list[Label] = ["mug", "Tasse", "杯子", 0, 7, -(1 << 63), (1 << 63) - 1, "0", "x" * 31, "a b", "é", "z"]
CODES = {UnknownLabelError: (-5,), NotTaughtError: (-6, -7), CapacityError: (-8,)}
OPERATIONS = ("learn", "predict", "undo", "forget", "merge", "reload")
ODDS = (0.62, 0.14, 0.1, 0.05, 0.05, 0.04)


class DifferenceError(AssertionError):
    """The two heads do not agree; the message says after what."""


@dataclass
class Tally:
    """What was done and compared."""

    courses: int = 0
    operations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OPERATIONS, 0))
    refused: int = 0
    answers: int = 0
    snapshot_bytes: int = 0


class _Pair:
    """A head in numpy and one in C that are told the same."""

    def __init__(self, rng: np.random.Generator, dim: int, method: str) -> None:
        classes, proxies = int(rng.integers(1, 9)), int(rng.integers(0, 24))
        undo = bool(rng.integers(2))
        ridge = method == "ridge"
        layout = RidgeLayout(dim, 1 << 24, undo) if ridge else Layout(dim, 1 << 24, undo)
        # A second moment has room for a discriminant wherever a class record lies.
        more = (4 if ridge else 0) * row_bytes(dim) + int(rng.integers(0, 80))
        budget = layout.used_bytes(classes, classes + proxies) + more
        most = int(rng.choice([1, 2, 4, 8, 21]))
        self.python = ImprintHead(dim, budget, method=method, max_proxies=most, undo=undo)
        self.c = CHead(dim, budget, most, int(undo), method=method)
        if rng.integers(4) == 0:
            self.python.backbone = "digest {}"
            self.c.set_backbone("digest {}")

    def blob(self) -> bytes:
        return snapshot.encode(codec.sections(self.python, self.python.backbone))


def _rows(rng: np.random.Generator, dim: int, label: int) -> NDArray[np.int16]:
    """Shots of one class: about one of its clumps, now and then the same twice, of any size."""
    count = int(rng.integers(1, 5))
    clump = np.random.default_rng([label, int(rng.integers(3))]).normal(size=dim)
    rows = clump + rng.choice([0.0, 0.1, 0.7, 3.0]) * rng.normal(size=(count, dim))
    if rng.integers(8) == 0:
        rows = rows * (rng.random(dim) < 0.05) + np.eye(dim)[int(rng.integers(dim))]
    size = rng.choice([3, 100, 5000, 32767])
    scaled = np.rint(rows * size / np.abs(rows).max(axis=1, keepdims=True))
    return scaled.astype(np.int16)


def _both(tally: Tally, where: str, python: object, c: object) -> None:
    """Call both; they succeed or refuse together, for the same reason."""
    refused: EdgeImprintError | None = None
    try:
        python()  # type: ignore[operator]
    except EdgeImprintError as error:
        refused = error
    try:
        c()  # type: ignore[operator]
    except CError as error:
        if refused is None or error.code not in CODES[type(refused)]:
            raise DifferenceError(f"{where}: C refuses with {error.code}, Python with {refused!r}") from error
        tally.refused += 1
        return
    if refused is not None:
        raise DifferenceError(f"{where}: only Python refuses: {refused!r}")


def _learn(tally: Tally, where: str, rng: np.random.Generator, pair: _Pair) -> None:
    number = int(rng.integers(len(LABELS)))
    label = LABELS[number]
    for row in _rows(rng, pair.python.dim, number):
        shot = row[None]
        _both(tally, where, lambda s=shot: pair.python.partial_fit(s, label), lambda s=shot: pair.c.learn(s, label))


def _predict(tally: Tally, where: str, rng: np.random.Generator, pair: _Pair) -> None:
    rows = _rows(rng, pair.python.dim, int(rng.integers(len(LABELS))))
    if not len(pair.python.classes_):
        _both(tally, where, lambda: pair.python.predict(rows), lambda: pair.c.predict(rows))
        return
    python = pair.python
    known = np.rint(python.known_score(rows).astype(np.float64) * (1 << 23)).astype(int)
    expected = list(zip(python.predict(rows).tolist(), known.tolist(), python.verdicts(rows).tolist(), strict=True))
    found = pair.c.predict(rows)
    if found != expected:
        raise DifferenceError(f"{where}: answers are {found} in C, {expected} in Python")
    if python.method == "ridge":
        sure = np.rint(python.confidence(rows).astype(np.float64) * (1 << 16)).astype(int).tolist()
        if pair.c.confidences_q16 != sure:
            raise DifferenceError(f"{where}: confidences are {pair.c.confidences_q16} in C, {sure} in Python")
    table = np.rint(pair.python.decision_function(rows[:1])[0].astype(np.float64) * (1 << 23))
    # float32 rounds a quotient of doubles to 24 bits; the other is rounded to 2^-23 from an integer root of 2^-16.
    if np.abs(pair.c.scores(rows[0], len(pair.python.classes_)) - table).max() > 2:
        raise DifferenceError(f"{where}: cosines of classes are more than 2^-22 apart")
    tally.answers += len(rows)


def play(seed: int, dim: int, steps: int, tally: Tally, method: str = "proxies") -> None:
    """One course: two pairs of heads, random operations, every answer compared, every snapshot byte for byte.

    Raises:
        DifferenceError: they do not agree.
    """
    rng = np.random.default_rng([seed, dim])
    pairs = [_Pair(rng, dim, method), _Pair(rng, dim, method)]
    for step in range(steps):
        pair, other = pairs if rng.integers(4) else pairs[::-1]
        operation = str(rng.choice(OPERATIONS, p=ODDS))
        where = f"{method}, dim {dim}, course {seed}, step {step}: {operation}"
        if operation == "learn":
            _learn(tally, where, rng, pair)
        elif operation == "predict":
            _predict(tally, where, rng, pair)
        elif operation == "undo":
            _both(tally, where, pair.python.undo, pair.c.undo)
        elif operation == "forget":
            label = LABELS[int(rng.integers(len(LABELS)))]
            _both(tally, where, lambda p=pair, n=label: p.python.forget(n), lambda p=pair, n=label: p.c.forget(n))
        elif operation == "merge":
            _both(
                tally, where, lambda p=pair, o=other: p.python.merge(o.python), lambda p=pair, o=other: p.c.merge(o.c)
            )
        else:
            pair.python = codec.head_from(ImprintHead, snapshot.decode(pair.blob()))
            pair.c.load(pair.blob())
        expected, found = pair.blob(), pair.c.snapshot()
        if expected != found:
            raise DifferenceError(f"{where}: snapshots differ ({len(expected)} and {len(found)} bytes)")
        pair.c.check_guard()
        tally.operations[operation] += 1
        tally.snapshot_bytes += len(found)
    tally.courses += 1
