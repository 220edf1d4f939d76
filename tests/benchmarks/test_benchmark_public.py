"""The suite of the public backbones, on handwritten digits for embeddings and, where they are, the real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from digits_source import Digits
from rich.console import Console

from benchmarks import public_registry, results, suites
from benchmarks.__main__ import measure
from benchmarks.context import Context
from benchmarks.data import BACKBONES
from edge_imprint_export.public.registry import registry


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(Digits(), seeds=2, quick=True, console=Console(quiet=True))


def test_every_backbone_that_takes_pictures_is_known_to_the_suites() -> None:
    for entry in registry():
        if entry.takes_pictures:
            assert BACKBONES[entry.name].file == entry.file_name


def test_files_that_are_not_there_are_a_reason(
    context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGE_IMPRINT_DATA", str(tmp_path))
    result = measure("public_backbones", context)
    assert len(result.skipped) == len(registry())
    assert all("set EDGE_IMPRINT_DATA" in reason for reason in result.skipped)
    trained = list(result.select("balanced_accuracy", backbone="mlperf_resnet8_32"))
    assert {found.params["data"] for found in trained} == {"clothing_small"}
    assert list(result.select("balanced_accuracy", backbone="mlperf_kws")) == []
    table = suites.load("public_backbones").tables(result)["public_backbones"]
    assert [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")] == [
        f"public:{entry.name}" for entry in registry()
    ]


def test_sizes_and_times_of_the_real_files(context: Context, shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install 'edge-imprint[export]'")
    result = measure("public_backbones", context)
    for entry in registry():
        assert result.one("size", backbone=entry.name).value == entry.size_bytes
        assert result.one("cut_size", backbone=entry.name).value == entry.measured.cut_bytes
        assert result.one("embed", backbone=entry.name).value > 0
    result.quick = False
    results.save(result, tmp_path)
    path = tmp_path / "registry.json"
    path.write_bytes(public_registry.REGISTRY.read_bytes())
    assert public_registry.main([], path, tmp_path) == 0
    for entry in json.loads(path.read_text(encoding="utf-8"))["backbones"]:
        assert entry["measured"]["date"] == result.date[:10]
        assert entry["measured"]["latency_ms"] > 0
