"""A device or a host that restarts in the middle of a shot: it is learnt once or not at all, and nobody is misled."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from device_in_process import CDevice, Line

from edge_imprint_firmware.device import Device
from edge_imprint_firmware.errors import DeviceRestartedError, LinkError
from edge_imprint_firmware.link import Link
from edge_imprint_firmware.protocol import Command

SHOTS = np.random.default_rng(4).normal(size=(4, 64))


def is_learn(frame: bytes) -> bool:
    """A frame is 0, COBS, 0, and its command the second byte of COBS."""
    return frame.lstrip(b"\0")[1] == Command.LEARN


class RestartsAfterLearning(Line):
    """The device learns and loses its power before the reply is out."""

    due = False

    def write(self, data: bytes, timeout_s: float) -> None:
        super().write(data, timeout_s)
        if self.due and is_learn(data):
            self.due = False
            self.device.take()
            self.device.power_cycle()


def test_power_that_fails_between_learn_and_its_reply():
    """A device forgets its session with its power: the repeated learn is refused, not done on the stored head."""
    line = RestartsAfterLearning(CDevice())
    device = Device(Link(line, 10, line.clock))
    device.partial_fit(SHOTS[:2], "mug")
    device.persist()
    line.due = True
    with pytest.raises(DeviceRestartedError, match="the device was restarted, and what it had not stored is gone"):
        device.partial_fit(SHOTS[2:], "mug")
    assert not line.due, "the power was never cut"
    again = Device(Link(line, 10, line.clock))
    assert again.shots_per_class() == {"mug": 2}
    again.partial_fit(SHOTS[2:], "mug")
    assert again.shots_per_class() == {"mug": 4}


class HostKilled(Line):
    """The host dies before its write number `left`."""

    left = 1 << 30
    learns = 0

    def write(self, data: bytes, timeout_s: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise LinkError("killed")
        self.learns += is_learn(data)
        super().write(data, timeout_s)


@pytest.mark.parametrize("left", range(5))
def test_a_host_that_is_killed_within_a_shot(left):
    """Before `learn` was sent nothing is learnt, after it once; what was staged for the dead host is not learnt."""
    line = HostKilled(CDevice())
    device = Device(Link(line, 10, line.clock))
    device.partial_fit(SHOTS[:1], "mug")
    line.left = left
    line.learns = 0
    with contextlib.suppress(LinkError):
        device.partial_fit(SHOTS[1:2], "mug")
    line.left = 1 << 30
    again = Device(Link(line, 10, line.clock))
    learnt = 1 + line.learns
    assert learnt == (1 if left < 2 else 2), "two frames, one to stage and one to learn"
    assert again.shots_per_class() == {"mug": learnt}
    again.partial_fit(SHOTS[2:], "mug")
    assert again.shots_per_class() == {"mug": learnt + 2}
