"""Profiling a device in this process: everything is measured, and nothing is left behind however it ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from device_in_process import CDevice, Line, connect

from edge_imprint.errors import UsageError
from edge_imprint_firmware.device import Device
from edge_imprint_firmware.errors import LinkError
from edge_imprint_firmware.link import Link
from edge_imprint_firmware.profile import LEAST_REPEATS, STAGES, DeviceProfile, profile_device
from edge_imprint_firmware.snapshots import blob_of

SHOTS = np.random.default_rng(8).normal(size=(9, 64))
LABELS = ["mug", "cup", "mug", 7, "cup", "mug", 7, "cup", "mug"]


def profiled(device: Device, **options: int) -> DeviceProfile:
    return profile_device(device, repeats=LEAST_REPEATS, **options)


def runs(profile: DeviceProfile) -> dict[str, tuple[int, int]]:
    return {name: (len(stage.counts), len(stage.round_trips_ns)) for name, stage in profile.stages.items()}


ALL, NONE = (LEAST_REPEATS, LEAST_REPEATS), (0, 0)


def test_a_taught_device_is_measured_and_left_as_it_was():
    device, _ = connect()
    device.partial_fit(SHOTS, LABELS)
    before, stored = blob_of(device.to_head()), device.info().store_size
    profile = profiled(device)
    assert blob_of(device.to_head()) == before
    assert profile.unchanged is True
    assert device.info().store_size == stored
    assert profile.measured.classes == 3
    taken = {"round trip": (0, LEAST_REPEATS), "save": NONE, "load": NONE, "forget": NONE}
    assert runs(profile) == {name: taken.get(name, ALL) for name in STAGES}
    # The counter of this device counts how often it is read: once more at the end of an operation.
    assert {count for stage in profile.stages.values() for count in stage.counts} == {1}
    assert all(ns > 0 for stage in profile.stages.values() for ns in stage.round_trips_ns)
    missing = {name: stage.missing for name, stage in profile.stages.items() if stage.missing}
    assert missing.keys() == {"save", "load", "forget"}
    assert "cannot be taken back" in missing["forget"]
    assert "erases flash" in missing["save"]
    assert (profile.counter_unit, profile.stack_bytes, profile.broken) == ("instructions", 400, "")
    assert profile.resources is not None
    assert (profile.resources.image_bytes, profile.resources.counter_overhead) == (44, 1)
    assert profile.resources.counter_hz is None
    assert profile.host.requests > 5 * LEAST_REPEATS
    assert profile.host.retries == 0


@pytest.mark.parametrize("taught", [True, False])
def test_a_head_with_a_second_moment_and_a_line_that_damages_bytes(taught):
    device, _ = connect(budget=65536, ridge=True)
    if taught:
        device.partial_fit(SHOTS, LABELS)
    before = blob_of(device.to_head())
    noisy, _ = connect(0.002, 1)
    for each, retries in ((device, False), (noisy, True)):
        profile = profiled(each)
        assert runs(profile)["learn"] == runs(profile)["predict after learn"] == ALL
        assert (profile.unchanged, profile.host.retries > 0) == (True, retries)
    assert blob_of(device.to_head()) == before


def test_a_device_that_knows_nothing_is_taught_and_cleared():
    device, _ = connect()
    before = blob_of(device.to_head())
    begun: list[str] = []
    profile = profile_device(device, repeats=LEAST_REPEATS, progress=begun.append)
    assert begun == list(STAGES)
    assert profile.measured.classes == 10
    assert profile.measured.shots == 50
    assert runs(profile)["forget"] == ALL
    assert profile.unchanged is True
    assert blob_of(device.to_head()) == before
    assert device.info().classes == 0


@pytest.mark.parametrize("taught", [True, False])
def test_saves_are_measured_when_asked_for_and_store_what_the_head_held(taught):
    device, line = connect()
    if taught:
        device.partial_fit(SHOTS, LABELS)
    before = blob_of(device.to_head())
    profile = profiled(device, saves=LEAST_REPEATS)
    assert runs(profile)["save"] == runs(profile)["load"] == ALL
    assert profile.unchanged is True
    assert device.info().store_erases[0] > 0
    line.device.power_cycle()
    again = Device(Link(line, 10, line.clock))
    assert blob_of(again.to_head()) == before


def test_a_device_that_can_say_little_is_measured_from_here():
    device, _ = connect(sectors=0)
    profile = profiled(device)
    assert (profile.resources, profile.counter_unit, profile.stack_bytes) == (None, None, None)
    assert runs(profile)["learn"] == runs(profile)["forget"] == (0, LEAST_REPEATS)
    assert profile.stages["save"].missing == profile.stages["load"].missing == "the device has no store"
    assert profile.unchanged is True


def test_what_cannot_be_taken_back_is_not_learnt():
    device, _ = connect(undo=0)
    assert runs(profiled(device))["learn"] == ALL
    device.partial_fit(SHOTS, LABELS)
    profile = profiled(device)
    assert runs(profile)["learn"] == runs(profile)["undo"] == NONE
    assert "keeps no journal" in profile.stages["learn"].missing
    assert runs(profile)["predict"] == ALL
    assert profile.unchanged is True


def test_scores_that_take_several_frames_have_no_count():
    device, _ = connect(dim=8, budget=16384, max_payload=96)
    device.partial_fit(np.random.default_rng(1).normal(size=(60, 8)), list(range(60)))
    scores = profiled(device).stages["scores"]
    assert (len(scores.counts), len(scores.round_trips_ns)) == (0, LEAST_REPEATS)
    assert "counts only the last" in scores.missing


class Failing(Line):
    """Something happens when the device has got the write number `at` from now on."""

    at = 1 << 30
    what: Callable[[Failing], None]

    def write(self, data: bytes, timeout_s: float) -> None:
        super().write(data, timeout_s)
        self.at -= 1
        if self.at <= 0:
            self.what(self)


def failing(taught: bool) -> tuple[Device, Failing]:
    line = Failing(CDevice())
    device = Device(Link(line, 10, line.clock))
    if taught:
        device.partial_fit(SHOTS, LABELS)
    return device, line


def unplug(line: Failing) -> None:
    raise LinkError("the port in-process broke: unplugged")


def cut_power(line: Failing) -> None:
    line.at = 1 << 30
    line.device.take()
    line.device.power_cycle()


def press_ctrl_c(line: Failing) -> None:
    line.at = 1 << 30
    raise KeyboardInterrupt


def writes(taught: bool, **options: int) -> int:
    """How often a whole profile writes to the line."""
    device, line = failing(taught)
    before = line.at
    profiled(device, **options)
    return before - line.at


@pytest.mark.parametrize("taught", [True, False])
def test_a_cable_that_is_pulled_ends_the_profile_and_loses_none_of_it(taught):
    reached = []
    for at in range(2, writes(taught), 13):
        device, line = failing(taught)
        line.at, line.what = at, unplug
        profile = profiled(device)
        assert profile.broken == "the port in-process broke: unplugged"
        assert profile.unchanged is None
        assert list(profile.stages) == list(STAGES)
        whole = [name for name, stage in profile.stages.items() if len(stage.round_trips_ns) == LEAST_REPEATS]
        assert all(stage.missing for name, stage in profile.stages.items() if name not in whole)
        reached.append(len(whole))
    assert reached == sorted(reached)
    assert {0, 1, 2, 3, 6} <= set(reached)


def test_a_device_that_restarts_is_named():
    device, line = failing(taught=True)
    line.at, line.what = 200, cut_power
    profile = profiled(device)
    assert "the device was restarted" in profile.broken
    assert runs(profile)["round trip"] == (0, LEAST_REPEATS)
    assert profile.stages["undo"].missing == profile.broken


@pytest.mark.parametrize("taught", [True, False])
def test_ctrl_c_at_any_moment_leaves_the_head_as_it_was(taught):
    for at in range(3, writes(taught, saves=LEAST_REPEATS) - 4, 13):
        device, line = failing(taught)
        before = blob_of(device.to_head())
        line.at, line.what = at, press_ctrl_c
        with pytest.raises(KeyboardInterrupt):
            profiled(device, saves=LEAST_REPEATS)
        assert blob_of(device.to_head()) == before, at


def test_too_short_a_run_is_refused_before_anything_is_sent():
    device, line = connect()
    sent = line.bytes
    for options in ({"repeats": 19}, {"saves": 1}, {"warmups": -1}):
        with pytest.raises(UsageError):
            profile_device(device, **options)
    with pytest.raises(UsageError, match=r"at least 20 runs; got 19 repeats\. Give 20 or more"):
        profile_device(device, repeats=19)
    assert line.bytes == sent
