"""The machine is the one that was asked for, with the packages that pip would choose there."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from edge_imprint import ImprintHead

# What `_native` must choose on each board's processor.
KERNELS = {"raspberry-pi-4": "neon", "raspberry-pi-5": "neon dotprod", "raspberry-pi-2": "arm dsp"}
MACHINES = {"raspberry-pi-4": "aarch64", "raspberry-pi-5": "aarch64", "raspberry-pi-2": "armv7l"}


@pytest.fixture
def board() -> str:
    return os.environ["EDGE_IMPRINT_ARM_BOARD"]


def test_processor_of_the_board(board: str) -> None:
    assert platform.machine() == MACHINES[board]
    assert "x86" not in Path("/proc/cpuinfo").read_text()


def test_everything_that_an_installation_needs_here_is_there() -> None:
    """The markers of pyproject.toml choose for this machine, not for the one that built the wheel."""
    extras = ("", "tflite") if platform.machine() == "armv7l" else ("", "onnx", "tflite")
    wanted = [Requirement(line) for line in importlib.metadata.requires("edge-imprint") or []]
    needed = [need for need in wanted if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras)]
    names = {need.name.lower() for need in needed}
    assert {"numpy", "pillow", "typer", "rich"} < names
    assert ("tflite-runtime" if platform.machine() == "armv7l" else "ai-edge-litert") in names
    for need in needed:
        assert need.specifier.contains(importlib.metadata.version(need.name), prereleases=True), str(need)


def test_the_head_computes_with_what_was_asked_for() -> None:
    assert ImprintHead(8, "4KB")._engine.name == os.environ["EDGE_IMPRINT_KERNELS"]


@pytest.mark.parametrize(("count", "dim"), [(2, 1), (7, 63), (33, 64), (500, 256), (19, 1023), (41, 1280), (3, 4095)])
def test_the_kernel_of_this_processor_is_exact(board: str, count: int, dim: int) -> None:
    from edge_imprint.head import _native

    assert _native.kernels() == KERNELS[board]
    rng = np.random.default_rng(dim)
    stride = -(-dim // 4) * 4
    rows = rng.integers(-128, 128, (count, stride), dtype=np.int8)
    vector = rng.integers(-128, 128, dim, dtype=np.int8)
    rows[0], vector[: dim // 2] = -128, -128
    out = np.empty(count, np.int32)
    _native.dots(rows[:, :dim], vector, out)
    np.testing.assert_array_equal(out, rows[:, :dim].astype(np.int64) @ vector.astype(np.int64))
