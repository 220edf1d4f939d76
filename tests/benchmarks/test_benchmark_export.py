"""The suite of the exporter: what it promises of a report, its tables, and that a cut is compared for real."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import results, suites
from benchmarks.__main__ import measure
from benchmarks.context import Context
from benchmarks.data import SharedEmbeddings
from benchmarks.results import Result
from benchmarks.suites import export


def test_missing_pictures_are_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGE_IMPRINT_DATA", str(tmp_path))
    console = Console(quiet=True)
    result = measure("export", Context(SharedEmbeddings(console), seeds=1, quick=True, console=console))
    assert result.measurements == []
    assert any("set EDGE_IMPRINT_DATA" in reason for reason in result.skipped)


def test_promises_follow_from_the_report() -> None:
    result = Result("export", quick=True, seeds=1)
    near = {"parity": {"largest_difference": 9e-5, "cosine_min": 0.9951, "cosine_mean": 0.9991}}
    far = {"parity": {"largest_difference": 2e-4, "cosine_min": 0.981, "cosine_mean": 0.9989}}
    for file in (near, far):
        for name, format in (("default", "onnx"), ("default", "onnx-int8"), ("vit", "tflite-int8")):
            export._promise_parity(result, name, format, file)
    held = [(target.rule.rpartition(" ")[0], target.holds) for target in result.targets]
    assert [holds for _, holds in held] == [True, True, True, True, False, False, False, True]


def test_tables_show_every_file_that_was_measured() -> None:
    result = results.load("export", results.FOLDER)
    tables = suites.load("export").tables(result)
    assert set(tables) == {"export", "export.accuracy", "export.cut"}
    rows = [line for line in tables["export"].splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(list(result.select("latency")))
    assert len({line.count("|") for line in rows}) == 1
    assert tables["export.cut"].count(".tflite`") == len(list(result.select("size_before")))


def test_a_cut_is_compared_bit_for_bit(shared_data: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install 'edge-imprint[export]'")
    from edge_imprint_export.tflite_format.rewrite import cut

    content = (shared_data / "backbones" / "kws_ref_model.tflite").read_bytes()
    made = cut(content, None, "kws")
    assert export._same(content, made.content, made.embedding) == (0.0, "values", True)
    # Weights lie in the file as they are: turning bits of some changes what comes out.
    broken = bytearray(made.content)
    middle = len(broken) // 2
    broken[middle : middle + 512] = bytes(byte ^ 0x20 for byte in broken[middle : middle + 512])
    assert export._same(content, bytes(broken), made.embedding)[2] is False
