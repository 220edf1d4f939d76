"""One learner, several threads: some teach, some ask, one saves. The lessons, in their order, are replayed alone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.robustness.operations import state
from benchmarks.robustness.outcome import Outcome
from benchmarks.robustness.pictures import views
from edge_imprint import Learner
from edge_imprint.head import ImprintHead

TEACHERS, ASKERS = 4, 3
RESTLESS_S = 1e-5
"""Threads change places five hundred times more often than usual."""


def share(folder: Path, lessons: int) -> list[Outcome]:
    """Threads on a head of either method, then on a learner with its backbone."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(RESTLESS_S)
    try:
        heads = Outcome("threads teach, ask and save one head")
        for method in ("proxies", "ridge"):
            _share_a_head(method, folder / f"{method}.eimp", lessons, heads)
        return [heads, _share_a_learner(max(lessons // 40, 5))]
    finally:
        sys.setswitchinterval(usual)


def _together(outcome: Outcome, tasks: list[Callable[[], object]]) -> None:
    """Run each task in a thread; each is a fault survived when it ends without an exception."""

    def guarded(task: Callable[[], object]) -> None:
        try:
            task()
        except Exception as error:
            outcome.judge(f"{type(error).__name__}: {error}")
        else:
            outcome.judge(None)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _share_a_head(method: str, path: Path, lessons: int, outcome: Outcome) -> None:
    dim, budget = 32, "32KB"
    head = ImprintHead(dim, budget, method=method)
    shots = np.random.default_rng(0).normal(size=(TEACHERS, lessons, dim)).astype(np.float32)
    head.partial_fit(shots[0, :1], "first")
    order: list[tuple[int, int]] = []

    def teach(thread: int) -> None:
        for number in range(lessons):
            with head.lock:
                head.partial_fit(shots[thread, number : number + 1], f"{thread}:{number % 6}")
                order.append((thread, number))

    def ask(thread: int) -> None:
        for number in range(lessons):
            row = shots[thread, number : number + 1]
            if head.predict(row)[0] not in head.shots_per_class() or not np.isfinite(head.decision_function(row)).all():
                raise AssertionError("an answer that is no class, or no number")
            head.verdicts(row)

    def save() -> None:
        for _ in range(max(lessons // 20, 2)):
            head.save(path)
            ImprintHead.load(path)

    teachers = [lambda thread=thread: teach(thread) for thread in range(TEACHERS)]
    askers = [lambda thread=thread: ask(thread) for thread in range(ASKERS)]
    _together(outcome, [*teachers, *askers, save])
    outcome.operations += (TEACHERS + 3 * ASKERS) * lessons + max(lessons // 20, 2)
    twin = ImprintHead(dim, budget, method=method).partial_fit(shots[0, :1], "first")
    for thread, number in order:
        twin.partial_fit(shots[thread, number : number + 1], f"{thread}:{number % 6}")
    same = state(twin) == state(head)
    outcome.judge(None if same else f"{method}: not what the same lessons give alone", 0 if same else len(state(twin)))


def _share_a_learner(rounds: int) -> Outcome:
    outcome = Outcome("threads teach and ask one learner")
    pictures = views()
    learner = Learner(budget="512KB")
    learner.learn(pictures["cat"][0], "cat")

    def teach(name: str) -> None:
        for number in range(rounds):
            learner.learn(pictures[name][number % len(pictures[name])], name)

    def ask(name: str) -> None:
        for picture in pictures[name][:1] * rounds:
            answer = learner.predict(picture)
            if answer.label not in answer.scores or answer.scores[answer.label] != answer.score:
                raise AssertionError("label, score and scores are of different moments")

    tasks = [lambda name=name: teach(name) for name in pictures] + [lambda name=name: ask(name) for name in pictures]
    _together(outcome, tasks)
    outcome.operations = len(tasks) * rounds
    wanted = {name: rounds + (name == "cat") for name in pictures}
    found = learner.head.shots_per_class()
    outcome.judge(None if found == wanted else f"shots {found}, not {wanted}")
    return outcome
