"""Thousands of random operations against a model that knows labels, shot counts and what the budget holds."""

from __future__ import annotations

import numpy as np
import pytest
from heads import blob, budget_for, reload
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edge_imprint import ImprintHead
from edge_imprint.errors import CapacityError, NotTaughtError, UnknownLabelError
from edge_imprint.head import plan
from edge_imprint.head.budget import RECORD_BYTES

DIM = 6
LABELS = ["mug", "Tasse", "杯子", 0, 1, -(1 << 63), "0", "x" * 31, "a b"]
SHOTS = st.lists(st.tuples(st.sampled_from(LABELS), st.integers(0, 2), st.integers(0, 10**6)), min_size=1, max_size=6)


def embeddings(shots) -> np.ndarray:
    """Shots near one of three directions, or anywhere."""
    rows = []
    for _, mode, seed in shots:
        noise = np.random.default_rng(seed).normal(size=DIM)
        rows.append(4 * np.eye(DIM)[mode] + noise if mode else noise)
    return np.array(rows)


class HeadAndModel(RuleBasedStateMachine):
    @initialize(
        classes=st.integers(1, 7),
        proxies=st.integers(0, 20),
        spare=st.integers(0, 80),
        most=st.sampled_from([1, 2, 4, 21]),
        undo=st.booleans(),
    )
    def start(self, classes, proxies, spare, most, undo):
        budget = budget_for(DIM, classes, classes + proxies, spare, undo=undo)
        self.options = {"max_proxies": most, "undo": undo}
        self.head = ImprintHead(DIM, budget, **self.options)
        self.most_classes = plan(DIM, budget, undo=undo).max_classes
        self.new_buffer()
        self.shots: dict[object, int] = {}
        self.before_last: bytes | None = None
        self.total = 0

    def new_buffer(self):
        self.buffer = self.head._arena.buffer
        self.address = self.buffer.ctypes.data

    @rule(shots=SHOTS)
    def learn(self, shots):
        x, y = embeddings(shots), [label for label, _, _ in shots]
        state = blob(self.head)
        if len(set(self.shots) | set(y)) > self.most_classes:
            with pytest.raises(CapacityError):
                self.head.partial_fit(x, y)
            assert blob(self.head) == state
            return
        twin = reload(self.head)
        if len(y) > 1:
            twin.partial_fit(x[:-1], y[:-1])
        self.before_last = blob(twin) if self.options["undo"] else None
        self.head.partial_fit(x, y)
        for label in y:
            self.shots[label] = self.shots.get(label, 0) + 1
        self.total += len(y)
        self.last = y[-1]

    @rule(label=st.sampled_from(LABELS))
    def forget(self, label):
        state, used = blob(self.head), self.head.nbytes
        if label not in self.shots:
            with pytest.raises(UnknownLabelError):
                self.head.forget(label)
            assert blob(self.head) == state
            return
        proxies = self.head.proxies_per_class()[label]
        self.head.forget(label)
        assert used - self.head.nbytes == proxies * self.head._arena.layout.slot_bytes + RECORD_BYTES
        del self.shots[label]
        self.before_last = None

    @rule()
    def undo(self):
        if self.before_last is None:
            state = blob(self.head)
            with pytest.raises(NotTaughtError):
                self.head.undo()
            assert blob(self.head) == state
            return
        self.head.undo()
        assert blob(self.head) == self.before_last
        self.shots[self.last] -= 1
        if not self.shots[self.last]:
            del self.shots[self.last]
        self.total -= 1
        self.before_last = None

    @rule(shots=SHOTS, big=st.booleans())
    def merge(self, shots, big):
        y = [label for label, _, _ in shots]
        other = ImprintHead(DIM, "64KB" if big else budget_for(DIM, 9, 9)).partial_fit(embeddings(shots), y)
        theirs, state = blob(other), blob(self.head)
        if len(set(self.shots) | set(y)) > self.most_classes:
            with pytest.raises(CapacityError):
                self.head.merge(other)
            assert blob(self.head) == state
        else:
            self.head.merge(other)
            for label in y:
                self.shots[label] = self.shots.get(label, 0) + 1
            self.total += len(y)
            self.before_last = None
        assert blob(other) == theirs

    @rule()
    def save_and_load(self):
        state = blob(self.head)
        self.head = reload(self.head)
        assert blob(self.head) == state
        self.new_buffer()
        self.before_last = None

    @rule(seed=st.integers(0, 10**6))
    def ask(self, seed):
        x = np.random.default_rng(seed).normal(size=(3, DIM))
        if not self.shots:
            with pytest.raises(NotTaughtError):
                self.head.predict(x)
            return
        state = blob(self.head)
        scores = self.head.decision_function(x)
        assert np.abs(scores).max() <= 1
        assert set(self.head.predict(x).tolist()) <= set(self.shots)
        assert set(self.head.verdicts(x).tolist()) <= {"known", "uncertain", "unknown"}
        assert blob(self.head) == state

    @invariant()
    def counts_agree(self):
        assert self.head.shots_per_class() == self.shots
        assert list(self.shots) == self.head.classes_.tolist()
        proxies = self.head.proxies_per_class()
        assert set(proxies) == set(self.shots)
        assert all(1 <= n <= self.head.max_proxies for n in proxies.values())
        assert int(self.head._arena.header[2]) == self.total

    @invariant()
    def the_budget_holds(self):
        head, layout = self.head, self.head._arena.layout
        assert head.nbytes <= head.budget
        parts = head.memory()
        assert sum(parts.values()) == head.budget
        assert min(parts.values()) >= 0
        assert head.nbytes == head.budget - parts["free"]
        assert parts["proxies"] == sum(head.proxies_per_class().values()) * layout.slot_bytes

    @invariant()
    def the_buffer_is_the_same(self):
        assert self.head._arena.buffer is self.buffer
        assert (self.buffer.nbytes, self.buffer.ctypes.data) == (self.head.budget, self.address)

    @invariant()
    def the_arena_is_consistent(self):
        arena = self.head._arena
        cls = arena.cls[: arena.n_slots].tolist()
        assert cls[: arena.n_classes] == list(range(arena.n_classes))
        assert (arena.count[: arena.n_slots] > 0).all()


def settings_for(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def test_random_operations_agree_with_the_model():
    run_state_machine_as_test(HeadAndModel, settings=settings_for(80, 60))


@pytest.mark.slow
def test_many_more_random_operations_agree_with_the_model():
    run_state_machine_as_test(HeadAndModel, settings=settings_for(300, 120))


@pytest.mark.parametrize(("dim", "budget", "undo"), [(64, 4096, True), (64, 2048, False), (3, 1500, True)])
def test_capacity_is_refused_exactly_where_the_plan_says(dim, budget, undo):
    fits = plan(dim, budget, undo=undo).max_classes
    assert plan(dim, budget, classes=fits, undo=undo).used_bytes <= budget
    with pytest.raises(CapacityError, match=f"hold 1 to {fits} classes"):
        plan(dim, budget, classes=fits + 1, undo=undo)
    x = np.random.default_rng(0).normal(size=(fits + 1, dim))
    head = ImprintHead(dim, budget, undo=undo).partial_fit(x[:fits], np.arange(fits))
    state = blob(head)
    with pytest.raises(CapacityError) as refused:
        head.partial_fit(np.concatenate([x[:1], x[fits:]]), [0, fits])
    assert blob(head) == state
    # The way out that the message names is one that works, and no byte too much.
    need = int(str(refused.value).split("budget=")[1].split()[0])
    assert plan(dim, need, undo=undo).max_classes == fits + 1
    assert plan(dim, need - 1, undo=undo).max_classes == fits


def test_a_class_number_of_16_bits_bounds_the_capacity():
    assert plan(1, "64MB").max_classes == 65535
