"""A camera that does not wait, with a clock that is told what time it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_imprint.profiling import camera


class Clock:
    """Time passes when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def shown(work_s: float, fps: float, frames: int) -> tuple[dict, list[int]]:
    clock, seen = Clock(), []

    def answer(number: int) -> None:
        seen.append(number)
        clock.sleep(work_s)

    return camera.run(answer, fps, frames, clock=clock, sleep=clock.sleep), seen


def test_a_fast_answer_drops_nothing():
    found, seen = shown(0.01, 30, 90)
    assert (found["answered"], found["dropped"], seen) == (90, 0, list(range(90)))
    assert found["answered_fps"] == pytest.approx(30, rel=0.02)
    assert found["latency_ms_p99"] == pytest.approx(10, abs=0.5)


def test_an_answer_of_two_and_a_half_frames_drops_most():
    found, seen = shown(2.5 / 30, 30, 90)
    assert seen[:4] == [0, 2, 5, 7]
    assert found["answered"] + found["dropped"] == 90
    assert found["answered_fps"] == pytest.approx(12, rel=0.1)


@given(work=st.floats(0, 1), fps=st.floats(1, 1000), frames=st.integers(30, 200))
def test_every_frame_is_answered_or_dropped(work, fps, frames):
    found, seen = shown(work, fps, frames)
    assert found["answered"] == len(seen)
    assert found["answered"] + found["dropped"] == frames
    assert seen == sorted(set(seen))
    assert seen[-1] == frames - 1
