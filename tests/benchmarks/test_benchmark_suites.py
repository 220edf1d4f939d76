"""Every suite from measuring to Markdown, on handwritten digits for embeddings: no shared data needed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_digits

from benchmarks import report, results, suites
from benchmarks.__main__ import measure
from benchmarks.context import Context, draw
from benchmarks.data import EmbeddingSet
from benchmarks.errors import DataMissingError
from benchmarks.float_head import FloatHead
from benchmarks.methods import streamed_head
from benchmarks.metrics import balanced_accuracy
from benchmarks.results import Result
from benchmarks.suites.accuracy import METHODS
from benchmarks.suites.unknown import halves


class Digits:
    """Pixels of scikit-learn's handwritten digits as 64-d embeddings, whatever the backbone."""

    def load(self, data: str, backbone: str) -> EmbeddingSet:
        if data == "nothing":
            raise DataMissingError("nothing.zip is missing")
        digits = load_digits()
        X, y = digits.data.astype(np.float32), np.array([f"digit {label}" for label in digits.target])
        return EmbeddingSet(data, backbone, X[:1200], y[:1200], X[1200:], y[1200:])


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(Digits(), seeds=2, quick=True, data=("digits",), console=Console(quiet=True))


def rows(markdown: str) -> int:
    """Rows of a table; every row must have as many cells as its head."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    return len(lines) - 2


def check(result: Result) -> dict[str, str]:
    """What holds for every suite: finite numbers with raw samples, each labelled, and tables made of them."""
    assert result.measurements
    for found in result.measurements:
        assert found.kind == "measured"
        assert found.samples
        assert np.isfinite([found.value, *found.samples]).all()
    assert result.targets
    tables = suites.load(result.suite).tables(result)
    assert all(re.fullmatch(rf"{result.suite}(\.\w+)?", name) for name in tables)
    return tables


def test_the_first_shots_of_a_seed_are_the_same_for_every_count() -> None:
    digits = Digits().load("digits", "")
    few, more = draw(digits, 2, seed=3), draw(digits, 5, seed=3)
    assert {row.tobytes() for row in few.shots} < {row.tobytes() for row in more.shots}
    labels, counts = np.unique(more.labels, return_counts=True)
    assert len(labels) == 10
    assert set(counts) == {5}
    assert not np.array_equal(np.sort(more.labels), more.labels)
    assert not np.array_equal(draw(digits, 5, seed=4).shots, more.shots)
    assert np.array_equal(draw(digits, 5, seed=3).shots, more.shots)
    assert len(draw(digits, None, seed=0).labels) == 1200
    some = draw(digits, 5, seed=3, classes=["digit 1", "digit 7"])
    assert set(some.labels) == {"digit 1", "digit 7"}
    assert {row.tobytes() for row in some.shots} < {row.tobytes() for row in more.shots}


def test_accuracy(context: Context) -> None:
    result = measure("accuracy", context)
    tables = check(result)
    assert rows(tables["accuracy"]) == rows(tables["accuracy.cost"]) == 2
    for method in METHODS:
        found = result.one("balanced_accuracy", method=method, shots="5")
        assert len(found.samples) == 2
        assert 50 < found.value <= 100  # chance is 10 %
    gap = result.one("head_minus_mean", shots="5")
    head, mean = (result.one("balanced_accuracy", method=method, shots="5").samples for method in ("head", "mean"))
    assert gap.samples == pytest.approx(np.subtract(head, mean))
    # The nearest mean is one line of numpy: the figure in the table is that line's.
    digits = Digits().load("digits", "")
    seen = draw(digits, 5, seed=0)
    unit = seen.shots / np.linalg.norm(seen.shots, axis=1, keepdims=True)
    names = np.unique(seen.labels)
    means = np.array([unit[seen.labels == name].mean(axis=0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    answer = names[np.argmax(digits.test @ means.T, axis=1)]
    assert mean[0] == pytest.approx(balanced_accuracy(digits.test_labels, answer), abs=0.3)


@pytest.mark.parametrize("budget", ["8KB", "64KB"])
def test_the_float_head_follows_the_heads_rules(budget: str) -> None:
    digits = Digits().load("digits", "")
    seen = draw(digits, 60, seed=0)
    head = streamed_head(seen, budget)
    twin = FloatHead(head).partial_fit(seen.shots, seen.labels)
    kept, twin_kept = head.proxies_per_class(), twin.proxies_per_class()
    assert list(kept) == list(twin_kept)
    assert sum(kept.values()) == pytest.approx(sum(twin_kept.values()), abs=2)
    # Rounding turns a close decision now and then (1 in 200); a rule that differs turns 1 in 30.
    assert np.mean(head.predict(digits.test) == twin.predict(digits.test)) > 0.985


def test_unknown(context: Context) -> None:
    result = measure("unknown", context)
    assert rows(check(result)["unknown"]) == 2
    for shots in (1, 5):
        shares = [result.one("known_class_share", shots=shots, verdict=name).value
                  for name in ("known", "uncertain", "unknown")]  # fmt: skip
        assert sum(shares) == pytest.approx(100)
        assert len(result.one("false_accept_rate", shots=shots).samples) == 8
        assert 0.5 < result.one("auroc", shots=shots).value <= 1


def test_every_class_is_as_often_known_as_unknown() -> None:
    classes = np.array(list("abcdefg"))
    sides = list(halves(classes, seed=0))
    assert len(sides) == 4
    for one, other in (sides[:2], sides[2:]):
        assert sorted([*one, *other]) == sorted(classes)
        assert {len(one), len(other)} == {3, 4}


def test_latency(context: Context) -> None:
    result = measure("latency", context)
    assert rows(check(result)["latency"]) >= 5
    assert result.one("learn_ratio", contestant="head.partial_fit").value == 1
    assert result.one("learn", contestant="MiniBatchKMeans(10).partial_fit").value > 0
    assert result.one("predict", contestant="head.predict").value > 0


def test_kmeans_fit(context: Context) -> None:
    result = measure("kmeans_fit", context)
    assert rows(check(result)["kmeans_fit"]) == 4
    assert result.one("inertia_ratio").value == pytest.approx(1, abs=0.05)


def test_imports(context: Context) -> None:
    result = measure("imports", context)
    assert rows(check(result)["imports"]) == 3
    assert result.settings["runtimes_loaded"] == []
    assert len(result.one("import", module="numpy").samples) == 5


def test_memory(context: Context) -> None:
    result = measure("memory", context)
    assert rows(check(result)["memory"]) == 1
    nbytes = result.one("nbytes", budget_kb=16)
    assert 0 < nbytes.value <= 16 * 1024
    assert len(nbytes.samples) == len(result.one("anonymous_growth").samples) == 4


def test_backbones_skip_with_a_reason_where_nothing_is_there(
    context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGE_IMPRINT_DATA", str(tmp_path))
    result = measure("backbones", context)
    found = result.one("balanced_accuracy", method="mean", backbone="mobilenet_v1_0.25_128", shots=5)
    assert found.value > 50
    assert any("set EDGE_IMPRINT_DATA" in reason for reason in result.skipped)
    assert set(suites.load("backbones").tables(result)) == {"backbones"}


@pytest.mark.parametrize("name", ["accuracy", "unknown", "latency", "kmeans_fit"])
def test_missing_data_is_a_reason_not_an_error(name: str, tmp_path: Path) -> None:
    nothing = Context(Digits(), seeds=1, quick=True, data=("nothing",), console=Console(quiet=True))
    result = measure(name, nothing)
    assert result.measurements == []
    assert any("nothing.zip is missing" in reason for reason in result.skipped)
    result.quick = False
    results.save(result, tmp_path)
    text = f"<!-- benchmarks:{name} -->\n<!-- /benchmarks -->\n"
    assert "\nNot measured: mobilenet_v1_0.25_128: nothing.zip is missing" in report.render(text, tmp_path)
