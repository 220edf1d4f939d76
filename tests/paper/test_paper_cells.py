from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paper import cells, plan
from benchmarks.paper.cells import ALL, METHODS, Arrays, Cell, Setting, chosen, draw, measure, merged
from edge_imprint.backbones import BaseStatistics
from edge_imprint.errors import UsageError
from edge_imprint.imprint import nc1

SETTING = Setting("64KB", 10)
CELL = Cell("shots", "cups", "small", "all", "qi", 5, 1, 0, 0)


def clumps(classes: int, per_class: int, spread: float, dim: int = 48, seed: int = 1) -> Arrays:
    """Every class is one clump about a point of its own."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, dim))
    names = np.array([f"class {place:02}" for place in range(classes)])

    def split(n: int) -> tuple[np.ndarray, np.ndarray]:
        rows = means[:, None] + spread * rng.normal(size=(classes, n, dim))
        return rows.reshape(-1, dim).astype(np.float32), np.repeat(names, n)

    return Arrays(*split(per_class), *split(per_class // 2))


def test_all_methods_and_backbones_meet_the_same_pictures_and_more_shots_are_more_not_others() -> None:
    arrays = clumps(5, 30, 1.0)
    first = draw(CELL, SETTING, arrays)
    for other in (replace(CELL, method="westerhoff"), replace(CELL, backbone="large")):
        again = draw(other, SETTING, arrays)
        assert np.array_equal(first.shots, again.shots)
        assert first.labels.tolist() == again.labels.tolist()
    more = draw(replace(CELL, shots=12), SETTING, arrays)
    rows = {row.tobytes() for row in more.shots}
    assert len(rows) == 60
    assert {row.tobytes() for row in first.shots} <= rows
    assert first.labels.tolist() != sorted(first.labels.tolist()), "shots come shuffled, not class by class"
    different = draw(replace(CELL, seed=1), SETTING, arrays)
    assert not np.array_equal(first.shots, different.shots)
    everything = draw(replace(CELL, shots=ALL), SETTING, arrays)
    assert len(everything.labels) == 150


def test_tasks_are_the_papers() -> None:
    digits = list("0123456789")
    assert {task: "".join(chosen(digits, task)) for task in ("all", "even", "odd", "short")} == {
        "all": "0123456789", "even": "02468", "odd": "13579", "short": "012"
    }  # fmt: skip
    arrays = clumps(5, 30, 1.0)
    task = draw(replace(CELL, task="odd"), SETTING, arrays)
    assert set(task.labels) == set(task.truth) == {"class 01", "class 03"}
    whole = {row.tobytes() for row in draw(CELL, SETTING, arrays).shots}
    assert {row.tobytes() for row in task.shots} < whole


@given(st.integers(2, 40), st.integers(1, 10), st.integers(2, 12), st.integers(0, 9))
def test_merging_makes_equal_labels_of_distinct_classes(classes: int, merge: int, labels: int, seed: int) -> None:
    names = [f"c{place}" for place in range(classes)]
    owner = merged(names, merge, labels, "cups", seed)
    made = list(owner.values())
    assert len(set(made)) == min(labels, classes // merge)
    assert all(made.count(label) == merge for label in made)
    assert set(owner) <= set(names)
    assert owner == merged(names, merge, labels, "cups", seed)


def test_every_k_of_a_seed_has_one_merging_and_another_seed_has_another() -> None:
    names = [f"c{place}" for place in range(30)]
    assert merged(names, 3, 10, "cups", 0) != merged(names, 3, 10, "cups", 1)
    arrays = clumps(9, 20, 1.0)
    one = draw(Cell("k", "cups", "small", "all", "kmeans", ALL, 3, 2, 0), SETTING, arrays)
    two = draw(Cell("k", "cups", "large", "all", "kmeans", ALL, 3, 9, 0), SETTING, arrays)
    assert np.array_equal(one.shots, two.shots)
    assert one.labels.tolist() == two.labels.tolist()
    assert set(one.labels) == {"label 0", "label 1", "label 2"}


@pytest.mark.parametrize("merge", [2, 3, 4])
def test_accuracy_against_k_rises_up_to_d_where_classes_are_collapsed(merge: int) -> None:
    """What the paper claims, on data made so that it holds: tight clumps, d of them to a label."""
    arrays = clumps(8 * merge, 40, 0.9, dim=24)

    def accuracy(k: int) -> float:
        cells = [Cell("k", "cups", "small", "all", "kmeans", ALL, merge, k, seed) for seed in range(3)]
        return float(np.mean([measure(cell, Setting("64KB", 8), arrays)["value"] for cell in cells]))

    assert accuracy(merge) > accuracy(merge - 1) + 1
    assert accuracy(merge) >= accuracy(15) - 1


def test_nc1_is_that_of_the_normalised_shots() -> None:
    arrays = clumps(6, 25, 0.8)
    cell = Cell("k", "cups", "small", "all", "nc1", ALL, 1, 0, 0)
    unit = arrays.train / np.linalg.norm(arrays.train, axis=1, keepdims=True)
    assert measure(cell, SETTING, arrays)["value"] == pytest.approx(nc1(unit, arrays.train_labels), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_and_the_same_twice(method: str) -> None:
    arrays = clumps(4, 25, 1.2)
    cell = replace(CELL, method=method, shots=10)
    first, second = measure(cell, SETTING, arrays), measure(cell, SETTING, arrays)
    assert first["value"] == second["value"]
    assert 60 < first["value"] <= 100


def test_only_the_auto_head_starts_from_the_base_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = clumps(4, 25, 1.2)
    unit = arrays.train / np.linalg.norm(arrays.train, axis=1, keepdims=True)
    base = BaseStatistics(unit.mean(axis=0), (unit.T @ unit / len(unit)).astype(np.float32), len(unit))
    given: dict[str, object] = {}

    class Head(cells.ImprintHead):
        def __init__(self, **options: Any) -> None:
            given[options["method"]] = options["base"]
            super().__init__(**options)

    monkeypatch.setattr(cells, "ImprintHead", Head)
    known = replace(arrays, base=base)
    for method in ("head", "auto"):
        assert measure(replace(CELL, method=method), SETTING, known)["value"] > 60
    assert given == {"proxies": None, "auto": base}


def test_what_a_method_cannot_do_is_a_result_with_its_reason() -> None:
    arrays = clumps(40, 4, 1.0)
    outcome = measure(replace(CELL, method="head", shots=2), Setting("1KB", 10), arrays)
    assert "value" not in outcome
    assert "budget" in outcome["refused"]


def test_the_plan_leaves_out_what_the_data_cannot_serve_and_says_so() -> None:
    labels = np.repeat(["a", "b", "c", "d"], [30, 12, 30, 30])
    found, left_out = plan.cells(
        plan.Choice(shots=(5, 20, ALL), merge=(1, 2, 3), ks=(1, 2), seeds=2), "cups", "s", labels
    )
    assert left_out == [
        "cups: 20 shots; class 'b' has 12 to learn from",
        "cups: 3 classes to a label; 4 classes make less than 2 labels",
    ]
    shots = [cell for cell in found if cell.protocol == "shots"]
    assert len({cell.key for cell in found}) == len(found)
    assert {(cell.shots, cell.task) for cell in shots} == {
        (5, "all"),
        *((ALL, task) for task in ("all", "even", "odd", "short")),
    }
    assert len(shots) == 5 * len(METHODS) * 2
    assert len(found) - len(shots) == 2 * 2 * (2 + 1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"protocol": "both"}, "--protocol must be some of shots, k, all; got both"),
        ({"methods": ("qi", "best")}, "--methods must be some of head.*got best"),
        ({"methods": ()}, "got none"),
        ({"seeds": 0}, "--seeds must be whole numbers of at least 1; got 0"),
        ({"ks": (3, 0)}, "--k must be"),
        ({"merge": ()}, "--merge must be"),
    ],
)
def test_choices_that_no_sweep_has(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        plan.Choice(**options)  # type: ignore[arg-type]
