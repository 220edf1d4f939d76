"""What is timed on a head of a given size: each task leaves the head as large as it was."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from benchmarks.scaling.crafted import craft, shots_of
from edge_imprint.head import ImprintHead, codec
from edge_imprint.head.odd_shots import OddShots

SHOTS_AT_ONCE = 8
"""Every eighth shot of a class is scored before it is learnt, so eight in a row hold exactly one that is."""
ANSWER = "an answer"
SHOT = "a shot"
LEARNER_SHOT = "a shot, as a learner teaches it"
SHOT_AND_ANSWER = "a shot and an answer"
NEW_CLASS = "a new class, and undo"
LOAD = "loading, and the first answer"
_KINDS, _ROUNDS = 8, 4

Call = Callable[[], object]


def tasks(dim: int, classes: int, proxies_each: int, method: str, names: list[str]) -> dict[str, tuple[Call, int]]:
    """Calls by task name, and how many operations each call is.

    Heads are made as they are needed: one for everything but the tasks that change it in their own way.
    """
    head = craft(dim, classes, proxies_each, method)
    rng = np.random.default_rng(dim)
    # Classes from all over the head: none of them is always in the processor's cache because it was the last.
    labels = sorted({int(label) for label in np.linspace(0, classes - 1, _KINDS)})
    lessons = [
        (shot[None], label)
        for _ in range(_ROUNDS)
        for label in labels
        for shot in shots_of(head, label, SHOTS_AT_ONCE, rng)
    ]
    calls: dict[str, tuple[Call, int]] = {}
    for name in names:
        if name == ANSWER:
            calls[name] = (_answer(head, lessons), 1)
        elif name == SHOT:
            calls[name] = (_teach(head, lessons), SHOTS_AT_ONCE)
        elif name == SHOT_AND_ANSWER:
            calls[name] = (_teach_and_ask(head, lessons), 1)
        elif name == LEARNER_SHOT:
            learner = craft(dim, classes, proxies_each, method)
            learner.odd_shots = OddShots()
            calls[name] = (_teach(learner, lessons), SHOTS_AT_ONCE)
        elif name == NEW_CLASS:
            # Where classes have one proxy each nobody can give room.
            growing = head if proxies_each > 1 else craft(dim, classes, proxies_each, method, spare_classes=1)
            calls[name] = (_open_and_undo(growing, rng), 1)
        else:
            calls[name] = (_load(codec.sections(head, None), lessons), 1)
    return calls


Lessons = list[tuple[np.ndarray, int]]


def _answer(head: ImprintHead, lessons: Lessons) -> Call:
    rows = itertools.cycle(shot for shot, _ in lessons)
    return lambda: head.predict(next(rows))


def _teach(head: ImprintHead, lessons: Lessons) -> Call:
    rows = itertools.cycle(lessons)

    def call() -> None:
        for shot, label in itertools.islice(rows, SHOTS_AT_ONCE):
            head.partial_fit(shot, label)

    return call


def _teach_and_ask(head: ImprintHead, lessons: Lessons) -> Call:
    rows = itertools.cycle(lessons)

    def call() -> None:
        shot, label = next(rows)
        head.partial_fit(shot, label)
        head.predict(shot)

    return call


def _open_and_undo(head: ImprintHead, rng: np.random.Generator) -> Call:
    shot = rng.normal(size=(1, head.dim)).astype(np.float32)

    def call() -> None:
        head.partial_fit(shot, -1)
        head.undo()

    return call


def _load(sections: dict[str, bytes], lessons: Lessons) -> Call:
    return lambda: codec.head_from(ImprintHead, sections).predict(lessons[0][0])
