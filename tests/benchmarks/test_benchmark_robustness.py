"""The suite of faults: that it does what it says, and that it notices what goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import suites
from benchmarks.__main__ import measure
from benchmarks.context import Context
from benchmarks.data import SharedEmbeddings
from benchmarks.errors import BenchmarkError
from benchmarks.results import Result
from benchmarks.robustness.bad_inputs import BAD
from benchmarks.robustness.frames import _meets
from benchmarks.robustness.operations import SHARES, Course, state
from benchmarks.robustness.outcome import Outcome, reports, start
from edge_imprint.errors import EdgeImprintError
from edge_imprint.head import ImprintHead


def course(folder: Path) -> Course:
    return Course(ImprintHead(32, "8KB", undo=True), folder / "head.eimp", 0)


def test_the_same_course_ends_in_the_same_digest(tmp_path: Path) -> None:
    first, second = course(tmp_path), course(tmp_path)
    assert first.run((1,), 800) == second.run((1,), 800)
    assert first.run((2,), 100) != second.run((3,), 100)
    assert all(first.counts[name] for name in SHARES)


def test_a_course_notices_a_lesson_too_many_and_a_lesson_lost(tmp_path: Path) -> None:
    for spoil in (lambda head: head.partial_fit([[1.0] * 32], "thing 1"), lambda head: head.forget(head.classes_[0])):
        going = course(tmp_path)
        going.run((1,), 200)
        spoil(going.head)
        with pytest.raises(BenchmarkError, match="the model has"):
            going.run((2,), 200)


def test_a_course_notices_bad_input_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = (("something good", lambda head, rows: head.nbytes),)
    monkeypatch.setattr("benchmarks.robustness.operations.BAD", taken)
    with pytest.raises(BenchmarkError, match="something good was not refused"):
        course(tmp_path).run((1,), 400)


@pytest.mark.parametrize("method", ["proxies", "ridge"])
def test_every_bad_input_is_refused_and_changes_nothing(method: str) -> None:
    head = ImprintHead(8, "64KB", method=method).partial_fit([[1.0] * 8], "mug")
    before = state(head)
    rows = head_rows()
    for name, call in BAD:
        with pytest.raises(EdgeImprintError):
            call(head, rows)
        assert state(head) == before, name


def head_rows() -> object:
    import numpy as np

    return np.linspace(0.1, 1, 8, dtype=np.float32)[None]


def test_a_frame_that_changes_the_learner_is_noticed() -> None:
    class Careless:
        head = ImprintHead(8, "64KB")

        def predict(self, frame: object) -> None:
            self.head.partial_fit(head_rows(), "mug")
            raise EdgeImprintError("no picture")

    before = state(Careless.head)
    assert _meets(Careless(), b"", before) == "the learner has changed"  # type: ignore[arg-type]


def test_a_fault_that_was_not_survived_is_told() -> None:
    outcome, result = Outcome("a fault"), Result("robustness", quick=True, seeds=1)
    outcome.judge(None)
    outcome.judge("gone", lost=7)
    outcome.record(result)
    assert [(target.value, target.holds) for target in result.targets] == [(1, False), (7, False)]
    assert result.settings["wrong"] == {"a fault": ["gone"]}


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(BenchmarkError, match="cannot read /nowhere/start-0"):
        list(reports(start("soak", "replay", "/nowhere", 10, 0)))


@pytest.mark.slow
def test_the_whole_suite_in_short() -> None:
    console = Console(quiet=True)
    result = measure("robustness", Context(SharedEmbeddings(console), seeds=1, quick=True, console=console))
    missed = [target for target in result.targets if not target.holds and "memory" not in target.name]
    assert not missed, result.settings.get("wrong")
    table = suites.load("robustness").tables(result)["robustness"]
    for fault in ("threads", "processes", "killed", "kill -9", "file size limit", "cut off", "huge size"):
        assert fault in table
    injected = sum(found.value for found in result.select("injected"))
    assert injected == sum(found.value for found in result.select("survived")) > 500
    assert sum(found.value for found in result.select("bytes_lost")) == 0
