"""Tests that run inside the ARM roots of `.ci/arm`, on another processor than the reference."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

VARIABLE = "EDGE_IMPRINT_ARM_REFERENCE"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if VARIABLE not in os.environ:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="runs inside the emulated ARM machines: make test-arm"))


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    """What `observe.py` wrote on the machine that runs the emulator."""
    import observe

    return observe.read(Path(os.environ[VARIABLE]))


@pytest.fixture(scope="session")
def runtimes() -> list[tuple[str, str]]:
    """Format and precision of the default backbone's files that can run on this machine."""
    import platform

    import observe

    return [kind for kind in observe.KINDS if kind[0] == "tflite" or platform.machine() != "armv7l"]
