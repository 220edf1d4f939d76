"""Profiling emulated boards: bytes are those of the program, and counts are instructions or there are none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.firmware import program
from edge_imprint_firmware import Device, boards, build, emulator
from edge_imprint_firmware.options import STACK_BYTES, HeadOptions
from edge_imprint_firmware.profile import LEAST_REPEATS, profile_device

pytestmark = pytest.mark.skipif(bool(program.missing_tools()), reason=f"no boards here: {program.missing_tools()}")

BUDGET = 8192


@pytest.mark.parametrize("name", ["mps2-an386", "microbit"])
def test_a_board_counts_instructions_and_knows_its_program(name: str, tmp_path: Path) -> None:
    options = HeadOptions(64, BUDGET)
    file = build.program(boards.find(name), options)
    with Device.emulate(name, 64, BUDGET) as device:
        profile = profile_device(device, repeats=LEAST_REPEATS, saves=LEAST_REPEATS)
    assert profile.unchanged is True
    assert profile.counter_unit == "instructions"
    medians = {stage: np.median(found.counts) for stage, found in profile.stages.items() if found.counts}
    assert medians.keys() == profile.stages.keys() - {"round trip"}
    assert medians["undo"] < medians["predict"] < medians["learn"] < medians["save"]
    assert profile.stack_bytes is not None
    assert 0 < profile.stack_bytes < 1024

    image = tmp_path / "image"
    sizes = subprocess.run(["arm-none-eabi-size", file], capture_output=True, text=True, check=True)
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", file, image], check=True)
    _, data, bss = map(int, sizes.stdout.splitlines()[1].split()[:3])
    known = profile.resources
    assert known is not None
    assert known.image_bytes == image.stat().st_size
    assert known.stack_room == STACK_BYTES
    # `size` takes the stack for a variable, and leaves out what aligns the start of another section.
    assert known.variables_bytes is not None
    assert 0 <= known.variables_bytes - (data + bss - STACK_BYTES) < 8
    assert known.arena_bytes == options.arena_bytes
    assert known.counter_hz is None
    assert 0 < known.counter_overhead < medians["undo"]


def test_a_board_whose_emulator_says_nothing_of_instructions_counts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def without_shift(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        at = command.index("-icount")
        plain = [*command[:at], *command[at + 2 :]]
        return start([word.removesuffix(f",arg=shift={emulator.INSTRUCTION_SHIFT}") for word in plain], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(emulator.subprocess, "Popen", without_shift)
    with Device.emulate("mps2-an386", 64, BUDGET) as device:
        profile = profile_device(device, repeats=LEAST_REPEATS)
    assert profile.counter_unit is None
    assert not any(stage.counts for stage in profile.stages.values())
    assert len(profile.stages["predict"].round_trips_ns) == LEAST_REPEATS
    assert profile.unchanged is True
