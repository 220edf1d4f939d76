"""The suite `learning` from measuring to Markdown, and its parts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import t
from sklearn.datasets import load_digits

import benchmarks.learning.head as head_side
import benchmarks.methods as methods
from benchmarks import suites
from benchmarks.__main__ import measure
from benchmarks.context import Context, draw
from benchmarks.data import BACKBONES, EmbeddingSet, data_folder, normalise
from benchmarks.errors import DataMissingError
from benchmarks.learning import untrained
from benchmarks.learning.baselines import BASELINES
from benchmarks.learning.head import METHODS, mean_cosine
from benchmarks.learning.kept import fingerprint, kept, key_of
from benchmarks.learning.statistics import BINS, calibration_error, calibration_floor, half_width
from benchmarks.methods import preset
from benchmarks.metrics import balanced_accuracy
from benchmarks.results import Result
from edge_imprint.backbones import BaseStatistics
from edge_imprint.head import ImprintHead


class Digits:
    """Pixels of scikit-learn's handwritten digits, with base statistics of their own."""

    def load(self, data: str, backbone: str) -> EmbeddingSet:
        if data == "nothing":
            raise DataMissingError("nothing.zip is missing")
        digits = load_digits()
        X, y = digits.data.astype(np.float32), np.array([f"digit {label}" for label in digits.target])
        return EmbeddingSet(data, backbone, X[:1200], y[:1200], X[1200:], y[1200:])

    def base_statistics(self, backbone: str) -> BaseStatistics:
        unit = normalise(load_digits().data[:100])
        return BaseStatistics(unit.mean(axis=0), unit.T @ unit / 100, 100)


class Surer(ImprintHead):
    """A head of a later version: it takes base statistics and has a confidence."""

    given: list[Any]

    def __init__(self, dim: int, budget: int | str, *, base: BaseStatistics | None = None, **options: Any) -> None:
        super().__init__(dim, budget, **options)
        self.given.append(base)

    def known_score(self, X: Any) -> np.ndarray:
        return np.full(len(X), 0.7, np.float32)

    def confidence(self, X: Any) -> np.ndarray:
        return np.full(len(X), 0.7, np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_IMPRINT_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def context() -> Context:
    return Context(Digits(), seeds=2, quick=True, data=("digits",), console=Console(quiet=True))


def rows(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_method_in_every_cell_with_averages_promises_and_tables(context: Context, cache: Path) -> None:
    result = measure("learning", context)
    for shots in ("1", "5"):
        for name in (*METHODS, *BASELINES):
            found = result.one("balanced_accuracy", method=name, shots=shots)
            assert len(found.samples) == 2
            assert 35 < found.value < 100  # chance is 10 %
    assert np.isfinite([value for found in result.measurements for value in found.samples]).all()
    mean = result.one("balanced_accuracy", method="mean", shots="5").samples
    digits = context.source.load("digits", "")
    by_hand = [balanced_accuracy(digits.test_labels, preset("qi", draw(digits, 5, seed), seed)(digits.test))
               for seed in (0, 1)]  # fmt: skip
    assert mean == pytest.approx(by_hand)
    gap = result.one("auto_minus_best", shots="5")
    values = {
        name: result.one("balanced_accuracy", method=name, shots="5") for name in ("mean", "kmeans", "oracle", "auto")
    }
    assert gap.params["other"] == max(("mean", "kmeans", "oracle"), key=lambda name: values[name].value)
    assert gap.samples == pytest.approx(np.subtract(values["auto"].samples, values[str(gap.params["other"])].samples))
    every = result.one("average_auto_minus_best", shots="every")
    assert every.value == pytest.approx(np.mean([found.value for found in result.select("auto_minus_best")]))
    rules = {target.rule for target in result.targets}
    assert sum("in no cell more than 0.5 points below" in rule for rule in rules) == 1
    assert len(rules) >= 6
    for target in result.targets:
        if "at least 1.0 points above the best" in target.rule:
            assert target.holds == (every.value >= 1)
    tables = suites.load("learning").tables(result)
    assert set(tables) == {"learning", "learning.cells", "learning.losses", "learning.confidence"}
    assert [row[0] for row in rows(tables["learning"])] == ["1", "5", "every"]
    assert len(rows(tables["learning.cells"])) == len(rows(tables["learning.confidence"])) == 2
    losses = sum(
        found.value < 0 for name in ("auto_minus_best", "auto_minus_logistic") for found in result.select(name)
    )
    assert len(rows(tables["learning.losses"])) == losses


def test_a_second_run_takes_what_the_first_one_kept(
    context: Context, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measure("learning", context)
    files = len(list((cache / "learning").iterdir()))
    assert files == (len(METHODS) + len(BASELINES) + 1) * 2 * 2

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed again")

    for name, baseline in BASELINES.items():
        monkeypatch.setitem(BASELINES, name, dataclasses.replace(baseline, make=fail))
    monkeypatch.setattr(methods, "ImprintHead", fail)
    again = measure("learning", context)
    assert [(found.name, found.samples) for found in again.measurements] == [
        (found.name, found.samples) for found in first.measurements
    ]
    more = dataclasses.replace(context, seeds=3)
    with pytest.raises(AssertionError, match="computed again"):
        measure("learning", more)


def test_a_head_with_confidence_is_judged_by_it(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    Surer.given = []
    monkeypatch.setattr(methods, "ImprintHead", Surer)
    monkeypatch.setattr(head_side, "ImprintHead", Surer)
    result = measure("learning", context)
    assert {base.count for base in Surer.given} == {100}
    assert not any("no confidence" in reason for reason in result.skipped)
    for shots in ("1", "5"):
        own = result.one("auroc", score="own", shots=shots)
        assert own.samples == [0.5, 0.5]  # a constant says nothing
        digits = context.source.load("digits", "")
        right = [methods.streamed_head(draw(digits, int(shots), seed), "512KB", method="auto").predict(digits.test)
                 == digits.test_labels for seed in (0, 1)]  # fmt: skip
        error = result.one("calibration_error", method="auto", shots=shots)
        assert error.samples == pytest.approx([100 * abs(0.7 - share.mean()) for share in right], abs=1e-4)
        assert result.one("calibration_floor", method="auto", shots=shots, of="pooled").value < 4
    calibration = [target for target in result.targets if "calibration error" in target.rule]
    assert [target.name for target in calibration] == ["learning: digits, MobileNetV1 0.25/128, 5 shots"]
    assert not any("not measured" in cell for row in rows(suites.load("learning").tables(result)["learning.confidence"])
                   for cell in row)  # fmt: skip


def test_missing_data_is_a_reason_not_an_error() -> None:
    nothing = Context(Digits(), seeds=1, quick=True, data=("nothing",), console=Console(quiet=True))
    result = measure("learning", nothing)
    assert result.measurements == []
    assert result.targets == []
    assert any("nothing.zip is missing" in reason for reason in result.skipped)


def test_at_all_shots_a_method_without_chance_is_run_once() -> None:
    full = Context(Digits(), seeds=2, data=("digits",), console=Console(quiet=True))
    result = Result("learning", quick=False, seeds=2)
    suites.load("learning")._cell(full, result, full.source.load("digits", "default-int8"), None, None)  # type: ignore[attr-defined]
    counts = {name: len(result.one("balanced_accuracy", method=name).samples) for name in (*METHODS, *BASELINES)}
    assert counts == {"auto": 2, "proxies": 2, "kmeans": 2, "cbcl": 2, "mean": 1, "oracle": 1, "slda": 1,
                      "logistic": 1, "svm": 1}  # fmt: skip
    assert len(result.one("auto_minus_logistic").samples) == 2


def test_budgets_follow_the_dimensions() -> None:
    assert [METHODS["auto"].budget(dim) for dim in (64, 256, 384, 1024, 1280)] == [
        "512KB",
        "512KB",
        "1MB",
        "8MB",
        "8MB",
    ]


def test_mean_cosine_is_the_best_cosine_with_a_class_mean() -> None:
    digits = Digits().load("digits", "")
    seen = draw(digits, 5, 0, ["digit 3", "digit 8"])
    scores = preset("qi", seen, 0).__self__.decision_function(digits.test)  # type: ignore[attr-defined]
    np.testing.assert_allclose(mean_cosine(seen, digits.test), scores.max(axis=1), atol=1e-6)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_half_width_is_students(n: int) -> None:
    samples = np.random.default_rng(n).normal(size=n)
    low, high = t.interval(0.95, n - 1, samples.mean(), samples.std(ddof=1) / np.sqrt(n))
    assert half_width(samples.tolist()) == pytest.approx((high - low) / 2)
    assert np.isnan(half_width([1.0]))


def test_calibration_error_of_cases_with_a_known_answer() -> None:
    right = np.array([1, 1, 1, 0, 0] * 30)
    assert calibration_error(np.full(150, 0.6), right) == pytest.approx(0)
    assert calibration_error(np.full(150, 0.9), right) == pytest.approx(30)
    confidence = np.repeat(np.linspace(0.1, 0.9, BINS), 100)  # one value a bin: the gaps are simply averaged
    right = np.tile(np.arange(100), BINS) < 50
    assert calibration_error(confidence, right) == pytest.approx(100 * np.abs(np.linspace(0.1, 0.9, BINS) - 0.5).mean())
    assert calibration_error(np.array([0.3]), np.array([1])) == pytest.approx(70)


@given(seed=st.integers(0, 1000), n=st.integers(1, 300), levels=st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_calibration_error_does_not_depend_on_the_order(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = rng.integers(levels + 1, size=n) / levels, rng.random(n) < 0.5
    order = rng.permutation(n)
    error = calibration_error(confidence, right)
    assert 0 <= error <= 100
    assert calibration_error(confidence[order], right[order]) == pytest.approx(error)
    # Within the bins errors can only cancel, and overall they cancel most.
    assert error >= 100 * abs(confidence.mean() - right.mean()) - 1e-9


def test_few_pictures_look_miscalibrated_by_chance() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.uniform(0.2, 1, 372), rng.uniform(0.2, 1, 20_000)
    assert 5 < calibration_floor(few, 0) < 8
    assert calibration_floor(many, 0) < 1.2
    assert calibration_floor(np.ones(100), 0) == 0


def test_what_is_kept_is_found_again_by_what_it_follows_from(cache: Path) -> None:
    calls = []

    def make() -> dict[str, Any]:
        calls.append(1)
        return {"x": 0.1, "y": np.arange(3)}

    a, b = np.arange(4.0), np.arange(4.0).reshape(2, 2)
    for _ in range(2):
        found = kept(key_of("a", a), make)
        assert (float(found["x"]), found["y"].tolist()) == (0.1, [0, 1, 2])
    assert len(calls) == 1
    kept(key_of("a", b), make)
    assert len(calls) == 2
    assert len({key_of("a", a), key_of("a", b), key_of("a", a.astype(np.float32)), key_of("b", a), key_of("a")}) == 5
    assert len(list((cache / "learning").iterdir())) == 2


def test_a_fingerprint_sees_statements_and_no_comments(tmp_path: Path) -> None:
    file, other = tmp_path / "code.py", tmp_path / "table.bin"

    def of(text: str) -> str:
        file.write_text(text, encoding="utf-8")
        return fingerprint([file, other])

    other.write_bytes(b"1")
    plain = of("def f(x):\n    return x + 1\n")
    assert of('"""Text."""\n\n\ndef f(x):  # why\n    """More."""\n    return (x + 1)\n') == plain
    assert of("def f(x):\n    return x + 2\n") != plain
    other.write_bytes(b"2")
    assert of("def f(x):\n    return x + 1\n") != plain


def test_the_384_d_file_holds_no_trained_weights(shared_data: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("ai_edge_litert")
    folder = data_folder() / "backbones"
    assert untrained.median_kurtosis(folder / untrained.FILE) == pytest.approx(untrained.UNIFORM, abs=0.05)
    name = BACKBONES[untrained.STAND_IN].file
    assert name is not None
    assert untrained.median_kurtosis(folder / name) > 3
    assert "untrained" in untrained.reason()


def test_without_the_384_d_file_the_reason_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_IMPRINT_DATA", str(tmp_path))
    assert untrained.reason() == "mcunetv2_large.tflite: missing; mobilenet_v2_384 stands in for it"
