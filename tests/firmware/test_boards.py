"""The generated firmware on all eight emulated boards, taught over its serial line, until the power is cut."""

from __future__ import annotations

import os
import random
import shlex
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from benchmarks.firmware import program
from edge_imprint import ImprintHead
from edge_imprint_firmware import Device, emulator
from edge_imprint_firmware.boards import BOARDS
from edge_imprint_firmware.errors import LinkError
from edge_imprint_firmware.snapshots import blob_of

pytestmark = pytest.mark.skipif(bool(program.missing_tools()), reason=f"no boards here: {program.missing_tools()}")

BUDGET = 6000


def teach(learner: ImprintHead | Device) -> None:
    """Shots of new and of known classes, undo, forget."""
    rng = np.random.default_rng(5)
    for number in range(12):
        rows = rng.integers(-99, 100, (1 + number % 3, 64)).astype(np.int16)
        learner.partial_fit(rows, number % 5 if number % 2 else f"class {number % 5}")
    learner.undo()
    learner.forget("class 2")


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_says_hello_and_ends_with_the_snapshot_of_python(name: str, tmp_path: Path) -> None:
    compare_with_python(name, tmp_path)


@pytest.mark.parametrize("name", ["mps2-an386", "mps3-an547", "microbit"])
def test_boards_built_with_zig_do_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang", reason="needs zig: pip install ziglang")
    monkeypatch.setenv("EDGE_IMPRINT_FIRMWARE_CC", f"{shlex.quote(sys.executable)} -m ziglang cc")
    compare_with_python(name, tmp_path)


def compare_with_python(name: str, tmp_path: Path) -> None:
    head = ImprintHead(64, BUDGET)
    teach(head)
    head.save(tmp_path / "python.eimp")
    asked = np.random.default_rng(6).integers(-99, 100, (5, 64)).astype(np.int16)
    with Device.emulate(name, 64, BUDGET, backbone_bytes=0) as device:
        assert device.info().name == name
        teach(device)
        assert device.predict(asked).tolist() == head.predict(asked).tolist()
        assert device.verdicts(asked).tolist() == head.verdicts(asked).tolist()
        device.persist()
        device.clear()
        device.reset()
        device.save(tmp_path / "board.eimp")
        stack = device.stats().stack_bytes
    assert (tmp_path / "board.eimp").read_bytes() == (tmp_path / "python.eimp").read_bytes()
    assert stack is not None
    assert 0 < stack < 1024


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mps2-an386", "microbit"])
def test_power_cut_while_learning_and_saving_leaves_the_old_or_the_new(name: str, tmp_path: Path) -> None:
    rng, chance = np.random.default_rng(7), random.Random(7)
    head, allowed, cuts = ImprintHead(64, BUDGET), None, 0
    for _ in range(4):
        with (
            emulator.start(name, 64, BUDGET, flash=tmp_path / "flash.bin", backbone_bytes=0) as board,
            Device.open(board.url, timeout_s=5.0) as device,
        ):
            found = blob_of(device.to_head())
            assert allowed is None or found in allowed
            head = device.to_head()
            timer = threading.Timer(chance.uniform(0.02, 0.3), os.kill, (board.pid, signal.SIGKILL))
            timer.start()
            try:
                while True:
                    row = rng.integers(-99, 100, (1, 64)).astype(np.int16)
                    allowed = [blob_of(head)]
                    label = int(rng.integers(4))
                    head.partial_fit(row, label)
                    allowed.append(blob_of(head))
                    device.partial_fit(row, label)
                    device.persist()
            except LinkError:
                cuts += 1
            timer.join()
    assert cuts == 4
