"""Curves of cost against size: heads of any size, fits with a known answer, tables and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import report, results, suites
from benchmarks.__main__ import measure
from benchmarks.context import Context
from benchmarks.data import SharedEmbeddings
from benchmarks.results import Result
from benchmarks.scaling import curves
from benchmarks.scaling.crafted import craft, shots_of
from benchmarks.scaling.fit import exponent, slope
from edge_imprint.head import ImprintHead, codec


@pytest.fixture(scope="module")
def result() -> Result:
    console = Console(quiet=True)
    return measure("scaling", Context(SharedEmbeddings(console), seeds=1, quick=True, console=console))


@pytest.mark.parametrize("method", ["proxies", "ridge"])
def test_a_crafted_head_is_one_that_a_snapshot_may_hold(method: str) -> None:
    head = craft(32, 12, 5, method, spare_classes=1)
    assert head.proxies_per_class() == dict.fromkeys(range(12), 5)
    assert head.nbytes <= head.budget
    loaded = codec.head_from(ImprintHead, codec.sections(head, None))
    rng = np.random.default_rng(0)
    for label in (0, 11):
        shots = shots_of(head, label, 20, rng)
        assert (head.predict(shots) == label).all()
        assert np.array_equal(loaded.decision_function(shots), head.decision_function(shots))
    head.partial_fit(shots[:1], -1)
    assert len(head.classes_) == 13


def test_a_head_of_one_proxy_a_class_keeps_its_size() -> None:
    head = craft(16, 50, 1, "proxies")
    for label in range(50):
        head.partial_fit(shots_of(head, label, 8, np.random.default_rng(label)), label)
    assert set(head.proxies_per_class().values()) == {1}


def test_fits_find_what_was_put_in() -> None:
    sizes = [10.0, 100.0, 1000.0, 10000.0]
    found = exponent(sizes, [3 * size**1.5 for size in sizes])
    assert found == pytest.approx((1.5, 1.5, 1.5))
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        x = np.arange(20.0)
        fitted = slope(x.tolist(), (0.3 * x + rng.normal(size=20)).tolist())
        inside += fitted.low <= 0.3 <= fitted.high
    assert 0.92 < inside / 400 < 0.98  # a 95 % interval
    with pytest.raises(ValueError, match="at least 3 points; got 2"):
        slope([1, 2], [1, 2])


def test_every_axis_and_task_is_measured_and_fitted(result: Result) -> None:
    for axis in curves.AXES:
        for name in axis.names:
            where = {"method": axis.method, "axis": axis.name, "task": name}
            costs = list(result.select("cost", **where))
            assert len(costs) == len(axis.quick) or any(name in reason for reason in result.skipped), name
            assert all(found.value > 0 and len(found.samples) >= 5 for found in costs)
            fitted = next(result.select("exponent", **where))
            low, high = (result.one(f"exponent_{side}", **fitted.params).value for side in ("low", "high"))
            assert low <= fitted.value <= high
    grown = [result.one("history_ratio", method=method) for method in ("proxies", "ridge")]
    assert all(len(found.samples) == 10 for found in grown)
    assert sum("shots before" in target.name for target in result.targets) == 2
    assert sum("linear or better" in target.rule for target in result.targets) >= 4


def test_tables_and_figures_come_from_the_result(result: Result, tmp_path: Path) -> None:
    tables = suites.load("scaling").tables(result)
    assert set(tables) == {"scaling", "scaling.history"}
    # One row a curve: each has a cost at both ends and an exponent with its interval.
    rows = [line for line in tables["scaling"].splitlines() if line.startswith("| ")][2:]
    assert len(rows) == sum(len(axis.names) for axis in curves.AXES)
    assert all(" to " in row and "(" in row for row in rows)
    full = Result(**{**vars(result), "quick": False})
    results.save(full, tmp_path)
    drawn = report.draw(tmp_path)
    assert [file.name for file in drawn] == ["scaling.png", "scaling_history.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in drawn)
    again = [file.read_bytes() for file in drawn]
    assert [file.read_bytes() for file in report.draw(tmp_path)] == again


def test_a_quick_result_is_not_drawn(result: Result, tmp_path: Path) -> None:
    results.save(result, tmp_path)
    assert report.draw(tmp_path) == []
