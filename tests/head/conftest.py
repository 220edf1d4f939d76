"""One contract for both: every test of the head runs on the numpy reference and on the C library.

They use `tests/support/heads.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_imprint.head import engine

SUPPORT = str(Path(__file__).resolve().parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)


@pytest.fixture(scope="module", params=["numpy", "native"], autouse=True)
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """What computes in this module's tests."""
    if request.param == "native" and not engine.native_is_there():
        pytest.skip("the C library was not built: apt install gcc python3-dev, then pip install -e .")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(engine.VARIABLE, request.param)
        yield request.param
