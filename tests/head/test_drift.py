"""Drift: an alarm for what moves all pictures alike, none for streams that are only one-sided."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edge_imprint.errors import NotTaughtError, ShapeError, ValueRangeError
from edge_imprint.head.drift import BUCKETS, LEAST_PICTURES, DriftMonitor
from edge_imprint.head.drift_report import Drift

DIM, CLASSES, TAUGHT, SCATTER = 64, 6, 20, 0.35


class World:
    """Classes like those of real embeddings: a common part, a part of their own, scatter in 64 directions."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        own, common = self.rng.normal(size=(2 * CLASSES, DIM)), self.rng.normal(size=DIM)
        self.centres = np.sqrt(0.45 / DIM) * common + np.sqrt(0.2 / DIM) * own
        self.means = np.array([self.shots(np.full(TAUGHT, k)).mean(axis=0) for k in range(CLASSES)])
        self.counts = np.full(CLASSES, TAUGHT)

    def shots(self, labels: np.ndarray, shift: np.ndarray | float = 0.0, noise: float = 1.0) -> np.ndarray:
        x = self.centres[labels] + shift + noise * self.rng.normal(size=(len(labels), DIM)) * np.sqrt(SCATTER / DIM)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def labels(self, count: int) -> np.ndarray:
        return self.rng.integers(CLASSES, size=count)

    def direction(self, length: float) -> np.ndarray:
        v = self.rng.normal(size=DIM)
        return length * v / np.linalg.norm(v)


def watch(world: World, monitor: DriftMonitor, x: np.ndarray, every: int = 8) -> list[Drift]:
    """All reports while these pictures pass."""
    scores = x @ (world.means / np.linalg.norm(world.means, axis=1, keepdims=True)).T
    found = []
    for number, (picture, row) in enumerate(zip(x, scores, strict=True), start=1):
        monitor.observe(picture, int(row.argmax()), float(row.max()))
        if number % every == 0:
            found.append(monitor.report(world.means, world.counts))
    return found


@pytest.mark.parametrize("window", [64, 256])
@pytest.mark.parametrize("order", ["mixed", "one class", "sorted", "unbalanced"])
def test_no_alarm_without_drift(order, window):
    alarms = reports = 0
    for seed in range(15):
        world = World(seed)
        labels = {
            "mixed": world.labels(400),
            "one class": np.full(400, 2),
            "sorted": np.repeat(np.arange(CLASSES), 60),
            "unbalanced": np.where(world.rng.random(400) < 0.8, 0, world.labels(400)),
        }[order]
        found = watch(world, DriftMonitor(DIM, window), world.shots(labels))
        alarms, reports = alarms + sum(drift.level != "none" for drift in found), reports + len(found)
    assert alarms <= 0.002 * reports, (alarms, reports)


@pytest.mark.parametrize("window", [64, 256])
def test_a_common_shift_is_seen_within_two_windows(window):
    for seed in range(8):
        world, monitor = World(seed), DriftMonitor(DIM, window)
        assert {drift.level for drift in watch(world, monitor, world.shots(world.labels(2 * window)))} == {"none"}
        moved = watch(world, monitor, world.shots(world.labels(2 * window), world.direction(0.5)))
        assert moved[-1].kind == "shift", moved[-1]
        assert moved[-1].p_value < 1e-3
        assert "camera, light or backbone changed" in moved[-1].sentence


def test_a_shift_is_seen_with_two_shots_of_each_class_because_the_first_pictures_tell_what_is_usual():
    seen = early = 0
    for seed in range(8):
        world = World(seed)
        world.means = np.array([world.shots(np.full(2, k)).mean(axis=0) for k in range(CLASSES)])
        world.counts = np.full(CLASSES, 2)
        shift = world.direction(0.25)
        after, monitor = world.shots(world.labels(128), shift), DriftMonitor(DIM)
        assert {drift.level for drift in watch(world, monitor, world.shots(world.labels(128)))} == {"none"}
        seen += watch(world, monitor, after)[-1].kind == "shift"
        early += watch(world, DriftMonitor(DIM), after)[-1].kind == "shift"
    assert seen >= 7
    assert early < seen


def test_a_shift_that_is_gone_is_forgotten():
    world, monitor = World(1), DriftMonitor(DIM)
    watch(world, monitor, world.shots(world.labels(128)))
    assert watch(world, monitor, world.shots(world.labels(128), world.direction(0.5)))[-1].kind == "shift"
    assert watch(world, monitor, world.shots(world.labels(256)))[-1].level == "none"


def test_another_backbone_is_a_strong_shift_from_the_first_report():
    for seed in range(8):
        world = World(seed)
        found = watch(world, DriftMonitor(DIM), World(seed + 100).shots(world.labels(64)))
        assert found[-1].level == "strong", found[-1]
        assert found[-1].kind == "shift"


def test_new_things_are_not_called_a_camera():
    kinds = []
    for seed in range(8):
        world, monitor = World(seed), DriftMonitor(DIM, 256)
        assert watch(world, monitor, world.shots(world.labels(512)))[-1].level == "none"
        kinds.append(watch(world, monitor, world.shots(world.rng.integers(CLASSES, 2 * CLASSES, 512)))[-1].kind)
    assert "shift" not in kinds
    assert kinds.count("new things") + kinds.count("spread") >= 6, kinds


def test_a_changed_scatter_without_direction_is_a_spread():
    """Nearly nothing but noise: scores fall for all pictures. Less noise: they rise."""
    for noise, word in ((3.0, "lower"), (0.2, "higher")):
        world, monitor = World(3), DriftMonitor(DIM, 64)
        watch(world, monitor, world.shots(world.labels(128)))
        drift = watch(world, monitor, world.shots(world.labels(256), noise=noise))[-1]
        assert drift.kind == "spread", drift
        assert word in drift.sentence


def test_few_pictures_say_nothing_and_reset_forgets():
    world, monitor = World(0), DriftMonitor(DIM)
    watch(world, monitor, World(99).shots(world.labels(LEAST_PICTURES - 1)))
    assert monitor.report(world.means, world.counts).level == "none"
    watch(world, monitor, World(99).shots(world.labels(60)))
    assert monitor.report(world.means, world.counts).level == "strong"
    monitor.reset()
    assert monitor.report(world.means, world.counts) == DriftMonitor(DIM).report(world.means, world.counts)
    assert watch(world, monitor, world.shots(world.labels(64)))[-1].level == "none"


def test_the_same_pictures_give_the_same_report_whatever_their_length():
    world, first, second = World(4), DriftMonitor(DIM), DriftMonitor(DIM)
    x = world.shots(world.labels(100))
    for picture in x:
        first.observe(picture, 1, 0.5)
        second.observe(picture * 1024.0, 1, 0.5)
    assert first.report(world.means, world.counts) == second.report(world.means, world.counts)


@pytest.mark.parametrize("dim", [1, 256, 1280])
def test_memory_is_what_the_docstring_says(dim):
    assert 8 * dim <= DriftMonitor(dim, 4096).nbytes <= 8 * dim + 600


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0, 0.0], 0, 0.5), ShapeError, r"must be \(3,\); got \(2,\)"),
        (([0.0, 0.0, 0.0], 0, 0.5), ValueRangeError, "finite and not zero"),
        (([1.0, np.nan, 0.0], 0, 0.5), ValueRangeError, "finite and not zero"),
        (([1.0, np.inf, 0.0], 0, 0.5), ValueRangeError, "finite and not zero"),
        (([1.0, 0.0, 0.0], 0, np.nan), ValueRangeError, "its score finite"),
        (([1.0, 0.0, 0.0], -1, 0.5), ValueRangeError, "place must be"),
    ],
)
def test_bad_pictures_change_nothing(arguments, error, message):
    monitor, clean = DriftMonitor(3), DriftMonitor(3)
    for picture in np.eye(3).repeat(8, axis=0):
        monitor.observe(picture, 0, 0.7)
        clean.observe(picture, 0, 0.7)
    with pytest.raises(error, match=message):
        monitor.observe(*arguments)
    assert monitor.report(np.eye(3), [1, 1, 1]) == clean.report(np.eye(3), [1, 1, 1])


def test_reports_refuse_another_heads_means():
    with pytest.raises(ShapeError, match="Use the head that answered"):
        DriftMonitor(3).report(np.eye(2), [1, 1])
    with pytest.raises(NotTaughtError, match="there is no class"):
        DriftMonitor(3).report(np.zeros((0, 3)), [])
    with pytest.raises(ValueRangeError, match="at most 1 long"):
        DriftMonitor(3).report(2 * np.eye(3), [1, 1, 1])


@pytest.mark.parametrize(("dim", "window"), [(0, 64), (70_000, 64), (3, 15), (3, 70_000)])
def test_sizes_out_of_range_are_refused(dim, window):
    with pytest.raises(ValueRangeError, match="must be"):
        DriftMonitor(dim, window)


PICTURES = npst.arrays(
    np.float64, st.tuples(st.integers(1, 60), st.just(5)), elements=st.floats(-1e300, 1e300, allow_subnormal=False)
)


@settings(deadline=None, max_examples=120)
@given(PICTURES, st.integers(1, 2 * BUCKETS + 3), st.integers(1, 100_000), st.booleans(), st.data())
def test_any_stream_gives_a_finite_report(x, classes, shots, same, data):
    """Any order and length of pictures, one class or more than dimensions or buckets, one shot or many, equal means."""
    monitor = DriftMonitor(5, 16)
    for picture in x:
        if np.any(picture != 0):
            monitor.observe(picture, data.draw(st.integers(0, classes - 1)), data.draw(st.floats(-1, 1)))
    rng = np.random.default_rng(classes)
    means = np.tile(np.eye(5)[0], (classes, 1)) if same else rng.uniform(-0.4, 0.4, (classes, 5))
    drift = monitor.report(means, np.full(classes, shots))
    assert np.isfinite([drift.statistic, drift.p_value, drift.n]).all()
    assert 0 <= drift.p_value <= 1
    assert (drift.kind is None) == (drift.level == "none")
    assert drift.sentence.endswith(".")
