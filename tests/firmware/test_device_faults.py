"""A line that loses, doubles and flips bytes changes nothing but the time that things take."""

from __future__ import annotations

import numpy as np
import pytest
from device_in_process import CDevice, Line, connect, teach

from edge_imprint import ImprintHead
from edge_imprint_firmware.device import Device
from edge_imprint_firmware.errors import LinkError, LinkTimeoutError
from edge_imprint_firmware.link import Link
from edge_imprint_firmware.protocol import Command
from edge_imprint_firmware.snapshots import blob_of, read_snapshot

COMMANDS = 1000


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_commands_at_one_percent_end_as_on_a_perfect_line(seed):
    head = ImprintHead(64, 8192, max_proxies=8)
    device, line = connect(faults=0.01, seed=seed)
    assert teach(device, seed, COMMANDS) == teach(head, seed, COMMANDS)
    # Read over the faulty line as well.
    assert read_snapshot(device._link) == blob_of(head)
    stats = device.stats()
    assert line.damaged_bytes > COMMANDS, "the line was not faulty"
    assert stats.damaged_frames > COMMANDS / 2
    assert stats.repeated_requests > COMMANDS / 20, "no command came twice: nothing was shown"
    assert stats.host.retries < 8 * COMMANDS


def test_on_a_perfect_line_nothing_is_sent_twice():
    device, _ = connect()
    teach(device, 0, 200)
    stats = device.stats()
    assert (stats.host.retries, stats.damaged_frames, stats.repeated_requests) == (0, 0, 0)


@pytest.mark.parametrize("faults", [0.002, 0.03])
def test_other_lines(faults):
    head = ImprintHead(64, 8192, max_proxies=8)
    device, _ = connect(faults=faults, seed=5, timeout_s=60)
    assert teach(device, 5, 150) == teach(head, 5, 150)
    assert read_snapshot(device._link) == blob_of(head)


def test_snapshots_cross_a_faulty_line_both_ways(tmp_path):
    head = ImprintHead(256, 20000, max_proxies=8)
    head.partial_fit(np.random.default_rng(1).normal(size=(60, 256)), [i % 7 for i in range(60)])
    head.backbone = "what made them"
    head.save(tmp_path / "a.eimp")
    device, line = connect(faults=0.01, seed=6, dim=256, budget=20000, backbone_bytes=64, sectors=6)
    device.load(tmp_path / "a.eimp")
    device.save(tmp_path / "b.eimp")
    assert (tmp_path / "b.eimp").read_bytes() == (tmp_path / "a.eimp").read_bytes()
    assert line.damaged_bytes > 200
    assert device.backbone == head.backbone


class Cut(Line):
    """A line that is unplugged after so many bytes, and may be plugged in again."""

    bytes_left = 1 << 60

    def write(self, data: bytes, timeout_s: float) -> None:
        if self.bytes_left < len(data):
            raise LinkError("unplugged")
        self.bytes_left -= len(data)
        super().write(data, timeout_s)


def test_a_snapshot_that_was_interrupted_goes_on_where_it_ended(tmp_path):
    head = ImprintHead(64, 8192, max_proxies=8)
    head.partial_fit(np.random.default_rng(1).normal(size=(60, 64)), [i % 7 for i in range(60)])
    head.save(tmp_path / "a.eimp")
    size = (tmp_path / "a.eimp").stat().st_size
    line = Cut(CDevice())
    first = Device(Link(line, 10, line.clock))
    line.bytes_left = size // 2
    with pytest.raises(LinkError, match="unplugged"):
        first.load(tmp_path / "a.eimp")
    # Another session, as after a restart of the host.
    line.bytes_left, line.bytes = 1 << 60, 0
    second = Device(Link(line, 10, line.clock))
    seen: list[int] = []
    second.load(tmp_path / "a.eimp", progress=lambda done, _: seen.append(done))
    assert seen[0] > size // 3
    assert blob_of(second.to_head()) == blob_of(head)


def test_a_piece_shrinks_on_a_bad_line_and_grows_on_a_good_one():
    device, line = connect(faults=0.01, seed=7, dim=1024, budget=20000, max_payload=1024)
    sizes: list[int] = []
    whole = device._link._next

    def watched(command: Command, payload: bytes):  # type: ignore[no-untyped-def]
        if command == Command.STAGE:
            sizes.append(len(payload) - 2)
        return whole(command, payload)

    device._link._next = watched  # type: ignore[method-assign]
    x = np.random.default_rng(2).normal(size=(6, 1024))
    device.partial_fit(x[:5], "mug")
    assert 10 < np.median(sizes) < 150
    line.faults = 0.0
    sizes.clear()
    device.partial_fit(x[5:], "mug")
    assert max(sizes) > 500


def test_an_error_in_a_batch_says_how_many_shots_were_learnt():
    line = Cut(CDevice())
    device = Device(Link(line, 10, line.clock))
    x = np.random.default_rng(2).normal(size=(20, 64))
    device.partial_fit(x[:1], "mug")
    line.bytes_left = 1000
    with pytest.raises(LinkError, match=r"unplugged\. Of this call's 20 shots, (\d+) were learnt before") as caught:
        device.partial_fit(x, "mug")
    learnt = int(str(caught.value).split("shots, ")[1].split()[0])
    assert 0 < learnt < 20
    line.bytes_left = 1 << 60
    assert device.shots_per_class() == {"mug": 1 + learnt}


def test_a_line_on_which_nothing_arrives_is_given_up_in_time():
    device, line = connect(timeout_s=7)
    line.faults = 1.0
    begun = line.now_s
    with pytest.raises(LinkTimeoutError, match="in-process must answer within 7 s"):
        device.undo()
    assert 7 <= line.now_s - begun < 8
    begun = line.now_s
    with pytest.raises(LinkTimeoutError, match="in-process must answer within 7 s"):
        device.partial_fit(np.ones((1, 64)), "mug")
    assert 7 <= line.now_s - begun < 8


def test_after_a_silence_the_same_session_goes_on():
    device, line = connect(timeout_s=2)
    x = np.random.default_rng(3).normal(size=(4, 64))
    device.partial_fit(x[:2], "mug")
    line.faults = 1.0
    with pytest.raises(LinkTimeoutError):
        device.partial_fit(x[2:3], "mug")
    line.faults = 0.0
    device.partial_fit(x[3:], "mug")
    assert device.shots_per_class() == {"mug": 3}
