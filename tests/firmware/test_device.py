"""`Device` does over the line what `ImprintHead` does at home, with the C device in this process."""

from __future__ import annotations

import numpy as np
import pytest
from device_in_process import connect

from edge_imprint import ImprintHead
from edge_imprint.errors import (
    BackboneMismatchError,
    CapacityError,
    LabelError,
    NotTaughtError,
    ShapeError,
    SnapshotCorruptError,
    StorageError,
    UnknownLabelError,
    ValueRangeError,
)
from edge_imprint_firmware.device import Device
from edge_imprint_firmware.errors import DeviceError, DeviceRestartedError
from edge_imprint_firmware.snapshots import blob_of

LABELS = ["mug", "plate", 7, "Löffel", -12]


def shots(count: int, dim: int = 64, seed: int = 0) -> tuple[np.ndarray, list[str | int]]:
    numbers = np.random.default_rng(seed)
    which = numbers.integers(0, len(LABELS), count)
    centres = np.random.default_rng(1).normal(size=(len(LABELS), dim))
    x = centres[which] + numbers.normal(size=(count, dim))
    return x.astype(np.float32), [LABELS[i] for i in which]


def pair(count: int = 40, dim: int = 64, **options: int) -> tuple[ImprintHead, Device]:
    """A head and a device that were taught the same."""
    device, _ = connect(dim=dim, **options)
    head = ImprintHead(dim, options.get("budget", 8192), max_proxies=options.get("max_proxies", 8))
    if count:
        x, y = shots(count, dim)
        head.partial_fit(x, y)
        assert device.partial_fit(x, y) is device
    return head, device


def same(head: ImprintHead, device: Device) -> bool:
    return blob_of(device.to_head()) == blob_of(head)


@pytest.mark.parametrize(
    ("dim", "budget", "max_payload"), [(64, 8192, 256), (64, 8192, 96), (3, 2048, 256), (1024, 40000, 1024)]
)
def test_the_same_shots_give_the_same_bytes_and_answers(dim, budget, max_payload, tmp_path):
    head, device = pair(60, dim, budget=budget, max_payload=max_payload, sectors=16)
    head.save(tmp_path / "head.eimp")
    device.save(tmp_path / "device.eimp")
    assert (tmp_path / "device.eimp").read_bytes() == (tmp_path / "head.eimp").read_bytes()
    x, _ = shots(20, dim, seed=9)
    assert device.predict(x).tolist() == head.predict(x).tolist()
    assert device.predict(x, reject=True).tolist() == head.predict(x, reject=True).tolist()
    assert device.verdicts(x).tolist() == head.verdicts(x).tolist()
    # The device rounds a cosine to 2^-23; float32 does so below 1.
    np.testing.assert_allclose(device.decision_function(x), head.decision_function(x), atol=2.0**-23)
    assert device.classes_.tolist() == head.classes_.tolist()
    assert device.shots_per_class() == head.shots_per_class()
    assert device.proxies_per_class() == head.proxies_per_class()
    limits, expected = device.thresholds(), head.thresholds()
    np.testing.assert_allclose(limits, expected, atol=2.0**-22)
    for name in ("dim", "budget", "nbytes", "max_proxies", "shrinkage", "false_accept_rate", "backbone"):
        assert getattr(device, name) == getattr(head, name), name


def test_labels_come_back_with_their_types():
    head, device = pair(40)
    assert [type(label) for label in device.classes_] == [type(label) for label in head.classes_]
    x, _ = shots(5)
    assert [type(label) for label in device.predict(x)] == [type(label) for label in head.predict(x)]
    only_numbers, _ = connect()
    only_numbers.partial_fit(np.eye(64)[:2], [1, 2])
    assert only_numbers.classes_.dtype == np.int64


def test_forget_undo_and_clear():
    head, device = pair()
    head.undo()
    device.undo()
    assert same(head, device)
    head.forget("mug")
    device.forget("mug")
    assert same(head, device)
    assert device.classes_.tolist() == head.classes_.tolist()
    with pytest.raises(NotTaughtError, match=r"in-process refused to undo: undo takes back one shot.*-7, no_undo"):
        device.undo()
    with pytest.raises(UnknownLabelError, match=r"in-process refused to forget 'mug'.*-5, unknown_label"):
        device.forget("mug")
    assert same(head, device)
    device.clear()
    assert device.classes_.tolist() == []
    assert same(ImprintHead(64, 8192, max_proxies=8), device)


def test_many_classes_and_scores_take_many_frames():
    device, _ = connect(budget=65536, max_payload=96)
    head = ImprintHead(64, 65536, max_proxies=8)
    x = np.random.default_rng(2).normal(size=(200, 64)).astype(np.float32)
    names = [f"class number {i} of a long name" for i in range(200)]
    head.partial_fit(x, names)
    device.partial_fit(x, names)
    assert device.classes_.tolist() == names
    assert device.shots_per_class() == dict.fromkeys(names, 1)
    np.testing.assert_allclose(device.decision_function(x[:3]), head.decision_function(x[:3]), atol=2.0**-23)


@pytest.mark.parametrize(
    ("x", "y", "error"),
    [
        (np.ones(64), "mug", ShapeError),
        (np.ones((2, 63)), "mug", ShapeError),
        (np.ones((0, 64)), "mug", ShapeError),
        ([[np.nan] * 64], "mug", ValueRangeError),
        (np.vstack([np.ones(64), np.zeros(64)]), "mug", ValueRangeError),
        (np.ones((2, 64)), ["mug"], LabelError),
        (np.ones((2, 64)), ["mug", "x" * 32], LabelError),
        (np.ones((2, 64)), ["mug", 1.5], LabelError),
        (np.ones((40, 64)), list(range(40)), CapacityError),
    ],
)
def test_a_bad_batch_is_refused_whole_before_anything_is_sent(x, y, error):
    head, device = pair(5)
    with pytest.raises(error):
        device.partial_fit(x, y)
    assert same(head, device)
    if error in (ShapeError, ValueRangeError):
        for ask in (device.predict, device.decision_function, device.verdicts):
            with pytest.raises(error):
                ask(x)


def test_a_full_arena_refuses_a_class_as_the_head_does():
    head, device = pair(0, budget=1024, max_proxies=2)
    names = list(range(device.info().max_classes))
    x = np.eye(64)[: len(names)]
    head.partial_fit(x, names)
    device.partial_fit(x, names)
    with pytest.raises(CapacityError, match=f"holds {len(names)} classes"):
        device.partial_fit(np.ones((1, 64)), "one too many")
    assert same(head, device)


def test_before_anything_is_taught():
    _, device = pair(0)
    for ask in (device.predict, device.decision_function, device.verdicts):
        with pytest.raises(NotTaughtError):
            ask(np.ones((1, 64)))
    assert device.thresholds() is None
    with pytest.raises(NotTaughtError):
        device.undo()


def test_false_accept_rate_and_backbone_are_the_devices():
    head, device = pair(40, backbone_bytes=500)
    head.false_accept_rate = device.false_accept_rate = 0.2
    assert device.false_accept_rate == 0.2
    with pytest.raises(ValueRangeError, match=r"0\.001 to 0\.5"):
        device.false_accept_rate = 0.7
    name = "d" * 64 + ' {"source": "Küche"}' + "x" * 400
    head.backbone = device.backbone = name
    assert device.backbone == name
    assert same(head, device)
    with pytest.raises(CapacityError, match="500 bytes; got 501"):
        device.backbone = "x" * 501
    with pytest.raises(ValueRangeError, match="UTF-8"):
        device.backbone = "\ud800"
    x, y = shots(3, seed=3)
    head.partial_fit(x, y)
    device.partial_fit(x, y)  # the stage held a name in between
    assert same(head, device)
    head.backbone = device.backbone = None
    assert device.backbone is None
    assert same(head, device)


def test_a_snapshot_is_written_to_the_device_and_adopted(tmp_path):
    head = ImprintHead(64, 4096, max_proxies=5, shrinkage=9, false_accept_rate=0.1).partial_fit(*shots(30, seed=5))
    head.backbone = "a backbone"
    head.save(tmp_path / "kitchen.eimp")
    _, device = pair(backbone_bytes=64)
    seen: list[tuple[int, int]] = []
    device.load(tmp_path / "kitchen.eimp", progress=lambda done, whole: seen.append((done, whole)))
    assert same(head, device)
    assert seen[-1][0] == seen[-1][1] == (tmp_path / "kitchen.eimp").stat().st_size
    assert (device.budget, device.max_proxies, device.shrinkage) == (4096, 5, 9)
    assert device.classes_.tolist() == head.classes_.tolist()
    assert device.info().store_size == seen[-1][1]
    x, y = shots(10, seed=6)
    head.partial_fit(x, y)
    device.partial_fit(x, y)
    assert same(head, device)


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (ImprintHead(65, 4096), ShapeError),
        (ImprintHead(64, 8193, max_proxies=8), CapacityError),
        (ImprintHead(64, 8192, max_proxies=9), CapacityError),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused_before_anything_is_erased(made, error, tmp_path):
    made.save(tmp_path / "other.eimp")
    head, device = pair()
    device.persist()
    before = device.info()
    with pytest.raises(error, match="refused to take a snapshot"):
        device.load(tmp_path / "other.eimp")
    assert device.info() == before
    device.clear()
    device.restore()
    assert same(head, device)


def test_a_snapshot_larger_than_the_flash_is_refused_before_anything_is_erased(tmp_path):
    big = ImprintHead(64, 8192, max_proxies=8).partial_fit(*shots(80))
    big.save(tmp_path / "big.eimp")
    head, device = pair(4, sectors=1)
    device.persist()
    erases = device.info().store_erases
    with pytest.raises(CapacityError):
        device.load(tmp_path / "big.eimp")
    assert device.info().store_erases == erases
    assert same(head, device)


def test_a_damaged_file_is_not_sent(tmp_path):
    head, device = pair()
    head.save(tmp_path / "a.eimp")
    blob = bytearray((tmp_path / "a.eimp").read_bytes())
    blob[500] ^= 1
    (tmp_path / "a.eimp").write_bytes(blob)
    with pytest.raises(SnapshotCorruptError, match=r"a\.eimp"):
        device.load(tmp_path / "a.eimp")
    with pytest.raises(StorageError):
        device.load(tmp_path / "missing.eimp")
    assert same(head, device)


def test_merge_takes_a_head_a_file_or_another_device(tmp_path):
    x, y = shots(20, seed=7)
    other = ImprintHead(64, 8192, max_proxies=8).partial_fit(x, y)
    other.save(tmp_path / "other.eimp")
    twin, _ = connect()
    twin.partial_fit(x, y)
    for source in (other, tmp_path / "other.eimp", str(tmp_path / "other.eimp"), twin):
        head, device = pair()
        assert device.merge(source) is device
        assert same(head.merge(other), device)
    with pytest.raises(ShapeError):
        device.merge(ImprintHead(8))
    one, device = pair(backbone_bytes=10)
    device.backbone, one.backbone = "a", "b"
    with pytest.raises(BackboneMismatchError):
        device.merge(one)


def test_what_is_persisted_comes_back_after_a_power_cut():
    head, device = pair()
    device.persist()
    x, y = shots(5, seed=8)
    device.partial_fit(x, y)
    device.reset()
    assert same(head, device)
    device.partial_fit(x, y)
    device.restore()
    assert same(head, device)
    assert sum(device.info().store_erases) > 0


def test_a_restart_behind_the_hosts_back_is_an_error():
    device, line = connect()
    device.partial_fit(*shots(3))
    line.device.power_cycle()
    with pytest.raises(DeviceRestartedError, match="in-process refused to take an embedding: the device was restarted"):
        device.predict(np.ones((1, 64)))


def test_flash_that_fails_is_an_error_and_the_head_stays():
    device, line = connect()
    x, y = shots(5)
    device.partial_fit(x, y)
    line.device.break_flash(True)
    with pytest.raises(StorageError, match="refused to save into its flash"):
        device.persist()
    assert same(ImprintHead(64, 8192, max_proxies=8).partial_fit(x, y), device)


def test_a_device_without_a_store_says_so(tmp_path):
    head, device = pair(sectors=0)
    head.save(tmp_path / "a.eimp")
    with pytest.raises(DeviceError, match="in-process has none"):
        device.load(tmp_path / "a.eimp")
    with pytest.raises(DeviceError, match="does not know that command"):
        device.persist()
    assert same(head, device)
    stats = device.stats()
    assert (stats.uptime_s, stats.stack_bytes, stats.counter_unit) == (None, None, None)
    assert device.info().capabilities == ()


def test_stats_count_what_was_done():
    _, device = pair(6)
    device.predict(np.ones((2, 64)))
    stats = device.stats()
    assert stats.operations["learn"].calls == 6
    assert stats.operations["predict"].calls == 2
    assert stats.counter_unit == "instructions"
    assert stats.stack_bytes == 400
    assert stats.host.retries == stats.damaged_frames == stats.repeated_requests == 0
    assert device.info().capabilities == ("store", "counter", "stack", "clock", "reboot", "resources")
