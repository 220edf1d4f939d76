"""Profiles to read and compare, and file systems of boards that are not here."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from edge_imprint.profiling import Profile

SUPPORT = str(Path(__file__).resolve().parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)


@pytest.fixture
def profile() -> Profile:
    from profiles import made

    return made()


@pytest.fixture
def files(tmp_path):
    """Write a file system: path to text; its root."""
    numbers = itertools.count()

    def write(contents: dict[str, str]) -> Path:
        root = tmp_path / f"root{next(numbers)}"
        root.mkdir()
        for path, text in contents.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return root

    return write
