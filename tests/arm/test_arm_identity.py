"""Random courses of teaching through numpy and through the C library, both on this processor: the same bytes."""

from __future__ import annotations

import pytest

from benchmarks.identity.courses import Tally, play
from edge_imprint.head import engine


@pytest.mark.parametrize(("dim", "courses"), [(6, 60), (64, 320), (256, 110), (1024, 15)])
def test_random_courses_agree(dim: int, courses: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.VARIABLE, "numpy")
    tally = Tally()
    for seed in range(courses):
        play(3_000_000 + seed, dim, 30, tally)
    assert all(tally.operations.values())
    assert tally.refused > 0
