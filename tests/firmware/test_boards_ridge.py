"""Generated firmware with a second moment on emulated boards, with and without floating point: Python's bytes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.firmware import program
from edge_imprint import ImprintHead
from edge_imprint.errors import BudgetError, CapacityError
from edge_imprint.head.ridge.layout import fixed_bytes
from edge_imprint_firmware import Device, build
from edge_imprint_firmware.boards import BOARDS, find
from edge_imprint_firmware.generate import generate
from edge_imprint_firmware.options import HeadOptions, chosen

boards = pytest.mark.skipif(bool(program.missing_tools()), reason=f"no boards here: {program.missing_tools()}")


def teach(learner: ImprintHead | Device, seed: int, dim: int) -> None:
    """Shots of new and of known classes, undo, forget."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(-60, 60, (5, dim))
    for number in range(14):
        rows = (centres[number % 5] + rng.integers(-99, 100, (1 + number % 2, dim))).astype(np.int16)
        learner.partial_fit(rows, number % 5 if number % 2 else f"class {number % 5}")
        if number % 6 == 5:
            learner.undo()
    learner.forget("class 2")


@boards
@pytest.mark.parametrize(
    ("name", "dim", "registers"),
    [
        ("mps2-an386", 64, True),
        ("mps2-an500", 20, True),
        ("mps3-an547", 33, True),
        ("mps2-an385", 24, False),
        ("microbit", 20, False),
    ],
)
def test_a_board_ends_with_the_snapshot_of_python(name: str, dim: int, registers: bool, tmp_path: Path) -> None:
    board = find(name)
    assert ("-mfloat-abi=hard" in (board.float_core or board.core).gcc) is registers
    compare_with_python(name, dim, tmp_path)


@boards
def test_a_board_built_with_zig_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang", reason="needs zig: pip install ziglang")
    monkeypatch.setenv("EDGE_IMPRINT_FIRMWARE_CC", f"{shlex.quote(sys.executable)} -m ziglang cc")
    compare_with_python("mps2-an386", 40, tmp_path)


def compare_with_python(name: str, dim: int, tmp_path: Path) -> None:
    budget = fixed_bytes(dim) + (4000 if name == "microbit" else 12_000)
    head = ImprintHead(dim, budget, method="ridge")
    teach(head, 1, dim)
    head.save(tmp_path / "python.eimp")
    asked = np.random.default_rng(6).integers(-99, 100, (4, dim)).astype(np.int16)
    with Device.emulate(name, dim, budget, backbone_bytes=0, method="ridge") as device:
        assert device.method == "ridge"
        teach(device, 1, dim)
        assert device.nbytes == head.nbytes
        assert device.predict(asked).tolist() == head.predict(asked).tolist()
        assert device.verdicts(asked).tolist() == head.verdicts(asked).tolist()
        np.testing.assert_array_equal(device.known_score(asked), head.known_score(asked))
        np.testing.assert_array_equal(device.confidence(asked), head.confidence(asked))
        np.testing.assert_array_equal(device.decision_function(asked), head.decision_function(asked))
        device.persist()
        device.clear()
        device.reset()
        device.save(tmp_path / "board.eimp")
        assert (tmp_path / "board.eimp").read_bytes() == (tmp_path / "python.eimp").read_bytes()
        # On from there, taken over from a file, and once more.
        head = ImprintHead.load(tmp_path / "python.eimp")
        teach(head, 2, dim)
        head.save(tmp_path / "python.eimp")
        teach(device, 2, dim)
        device.save(tmp_path / "board.eimp")
        assert (tmp_path / "board.eimp").read_bytes() == (tmp_path / "python.eimp").read_bytes()
        device.clear()
        device.load(tmp_path / "python.eimp")
        device.restore()
        np.testing.assert_array_equal(device.confidence(asked), head.confidence(asked))
        stack = device.stats().stack_bytes
    assert stack is not None
    assert 0 < stack < 1024


@boards
def test_a_board_starts_with_a_snapshot_and_its_method(tmp_path: Path) -> None:
    head = ImprintHead(24, fixed_bytes(24) + 5000, method="ridge", undo=False)
    teach_without_undo = np.random.default_rng(0).normal(size=(12, 24))
    head.partial_fit(teach_without_undo, list("abcdef") * 2).save(tmp_path / "start.eimp", backbone="digest {}")
    with Device.emulate("mps2-an385", None, None, state=tmp_path / "start.eimp") as device:
        assert (device.method, device.budget, device.backbone) == ("ridge", head.budget, "digest {}")
        np.testing.assert_array_equal(device.confidence(np.eye(24)), head.confidence(np.eye(24)))
        device.save(tmp_path / "back.eimp")
    assert (tmp_path / "back.eimp").read_bytes() == (tmp_path / "start.eimp").read_bytes()


@boards
def test_a_program_of_proxies_carries_none_of_it() -> None:
    board = find("mps2-an385")
    held = {}
    for method, budget in (("proxies", 4000), ("ridge", fixed_bytes(24) + 4000)):
        program_file = build.program(board, HeadOptions(24, budget, method=method))
        listed = subprocess.run(["arm-none-eabi-nm", str(program_file)], capture_output=True, text=True, check=True)
        held[method] = {
            name for name in listed.stdout.split() if name.startswith(("eimp_ridge", "eimp_moment", "sqrtf"))
        }
    assert held["proxies"] == set()
    assert {"eimp_ridge_method", "eimp_moment_factor", "sqrtf"} <= held["ridge"]


def test_options_of_a_second_moment() -> None:
    board = find("mps2-an386")
    usual = chosen(board, method="ridge")
    assert usual.layout.method == "ridge"
    assert usual.budget == 16 * 1024 + 21 * 1024  # 20,968 bytes for the second moment at 64 dimensions
    assert chosen(board, 64, "16KB", method="auto").layout.method == "proxies"
    assert chosen(board, 64, "64KB", method="auto").layout.method == "ridge"
    with pytest.raises(BudgetError, match="for the second moment; got 16384"):
        chosen(board, 64, "16KB", method="ridge")
    with pytest.raises(CapacityError):
        chosen(board, 64, usual.budget, method="ridge", classes=1000)


def test_a_board_without_the_ram_says_what_fits(tmp_path: Path) -> None:
    board = find("microbit")
    with pytest.raises(BudgetError, match='Give a smaller dim or another board, or method="proxies"'):
        generate(tmp_path / "fw", board, chosen(board, 64, method="ridge"))
    with pytest.raises(BudgetError, match=r"Give budget=\d+KB or less"):
        generate(tmp_path / "fw", board, HeadOptions(20, 14_000, backbone_bytes=0, method="ridge"))
    project = generate(tmp_path / "fw", board, chosen(board, 20, method="ridge"))
    assert (project.method, project.board) == ("ridge", "microbit")
    assert project.arena_bytes < BOARDS["microbit"].ram[1]
    assert "#define EIMP_APP_RIDGE 1" in (tmp_path / "fw" / "config" / "eimp_app_config.h").read_text()
