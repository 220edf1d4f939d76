"""Result files: what is written is read back, and a file that cannot be trusted is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.errors import BenchmarkError
from benchmarks.results import Result, Stopwatch


@pytest.fixture
def result() -> Result:
    made = Result("imports", quick=False, seeds=5, settings={"warmups": 3}, skipped=["no pictures"])
    with Stopwatch(made):
        made.add("balanced_accuracy", "%", [60.0, 62.0, 64.0], {"method": "head", "shots": "5"})
        made.add("learn", "ns", [4.0, 1.0, 2.0, 3.0, 100.0], {"contestant": "a"}, "median")
        made.add("nbytes", "bytes", [65000, 65536], {}, "max")
        made.promise("memory", "at most 64 KB", 65536, "bytes", True)
    return made


def test_value_and_spread_are_those_of_the_samples(result: Result) -> None:
    accuracy = result.one("balanced_accuracy", method="head")
    assert accuracy.value == 62.0
    assert accuracy.spread["standard_error"] == pytest.approx(2 / 3**0.5)
    timed = result.one("learn")
    assert timed.value == 3.0
    assert timed.spread == {"quartile_1": 2.0, "quartile_3": 4.0}
    assert result.one("nbytes").value == 65536
    assert {found.kind for found in result.measurements} == {"measured"}


def test_one_seed_has_no_standard_error() -> None:
    assert Result("imports", True, 1).add("a", "%", [50.0], {}).spread == {"standard_error": None}


def test_a_result_is_read_back_with_machine_versions_and_raw_samples(result: Result, tmp_path: Path) -> None:
    path = results.save(result, tmp_path)
    again = results.save(results.load("imports", tmp_path), tmp_path / "again")
    assert again.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["schema"] == results.SCHEMA
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["memory_bytes"] > 1 << 20
    assert {"cpu", "os", "kernel"} <= set(content["machine"])
    assert {"python", "numpy"} <= set(content["versions"])
    assert content["commit"]
    assert content["date"].endswith("+00:00")
    assert content["wall_s"] >= 0
    assert content["measurements"][0]["samples"] == [60.0, 62.0, 64.0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again", "imports.json"]


def test_a_result_without_measurements_is_still_json(tmp_path: Path) -> None:
    empty = Result("imports", quick=False, seeds=5, skipped=["no pictures"])
    results.save(empty, tmp_path)
    assert results.load("imports", tmp_path) == empty


def test_files_that_cannot_be_trusted_are_refused(result: Result, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"no result imports\.json; make it with: python -m"):
        results.load("imports", tmp_path)
    path = results.save(result, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "schema": 99}), encoding="utf-8")
    with pytest.raises(BenchmarkError, match="schema 99; this version reads 1"):
        results.load("imports", tmp_path)
    path.write_text(json.dumps({**content, "surprise": 1}), encoding="utf-8")
    with pytest.raises(BenchmarkError, match="surprise"):
        results.load("imports", tmp_path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(BenchmarkError, match="not JSON"):
        results.load("imports", tmp_path)


def test_asking_for_one_of_several_is_refused(result: Result) -> None:
    result.add("balanced_accuracy", "%", [50.0], {"method": "mean"})
    with pytest.raises(BenchmarkError, match="found 2"):
        result.one("balanced_accuracy")
