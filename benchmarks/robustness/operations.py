"""A course of mixed operations on a head, the same for everybody from the same seed, beside a model of plain Python.

The model knows which shots of which class the head has learnt, what it must refuse, and what may be undone; the head is
compared with it after every operation that changes something. Answers go into a digest: another engine that takes the
same course must get the same.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from benchmarks.robustness.bad_inputs import BAD
from edge_imprint import snapshot
from edge_imprint.errors import CapacityError, EdgeImprintError, NotTaughtError
from edge_imprint.head import ImprintHead, codec

POOL, KINDS = 2_048, 24
MODES = 3
SHARES = {
    "learn": 0.42, "batch": 0.06, "predict": 0.24, "scores": 0.06, "verdicts": 0.04, "undo": 0.05, "forget": 0.02,
    "merge": 0.004, "save_and_load": 0.004, "rate": 0.01, "observe": 0.022, "advice": 0.01, "bad": 0.06,
}  # fmt: skip
LABELS: tuple[str | int, ...] = (*(f"thing {number}" for number in range(KINDS - 4)), 7, -7, "größer", "名前")


def state(head: ImprintHead) -> bytes:
    """The bytes that `save` writes."""
    return snapshot.encode(codec.sections(head, head.backbone))


@functools.cache
def _shots(dim: int, seed: int) -> tuple[NDArray[np.float32], list[int]]:
    """Shots (POOL, dim) of messy kinds of things, and the number of the kind of each; made once, for steady memory."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(KINDS, MODES, dim))
    kinds = rng.integers(0, KINDS, POOL)
    noise = rng.normal(size=(POOL, dim))
    return (centres[kinds, rng.integers(0, MODES, POOL)] + 0.6 * noise).astype(np.float32), kinds.tolist()


class Course:
    """Operations on one head; `run` does the next ones."""

    def __init__(self, head: ImprintHead, file: Path, shape: int) -> None:
        """Start with a head and what its snapshot says; `file` is where it saves, `shape` the seed of its shots."""
        self.head, self.file = head, file
        self.counts: dict[str, int] = dict.fromkeys(SHARES, 0)
        self.refused = 0
        self._shots, self._kinds = _shots(head.dim, shape)
        self._capacity = head._engine.layout.max_classes
        self._follow()

    def _follow(self) -> None:
        """The model is what a loaded head says of itself; a loaded head undoes nothing."""
        self._model = dict(self.head.shots_per_class())
        self._last: str | int | None = None

    def run(self, seed: tuple[int, ...], operations: int) -> str:
        """Do so many operations; the digest of all answers and of the head at the end.

        Raises:
            BenchmarkError: the head does not do what the model says.
        """
        rng = np.random.default_rng(seed)
        kinds = rng.choice(len(SHARES), operations, p=np.array([*SHARES.values()]) / sum(SHARES.values())).tolist()
        places, extra = rng.integers(0, POOL, operations).tolist(), rng.integers(0, 1 << 30, operations).tolist()
        self._digest = hashlib.sha256()
        names = list(SHARES)
        steps: dict[str, Callable[[int, int], None]] = {name: getattr(self, f"_{name}") for name in names}
        for number, (kind, place, more) in enumerate(zip(kinds, places, extra, strict=True)):
            name = names[kind]
            try:
                steps[name](place, more)
            except EdgeImprintError as error:
                raise BenchmarkError(f"operation {number} of {seed}, {name}, is refused: {error}") from error
            self.counts[name] += 1
        self._check(self.head.nbytes <= self.head.budget, "the budget is exceeded")
        self._digest.update(state(self.head))
        return self._digest.hexdigest()

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise BenchmarkError(f"{what}; the model has {self._model}, the head {self.head.shots_per_class()}")

    def _says(self, answers: Any) -> None:
        self._digest.update(repr(np.asarray(answers).tolist()).encode())

    def _teach(self, places: list[int]) -> None:
        labels = [LABELS[self._kinds[place]] for place in places]
        new = {label for label in labels if label not in self._model}
        fits = len(self._model) + len(new) <= self._capacity
        try:
            self.head.partial_fit(self._shots[places], labels)
        except CapacityError:
            self._check(not fits, "a lesson that fits was refused")
            self.refused += 1
            return
        self._check(fits, "a lesson that does not fit was taken")
        for label in labels:
            self._model[label] = self._model.get(label, 0) + 1
        self._last = labels[-1]
        self._check(self.head.shots_per_class() == self._model, "shots differ")

    def _learn(self, place: int, more: int) -> None:
        self._teach([place])

    def _batch(self, place: int, more: int) -> None:
        self._teach([(place + 7 * step) % POOL for step in range(2 + more % 15)])

    def _ask(self, place: int, ask: Callable[[Any], Any]) -> None:
        rows = self._shots[place : place + 1]
        if self._model:
            self._says(ask(rows))
            return
        try:
            ask(rows)
        except NotTaughtError:
            return
        raise BenchmarkError("a head without classes gave an answer")

    def _predict(self, place: int, more: int) -> None:
        self._ask(place, lambda rows: self.head.predict(rows, reject=bool(more & 1)))

    def _scores(self, place: int, more: int) -> None:
        self._ask(place, self.head.decision_function)

    def _verdicts(self, place: int, more: int) -> None:
        self._ask(place, self.head.verdicts)

    def _observe(self, place: int, more: int) -> None:
        def ask(rows: Any) -> Any:
            self.head.observe(rows)
            return self.head.drift().sentence

        self._ask(place, ask)

    def _advice(self, place: int, more: int) -> None:
        self.head.advice()

    def _rate(self, place: int, more: int) -> None:
        self.head.false_accept_rate = 0.01 + (more % 20) / 100

    def _undo(self, place: int, more: int) -> None:
        try:
            self.head.undo()
        except NotTaughtError:
            self._check(self._last is None, "undo was refused")
            return
        self._check(self._last is not None, "undo took something back that was not the last lesson")
        label = self._last
        assert label is not None
        self._model[label] -= 1
        if not self._model[label]:
            del self._model[label]
        self._last = None
        self._check(self.head.shots_per_class() == self._model, "shots differ after undo")

    def _forget(self, place: int, more: int) -> None:
        if not self._model:
            return
        label = list(self._model)[more % len(self._model)]
        self.head.forget(label)
        del self._model[label]
        self._last = None
        self._check(self.head.shots_per_class() == self._model, "shots differ after forget")

    def _merge(self, place: int, more: int) -> None:
        head = self.head
        other = ImprintHead(head.dim, head.budget, method=head.method)
        places = [(place + 5 * step) % POOL for step in range(3)]
        labels = [LABELS[self._kinds[each]] for each in places]
        other.partial_fit(self._shots[places], labels)
        fits = len({*self._model, *labels}) <= self._capacity
        try:
            head.merge(other)
        except CapacityError:
            self._check(not fits, "a merge that fits was refused")
            self.refused += 1
            return
        self._check(fits, "a merge that does not fit was done")
        for label in labels:
            self._model[label] = self._model.get(label, 0) + 1
        self._last = None
        self._check(head.shots_per_class() == self._model, "shots differ after merge")

    def _save_and_load(self, place: int, more: int) -> None:
        before, model = state(self.head), self._model
        self.head.save(self.file)
        self.head = ImprintHead.load(self.file)
        self._follow()
        self._check(state(self.head) == before and self._model == model, "a loaded head is not the saved one")

    def _bad(self, place: int, more: int) -> None:
        before = state(self.head)
        name, call = BAD[more % len(BAD)]
        try:
            call(self.head, self._shots[place : place + 1])
        except EdgeImprintError:
            self._check(state(self.head) == before, f"{name} was refused and changed the head")
            return
        raise BenchmarkError(f"{name} was not refused")
