"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real pictures and backbones; skips where it is missing."""
    folder = Path(os.environ.get("EDGE_IMPRINT_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"real pictures not found in {folder}; set EDGE_IMPRINT_DATA to the folder that holds them")
    return folder
