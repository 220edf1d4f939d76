"""Live embeddings wait to be taken in together: no report depends on it, and what waits is forgotten with the rest."""

from __future__ import annotations

import numpy as np
import pytest

from edge_imprint.head.drift import DriftMonitor
from edge_imprint.head.live import WAITING, LiveRows

DIM, CLASSES, TAUGHT = 32, 5, 12
TOLERANCE = 1e-5
"""Sums of float32 in another order, over a statistic of about 1."""


def stream(count: int, seed: int = 0) -> tuple[np.ndarray, list[int], np.ndarray]:
    """Quantised embeddings, the classes answered, and the classes' means at length 1."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(CLASSES, DIM))
    places = rng.integers(0, CLASSES, count)
    x = means[places] + rng.normal(size=(count, DIM))
    e16 = np.rint(x * 32767 / np.abs(x).max(axis=1, keepdims=True)).astype(np.int16)
    units = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return e16, places.tolist(), units


def report(live: LiveRows, units: np.ndarray):
    live.settle(lambda: units)
    return live.monitor.report(0.7 * units, np.full(CLASSES, TAUGHT))


@pytest.mark.parametrize("at_once", [1, 5, WAITING, 40, 200])
def test_reports_are_those_of_pictures_observed_one_by_one(at_once):
    e16, places, units = stream(200)
    live, plain = LiveRows(DIM), DriftMonitor(DIM)
    for first in range(0, 200, at_once):
        live.add(e16[first : first + at_once], places[first : first + at_once], lambda: units)
    for row, place in zip(e16.astype(np.float64), places, strict=True):
        plain.observe(row, place, float(units[place] @ row) / float(np.linalg.norm(row)))
    found, expected = report(live, units), plain.report(0.7 * units, np.full(CLASSES, TAUGHT))
    assert (found.level, found.kind, found.n) == (expected.level, expected.kind, expected.n)
    assert found.statistic == pytest.approx(expected.statistic, rel=TOLERANCE)
    assert found.p_value == pytest.approx(expected.p_value, rel=100 * TOLERANCE)  # steep in the statistic


def test_asking_between_pictures_changes_later_reports_in_last_bits_alone():
    e16, places, units = stream(150, seed=1)
    asked, silent = LiveRows(DIM), LiveRows(DIM)
    for i in range(150):
        asked.add(e16[i : i + 1], places[i : i + 1], lambda: units)
        silent.add(e16[i : i + 1], places[i : i + 1], lambda: units)
        if i % 7 == 0 and i:
            report(asked, units)
    assert report(asked, units).statistic == pytest.approx(report(silent, units).statistic, rel=TOLERANCE)


def test_pictures_are_counted_before_they_are_taken_in():
    e16, places, units = stream(WAITING - 1)
    live = LiveRows(DIM)
    live.add(e16, places, lambda: pytest.fail("nothing has to be computed yet"))
    assert "15 live pictures" in report(live, units).sentence


def test_what_waits_is_a_copy_and_reset_forgets_it():
    e16, places, units = stream(10)
    live, other = LiveRows(DIM), LiveRows(DIM)
    for one in (live, other):
        one.add(e16, places, lambda: units)
    e16[:] = 1
    more, more_places, _ = stream(20, seed=2)
    for one in (live, other):
        one.add(more, more_places, lambda: units)
    assert report(live, units) == report(other, units)
    live.add(more[:3], more_places[:3], lambda: units)
    live.reset()
    assert report(live, units) == report(LiveRows(DIM), units)


@pytest.mark.parametrize("dim", [1, 256, 1280])
def test_memory_is_what_the_docstring_says(dim):
    assert 40 * dim <= LiveRows(dim).nbytes <= 40 * dim + 750
