"""`atomic.scratch_folder`: an interrupt at any moment leaves nothing."""

from __future__ import annotations

import gc
import signal
import time

import pytest

from edge_imprint.atomic import scratch_folder


def use(parent):
    with scratch_folder(parent, ".work.") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "deeper").mkdir()


@pytest.fixture
def alarm():
    """A clock that presses Ctrl-C."""

    def press(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, press)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# What the interrupted rmtree of the standard library leaves open is closed when it is collected.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*ScandirIterator:pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_any_moment_leaves_nothing(tmp_path, alarm):
    began = time.perf_counter()
    for _ in range(20):
        use(tmp_path)
    usual_s = (time.perf_counter() - began) / 20
    interrupts = 0
    for moment in range(1, 1001):
        try:
            alarm(usual_s * moment / 500)
            use(tmp_path)
            alarm(0)
        except KeyboardInterrupt:
            interrupts += 1
        gc.collect(0)  # a block that was not reached is closed when its generator goes
        assert list(tmp_path.iterdir()) == [], moment
    assert interrupts > 100


def test_the_folder_is_private_and_gone_after_an_error(tmp_path):
    def fail():
        with scratch_folder(tmp_path) as folder:
            assert folder.parent == tmp_path
            assert folder.stat().st_mode & 0o777 == 0o700
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
