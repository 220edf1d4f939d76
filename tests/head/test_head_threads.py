"""Several threads on one head: every call whole or not at all, whatever the interpreter does in between."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from heads import blob, reload

from edge_imprint import ImprintHead

DIM, SHOTS = 16, 60


@pytest.fixture(autouse=True)
def restless():
    """Threads change places a thousand times more often than usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


def together(*tasks: Callable[[], object]) -> None:
    """Run tasks at once, each in a thread; raise what the first of them raised."""
    failures: list[BaseException] = []
    start = threading.Barrier(len(tasks))

    def guarded(task: Callable[[], object]) -> None:
        start.wait()
        try:
            task()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread waits for ever"
    if failures:
        raise failures[0]


@pytest.mark.parametrize("method", ["proxies", "ridge"])
def test_threads_that_teach_and_ask_one_head(method, tmp_path):
    head = ImprintHead(DIM, "64KB", method=method)
    rng = np.random.default_rng(0)
    shots = rng.normal(size=(4, SHOTS, DIM))
    head.partial_fit(shots[0, :1], "first")
    journal: list[tuple[int, int]] = []

    def teach(thread: int) -> None:
        for number in range(SHOTS):
            with head.lock:  # the order in which lessons were learnt, for the replay
                head.partial_fit(shots[thread, number][None], f"{thread}:{number % 5}")
                journal.append((thread, number))

    def ask() -> None:
        for number in range(SHOTS):
            assert head.predict(shots[0, number][None])[0] in head.classes_
            scores = head.decision_function(shots[1, number][None])
            assert np.isfinite(scores).all()
            head.verdicts(shots[2, number][None])
            head.observe(shots[3, number][None])
            with head.lock:
                assert sum(head.shots_per_class().values()) == len(journal) + 1 == reload(head)._arena.total_shots

    def save() -> None:
        for _ in range(10):
            head.save(tmp_path / "head.eimp")
            ImprintHead.load(tmp_path / "head.eimp")

    together(lambda: teach(1), lambda: teach(2), lambda: teach(3), ask, save)
    twin = ImprintHead(DIM, "64KB", method=method).partial_fit(shots[0, :1], "first")
    for thread, number in journal:
        twin.partial_fit(shots[thread, number][None], f"{thread}:{number % 5}")
    assert len(journal) == 3 * SHOTS
    assert blob(twin) == blob(head)


def test_new_classes_from_several_threads_without_a_lock_of_ones_own():
    head = ImprintHead(DIM, "256KB")
    shots = np.random.default_rng(1).normal(size=(4, SHOTS, DIM))

    def teach(thread: int) -> None:
        for number in range(SHOTS):
            head.partial_fit(shots[thread, number][None], f"{thread}:{number}")

    together(*(lambda thread=thread: teach(thread) for thread in range(4)))
    assert head.shots_per_class() == dict.fromkeys(head.shots_per_class(), 1)
    assert len(head.classes_) == 4 * SHOTS
    # Each label has the proxy of its own shot.
    for thread in range(4):
        wanted = [f"{thread}:{number}" for number in range(SHOTS)]
        assert head.predict(shots[thread]).tolist() == wanted


def test_heads_that_merge_crosswise_do_not_wait_for_each_other():
    shots = np.random.default_rng(2).normal(size=(2, 6, DIM))
    heads = [ImprintHead(DIM, "64KB").partial_fit(shots[place], [f"{place}"] * 6) for place in range(2)]

    def merge(place: int) -> None:
        for _ in range(50):
            heads[place].merge(heads[1 - place])

    together(lambda: merge(0), lambda: merge(1))
    assert [sorted(head.shots_per_class()) for head in heads] == [["0", "1"], ["0", "1"]]


def test_an_undo_and_a_forget_among_lessons():
    head = ImprintHead(DIM, "64KB")
    shots = np.random.default_rng(3).normal(size=(SHOTS, DIM))
    kept = 0

    def teach_and_undo() -> None:
        nonlocal kept
        for number in range(SHOTS):
            with head.lock:
                head.partial_fit(shots[number][None], "kept")
                if number % 3:
                    head.undo()
                else:
                    kept += 1

    def teach_and_forget() -> None:
        for number in range(SHOTS):
            head.partial_fit(shots[number][None], "passing")
            head.forget("passing")

    together(teach_and_undo, teach_and_forget)
    assert head.shots_per_class() == {"kept": kept}
