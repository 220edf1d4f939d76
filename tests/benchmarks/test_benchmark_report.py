"""Tables of README and docs/RESULTS.md come from the results, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report, results, suites
from benchmarks.__main__ import main
from benchmarks.errors import BenchmarkError
from benchmarks.results import Result, Stopwatch

README = "# Title\n\n<!-- benchmarks:imports -->\n<!-- /benchmarks -->\n\nThe end.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a result of the suite `imports` and a README that shows it."""
    result = Result("imports", quick=False, seeds=5)
    with Stopwatch(result):
        result.add("import", "ns", [50e6, 60e6, 70e6], {"module": "numpy"}, "median")
        result.add("import", "ns", [80e6, 90e6, 100e6], {"module": "edge_imprint"}, "median")
        result.add("import_ratio", "", [1.5], {}, "median")
        result.promise("import edge_imprint", "under 3 x import numpy", 1.5, "x", True)
    results.save(result, tmp_path)
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    return tmp_path


def cli(folder: Path, *options: str) -> int:
    return main(["report", "--page", str(folder / "README.md"), "--results", str(folder), *options])


def test_pages_are_in_step_with_the_results(repository: Path) -> None:
    assert {repository / "README.md", repository / "docs" / "RESULTS.md"} == set(report.PAGES)
    assert report.main(report.PAGES, results.FOLDER, check=True) == 0


def test_every_table_of_every_suite_is_on_a_page() -> None:
    shown = {name for page in report.PAGES for name in report.OPENING.findall(page.read_text(encoding="utf-8"))}
    for suite in suites.SUITES:
        result = results.load(suite, results.FOLDER)
        if result.measurements:
            assert set(suites.load(suite).tables(result)) <= shown
    assert set(report.OVER_ALL_SUITES) <= shown


def test_report_fills_the_marked_place_only_and_twice_is_the_same(folder: Path) -> None:
    readme = folder / "README.md"
    assert cli(folder) == 0
    filled = readme.read_text(encoding="utf-8")
    assert filled.startswith("# Title\n\n<!-- benchmarks:imports -->\n| fresh interpreter | ms, median | quartiles |\n")
    assert "| `import edge_imprint` | 90 | 85 to 95 |" in filled
    assert "| ratio | 1.50 |" in filled
    assert filled.endswith("\n<!-- /benchmarks -->\n\nThe end.\n")
    assert cli(folder) == 0
    assert readme.read_text(encoding="utf-8") == filled
    assert cli(folder, "--check") == 0


def test_check_names_what_drifted_and_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = folder / "README.md"
    cli(folder)
    drifted = readme.read_text(encoding="utf-8").replace("| 90 |", "| 40 |")
    readme.write_text(drifted, encoding="utf-8")
    assert cli(folder, "--check") == 2
    error = capsys.readouterr().err
    assert "differs from the results in imports" in error
    assert "python -m benchmarks report" in error
    assert readme.read_text(encoding="utf-8") == drifted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- benchmarks:imports -->\nnever closed\n", "'imports' is not closed"),
        ("<!-- benchmarks:nothing -->\n<!-- /benchmarks -->\n", "'nothing' names no suite"),
        ("<!-- benchmarks:imports.more -->\n<!-- /benchmarks -->\n", "'imports.more' names no table"),
        ("<!-- benchmarks:latency -->\n<!-- /benchmarks -->\n", "no result latency.json"),
    ],
)
def test_a_wrong_marker_is_refused_and_the_file_kept(
    folder: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "README.md").write_text(text, encoding="utf-8")
    assert cli(folder) == 2
    assert message in capsys.readouterr().err
    assert (folder / "README.md").read_text(encoding="utf-8") == text


def test_a_quick_result_is_never_reported(folder: Path) -> None:
    quick = results.load("imports", folder)
    quick.quick = True
    results.save(quick, folder)
    with pytest.raises(BenchmarkError, match="quick run, too short to trust"):
        report.render(README, folder)


def test_targets_and_machine_cover_every_suite(folder: Path) -> None:
    imports = results.load("imports", folder)
    for name in suites.SUITES:
        imports.suite = name
        imports.targets = [results.Target("case", "a rule", value, "x", value < 3) for value in (1.0, 4.0)]
        results.save(imports, folder)
    text = "".join(f"<!-- benchmarks:{name} -->\n<!-- /benchmarks -->\n" for name in ("targets", "machine"))
    filled = report.render(text, folder)
    assert "| latency | a rule | 1 to 4 x | **1 of 2** |" in filled
    assert filled.count("| a rule |") == len(suites.SUITES)
    assert filled.count("Measured on ") == 1


def test_missed_targets_are_those_that_do_not_hold_in_every_case(folder: Path) -> None:
    imports = results.load("imports", folder)
    for name in suites.SUITES:
        imports.suite = name
        most = 2.0 if name == "latency" else 9.0
        imports.targets = [results.Target("case", "a rule", value, "x", value < most) for value in (1.0, 4.0)]
        results.save(imports, folder)
    filled = report.render("<!-- benchmarks:targets.missed -->\n<!-- /benchmarks -->\n", folder)
    assert filled.splitlines()[3:-1] == ["| latency | a rule | 1 to 4 x | **1 of 2** |"]


def test_an_unknown_suite_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "imports", "speed"]) == 2
    assert "no suite 'speed'; there are accuracy" in capsys.readouterr().err
