"""Times of each step between a frame and an answer, in this process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.atomic import scratch_folder
from edge_imprint.backbones import load_image
from edge_imprint.errors import NotTaughtError
from edge_imprint.head import ImprintHead
from edge_imprint.learner import Learner
from edge_imprint.profiling.result import WHOLE, Stage, stage

LEARN, AFTER = "head learn", "head predict after learn"
NAMES = ("decode", "preprocess", "backbone", "head predict", LEARN, AFTER, "snapshot save", WHOLE)
Nothing = Callable[[], None]


def _nothing() -> None:
    pass


def timed(
    action: Callable[[], object], repeats: int, warm_ups: int, before: Nothing = _nothing, after: Nothing = _nothing
) -> Stage:
    """Time an action; what comes before and after each run is not timed."""
    taken = []
    with collector_off():
        for turn in range(warm_ups + repeats):
            before()
            start = time.perf_counter_ns()
            action()
            elapsed = time.perf_counter_ns() - start
            after()
            if turn >= warm_ups:
                taken.append(elapsed)
    return stage(taken, warm_ups)


@contextmanager
def collector_off() -> Iterator[None]:
    """Keep the garbage collector out of the timed parts."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def overhead_us(repeats: int = 2000) -> float:
    """What a sample takes when nothing is done: the two looks at the clock and a call, median."""
    return timed(_nothing, repeats, 100).percentile(50)


def measure(
    learner: Learner,
    encoded: bytes,
    frames: list[NDArray[np.uint8]],
    *,
    repeats: int,
    warm_ups: int,
    progress: Callable[[str], None],
) -> dict[str, Stage]:
    """Time every stage of `NAMES`; the learner is as it was afterwards.

    Teaching is timed on a copy of the head, and each shot is taken back where the budget has room for that.
    """
    backbone, head = learner.backbone, learner.head
    frame = frames[0]
    tensor = backbone.prepare([frame])
    embedding = learner.embed([frame])
    label = head.classes_.tolist()[0]
    turn = iter(range(1 << 62))
    with scratch_folder() as folder:
        copy = _copied(head, folder / "copy.eimp")
        taken_back = _undo(copy)
        actions: dict[str, tuple[Callable[[], object], Nothing, Nothing]] = {
            "decode": (lambda: load_image(encoded), _nothing, _nothing),
            "preprocess": (lambda: backbone.prepare([frame]), _nothing, _nothing),
            "backbone": (lambda: backbone.infer(tensor), _nothing, _nothing),
            "head predict": (lambda: head.answer(embedding), _nothing, _nothing),
            LEARN: (lambda: copy.partial_fit(embedding, label), _nothing, taken_back),
            AFTER: (lambda: copy.answer(embedding), lambda: _learn(copy, embedding, label), taken_back),
            "snapshot save": (lambda: head.save(folder / "saved.eimp"), _nothing, _nothing),
            WHOLE: (lambda: learner.predict(frames[next(turn) % len(frames)]), _nothing, _nothing),
        }
        found = {}
        for name in NAMES:
            progress(name)
            action, before, after = actions[name]
            found[name] = timed(action, repeats, warm_ups, before, after)
    return found


def _copied(head: ImprintHead, path: Path) -> ImprintHead:
    head.save(path)
    return ImprintHead.load(path)


def _learn(head: ImprintHead, embedding: NDArray[np.float32], label: Any) -> None:
    head.partial_fit(embedding, label)


def _undo(head: ImprintHead) -> Nothing:
    def take_back() -> None:
        with suppress(NotTaughtError):  # the budget has no room for it: then the copy grows
            head.undo()

    return take_back
