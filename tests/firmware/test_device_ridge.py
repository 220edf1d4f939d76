"""A device whose head has a second moment says what Python says: the C library in this process, over a line."""

from __future__ import annotations

import numpy as np
import pytest
from device_in_process import CDevice, connect, teach

from benchmarks.identity.c_head import CHead
from edge_imprint import ImprintHead
from edge_imprint.errors import BudgetError, CapacityError, NotTaughtError, UsageError
from edge_imprint.head.ridge.layout import fixed_bytes
from edge_imprint_firmware import sizes
from edge_imprint_firmware.options import HeadOptions
from edge_imprint_firmware.snapshots import blob_of

DIM = 20
BUDGET = fixed_bytes(DIM) + 6000


def heads(dim: int = DIM, budget: int = BUDGET, **options):
    device, line = connect(dim=dim, budget=budget, ridge=True, **options)
    return device, line, ImprintHead(dim, budget, method="ridge", max_proxies=8)


def ask(device, head, x) -> None:
    """Every question; the answers are equal, floats bit for bit."""
    assert device.predict(x).tolist() == head.predict(x).tolist()
    assert device.predict(x, reject=True).tolist() == head.predict(x, reject=True).tolist()
    assert device.verdicts(x).tolist() == head.verdicts(x).tolist()
    np.testing.assert_array_equal(device.known_score(x), head.known_score(x))
    np.testing.assert_array_equal(device.confidence(x), head.confidence(x))
    np.testing.assert_array_equal(device.decision_function(x), head.decision_function(x))
    assert device.thresholds() == head.thresholds()


@pytest.mark.parametrize(("seed", "dim"), [(1, 1), (2, 7), (3, 20), (4, 33)])
def test_a_course_gives_the_answers_and_the_bytes_of_python(seed, dim):
    device, _, head = heads(dim, fixed_bytes(dim) + 3000 + 100 * dim)
    assert device.method == head.method == "ridge"
    x = np.random.default_rng(seed).normal(size=(6, dim)).astype(np.float32)
    for part in range(4):
        assert teach(device, 10 * seed + part, 30) == teach(head, 10 * seed + part, 30)
        assert blob_of(device.to_head()) == blob_of(head)
        assert (device.nbytes, device.budget) == (head.nbytes, head.budget)
        assert device.shots_per_class() == head.shots_per_class()
        if len(head.classes_):
            ask(device, head, x)


def test_a_bad_line_changes_nothing():
    device, line, head = heads()
    line.faults = 0.002
    assert teach(device, 9, 60) == teach(head, 9, 60)
    assert line.damaged_bytes > 20
    line.faults = 0.0
    assert blob_of(device.to_head()) == blob_of(head)


def test_what_is_stored_comes_back_after_a_power_cut():
    device, line, head = heads(backbone_bytes=64, sectors=4)
    teach(device, 5, 40)
    teach(head, 5, 40)
    device.backbone = head.backbone = "digest {}"
    device.persist()
    stored = blob_of(head)
    device.partial_fit(np.ones((1, DIM), np.float32), "lost")
    line.device.power_cycle()
    device._link.hello()
    device._known_labels = None
    head = device.to_head()
    assert blob_of(head) == stored
    teach(device, 6, 30)
    teach(head, 6, 30)
    assert blob_of(device.to_head()) == blob_of(head)
    device.clear()
    empty = heads()[2]
    empty.backbone, empty.false_accept_rate = "digest {}", head.false_accept_rate
    assert blob_of(device.to_head()) == blob_of(empty)


def test_a_snapshot_of_python_is_taken_and_given_back(tmp_path):
    rng = np.random.default_rng(3)
    for budget, undo in ((BUDGET, False), (BUDGET, True), (fixed_bytes(DIM) + 1500, None)):
        device, _, _ = heads(backbone_bytes=64)
        head = ImprintHead(DIM, budget, method="ridge", max_proxies=8, undo=undo)
        head.partial_fit(rng.normal(size=(25, DIM)), [f"c{i % 4}" for i in range(25)])
        head.save(tmp_path / "head.eimp", backbone="digest {}")
        device.load(tmp_path / "head.eimp")
        device.save(tmp_path / "back.eimp")
        assert (tmp_path / "back.eimp").read_bytes() == (tmp_path / "head.eimp").read_bytes()
        loaded = ImprintHead.load(tmp_path / "head.eimp")
        ask(device, loaded, rng.normal(size=(5, DIM)).astype(np.float32))
        assert (device.budget, device.nbytes) == (loaded.budget, loaded.nbytes)


def test_heads_are_merged_on_the_host():
    device, _, _ = heads()
    teach(device, 1, 30)
    other = ImprintHead(DIM, BUDGET, method="ridge").partial_fit(np.eye(DIM)[:6], list("abcabc"))
    expected = device.to_head().merge(other)
    device.merge(other)
    assert blob_of(device.to_head()) == blob_of(expected)


def test_what_does_not_fit_is_refused_before_anything_is_erased(tmp_path):
    device, _, _ = heads()
    teach(device, 2, 20)
    before = blob_of(device.to_head())
    x, labels = np.random.default_rng(0).normal(size=(8, DIM)), list("aabbccdd")
    ImprintHead(DIM, BUDGET + 4, method="ridge", max_proxies=8).partial_fit(x, labels).save(tmp_path / "large.eimp")
    with pytest.raises(CapacityError):
        device.load(tmp_path / "large.eimp")
    ImprintHead(DIM, BUDGET, max_proxies=8).partial_fit(x, labels).save(tmp_path / "proxies.eimp")
    with pytest.raises(UsageError, match='method "ridge"; this one has "proxies"'):
        device.load(tmp_path / "proxies.eimp")
    assert blob_of(device.to_head()) == before


def test_errors_are_those_of_python():
    device, _, head = heads()
    for learner in (device, head):
        with pytest.raises(NotTaughtError):
            learner.predict(np.ones((1, DIM)))
        with pytest.raises(NotTaughtError):
            learner.confidence(np.ones((1, DIM)))
        with pytest.raises(NotTaughtError):
            learner.undo()
    plain, _ = connect(dim=8)
    plain.partial_fit(np.eye(8), list("abcdefgh"))
    assert plain.method == "proxies"
    with pytest.raises(UsageError, match="confidence needs the second moment"):
        plain.confidence(np.eye(8))
    too_small = fixed_bytes(DIM) + 100
    with pytest.raises(BudgetError):
        HeadOptions(DIM, too_small, method="ridge")
    with pytest.raises(AssertionError, match="no head can have that config"):
        CDevice(DIM, too_small, ridge=True)


def test_sizes_say_what_an_arena_and_a_snapshot_take():
    for dim, more, undo in ((1, 400, None), (20, 900, False), (20, 3000, True), (64, 5000, None), (100, 50_000, None)):
        options = HeadOptions(dim, fixed_bytes(dim) + more, undo=undo, method="ridge", backbone_bytes=40)
        told = CHead(dim, options.budget, undo=2 if undo is None else int(undo), method="ridge", room=40).arena_bytes
        assert told <= options.arena_bytes <= told + 400
        assert options.arena_bytes > options.budget
        layout = options.layout
        head = ImprintHead(dim, options.budget, method="ridge", undo=undo)
        rows = np.random.default_rng(dim).normal(size=(600, dim))
        head.partial_fit(rows, [f"c{i % layout.max_classes}" for i in range(600)])
        head.backbone = "x" * 40
        assert len(blob_of(head)) <= options.snapshot_bytes == sizes.snapshot_bytes(layout, 40)
