"""The benchmarks are not installed: they are found next to the tests, which use `tests/support`."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
for folder in (str(TESTS / "support"), str(TESTS.parent)):
    if folder not in sys.path:
        sys.path.insert(0, folder)
