"""The fuzz targets of the C library's parsers, for a moment: the inputs that are kept, and some made from them.

Twenty minutes each are `python -m benchmarks run fuzz`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cbuild import SRC

from benchmarks.suites import fuzz

RUNS = {"label": 20_000, "frame": 4_000, "snapshot": 1_500, "store": 1_500, "rpc": 400}
LARGEST_CORPUS_BYTES = 64 * 1024

# A run without a finding means something only where a fault would have been found: in each file, one place made wrong.
FAULTS = [
    ("label", "eimp_label.c", "if (byte == 0xED) most = 0x9F;", ""),
    ("frame", "eimp_frame.c", "parser->length < parser->capacity)", "parser->length <= parser->capacity)"),
    ("snapshot", "eimp_snapshot_load.c", "config->budget > head->budget_room || ", ""),
    ("snapshot", "eimp_ridge_method.c", "source->length[EIMP_SECTION_SCATTER] != kept->bytes", "0"),
    ("snapshot", "eimp_ridge_method.c", "eimp_least(room, EIMP_RIDGE_MOST_LOGGED)", "room + 4096u"),
    ("store", "eimp_store_scan.c", "view->commit.field[1] <= eimp_store_capacity(config)", "1"),
    ("rpc", "eimp_rpc.c", "ahead == 0 && crc == rpc->request_crc", "0"),
]

pytestmark = pytest.mark.skipif(fuzz.missing_tool() is not None, reason=fuzz.WAY_OUT.format(fuzz.missing_tool()))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all targets, built under sanitizers."""
    folder = tmp_path_factory.mktemp("fuzz")
    fuzz.build(folder)
    return folder


@pytest.mark.parametrize("target", fuzz.PARSERS)
def test_nothing_is_found_in_kept_inputs_nor_in_a_short_run(target: str, programs: Path, tmp_path: Path) -> None:
    corpus, new = fuzz.FOLDER / "corpus" / target, tmp_path / "new"
    new.mkdir()
    outcome = fuzz.fuzz(programs / f"fuzz_{target}", [new, corpus], tmp_path, f"-runs={RUNS[target]}")
    assert outcome.found == (), outcome.log[-3000:]
    assert outcome.number(r"number_of_executed_units: (\d+)") >= RUNS[target]
    kept = [path for path in corpus.iterdir() if path.is_file()]
    assert outcome.number(r"(\d+) files found in") == len(kept) >= 3


@pytest.mark.parametrize(("target", "name", "right", "wrong"), FAULTS)
def test_kept_inputs_find_a_planted_fault(
    target: str, name: str, right: str, wrong: str, programs: Path, tmp_path: Path
) -> None:
    new, sources, built = tmp_path / "new", tmp_path / "src", tmp_path / "build"
    new.mkdir()
    shutil.copytree(programs, built)
    shutil.copytree(SRC, sources)
    text = (sources / name).read_text(encoding="utf-8")
    assert text.count(right) == 1, f"{name} was rewritten: name another place in FAULTS"
    (sources / name).write_text(text.replace(right, wrong), encoding="utf-8")
    fuzz.build(built, [target], SRC=str(sources))
    outcome = fuzz.fuzz(built / f"fuzz_{target}", [new, fuzz.FOLDER / "corpus" / target], tmp_path / "found", "-runs=0")
    assert [found.partition("-")[0] for found in outcome.found] == ["crash"], outcome.log[-3000:]


def test_each_parser_has_a_planted_fault() -> None:
    assert {target for target, *_ in FAULTS} == set(fuzz.PARSERS)


def test_the_kept_inputs_are_few() -> None:
    files = [path for path in (fuzz.FOLDER / "corpus").rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == set(fuzz.PARSERS)
    assert sum(path.stat().st_size for path in files) <= LARGEST_CORPUS_BYTES
