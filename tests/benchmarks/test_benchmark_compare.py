"""`python -m benchmarks compare`: ratios decide, times are shown, and what cannot be compared is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.__main__ import main
from benchmarks.results import Result, Stopwatch


@pytest.fixture
def folder(tmp_path: Path):
    """Write a result whose ratio and time are given; the folder it lies in."""

    def write(name: str, ratio: float, time_ns: float, *, suite: str = "imports", quick: bool = False) -> Path:
        made = Result(suite, quick=quick, seeds=5)
        with Stopwatch(made):
            made.add("import_ratio", "", [ratio], {"of": "a"}, "median")
            made.add("import", "ns", [time_ns], {}, "median")
            made.add("accuracy", "%", [ratio], {})
            made.promise("import", "under 3 x", ratio, "x", True)
        results.save(made, tmp_path / name)
        return tmp_path / name

    return write


def test_ratios_within_the_limit_agree_whatever_the_times_do(folder, capsys) -> None:
    a, b = folder("a", 2.0, 100), folder("b", 2.19, 300)
    assert main(["compare", str(a), str(b)]) == 0
    said = capsys.readouterr().out
    assert "2 of 2 ratios agree within 10 %; 1 of 1 times differ by more" in said
    assert "3.00" in said


@pytest.mark.parametrize("ratio", [2.21, 1.81, -2.0, 0.0])
def test_a_ratio_that_differs_is_shown_and_told_by_the_exit_status(folder, capsys, ratio) -> None:
    a, b = folder("a", 2.0, 100), folder("b", ratio, 100)
    assert main(["compare", str(a), str(b)]) == 1
    assert "ratio, apart" in capsys.readouterr().out
    assert main(["compare", str(a), str(b), "--percent", "250" if ratio > 0 else "10"]) == int(ratio <= 0)


def test_json_has_every_number(folder, capsys) -> None:
    a, b = folder("a", 2.0, 100), folder("b", 3.0, 100)
    assert main(["compare", str(a / "imports.json"), str(b / "imports.json"), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["ratios"], said["apart"], len(said["rows"])) == (2, 2, 3)
    assert said["rows"][0] == {
        "suite": "imports", "what": "import_ratio of=a", "unit": "", "first": 2.0, "second": 3.0, "decides": True,
        "ratio": 1.5, "agrees": False,
    }  # fmt: skip


def refused(capsys, *words) -> str:
    assert main(["compare", *map(str, words)]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(folder, capsys, tmp_path) -> None:
    a = folder("a", 2.0, 100)
    assert "does not exist" in refused(capsys, a, tmp_path / "nowhere")
    assert "of two kinds" in refused(capsys, a, a / "imports.json")
    assert "latency" in refused(capsys, a / "imports.json", folder("b", 2.0, 1, suite="latency") / "latency.json")
    assert "no suite" in refused(capsys, a, tmp_path / "b")
    assert "quick" in refused(capsys, a, folder("c", 2.0, 100, quick=True))
    older = folder("d", 2.0, 100) / "imports.json"
    older.write_text(older.read_text().replace('"schema": 1', '"schema": 0'))
    assert "has schema 0; this version reads 1" in refused(capsys, a, older.parent)


def test_the_results_of_the_project_agree_with_themselves(repository, capsys) -> None:
    folder = repository / "benchmarks" / "results"
    assert main(["compare", str(folder), str(folder)]) == 0
    ratios = int(capsys.readouterr().out.split(" ratios agree")[0].rsplit(" ", 1)[1])
    assert ratios > 50
