"""The suite of advice and drift, on handwritten digits for embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from digits_source import Digits
from rich.console import Console

from benchmarks import suites
from benchmarks.__main__ import measure
from benchmarks.context import Context, Draw, draw
from benchmarks.data import EmbeddingSet
from benchmarks.results import Result
from benchmarks.suites.advice import ODD_SHOTS, _first_alarm, _lift, _teach


@pytest.fixture(scope="module")
def result() -> Result:
    return measure("advice", Context(Digits(), seeds=2, quick=True, data=("digits",), console=Console(quiet=True)))


def test_all_three_parts_are_measured_and_shown(result: Result) -> None:
    for found in result.measurements:
        assert np.isfinite([found.value, *found.samples]).all()
    tables = suites.load("advice").tables(result)
    assert set(tables) == {"advice.curve", "advice.odd", "advice.drift"}
    for text in tables.values():
        lines = text.splitlines()
        assert len(lines) > 2
        assert len({line.count("|") for line in lines}) == 1
    assert not result.skipped


def test_gains_of_digits_are_foretold_within_ten_points(result: Result) -> None:
    gain, predicted = result.one("gain"), result.one("predicted")
    assert gain.value > 5
    assert abs(gain.value - predicted.value) < 10
    assert result.one("lift").value > 1


def test_wrong_digits_are_flagged_more_often_than_by_chance(result: Result) -> None:
    assert result.one("precision", shots=ODD_SHOTS[0]).value > 25


def test_the_log_numbers_are_places_in_the_draw() -> None:
    seen = draw(Digits().load("digits", ""), 20, seed=0)
    given = seen.labels.copy()
    place = int(np.flatnonzero(seen.labels == "digit 0")[15])
    given[place] = "digit 1"
    events = {odd.number: odd for odd in _teach(Draw(seen.shots, given)).found(0.0)}
    assert (events[place].label, events[place].looks_like) == ("digit 1", "digit 0")


def test_an_alarm_is_counted_from_the_change() -> None:
    rng = np.random.default_rng(0)
    means = 0.8 * np.eye(16, dtype=np.float32)[:4]
    before = means[rng.integers(4, size=64)] + 0.1 * rng.normal(size=(64, 16)).astype(np.float32)
    after = np.eye(16, dtype=np.float32)[[9] * 64]
    assert _first_alarm(means, 20, before, 64, 0) is None
    alarm = _first_alarm(means, 20, np.concatenate([before, after]), 64, 64)
    assert alarm is not None
    assert 0 < alarm[0] <= 64
    assert alarm[0] % 8 == 0


def test_pairs_named_first_are_compared_with_the_average() -> None:
    labels = np.array(["a", "b", "c", "d"]).repeat(2)
    answers = np.array(["b", "a", "a", "b", "c", "c", "d", "d"])
    embeddings = EmbeddingSet("", "", np.ones((8, 2), np.float32), labels, np.ones((8, 2), np.float32), labels)
    chance = np.zeros((4, 4))
    chance[0, 1] = chance[1, 0] = chance[0, 2] = chance[0, 3] = 0.5
    assert _lift(embeddings, answers, chance) == pytest.approx(2.0)
