"""The baselines of the suite `learning`, and what of each is kept between runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import edge_imprint.imprint
from benchmarks.contestants import linear, tuning
from benchmarks.contestants.cbcl import DISTANCES, VOTERS, cbcl
from benchmarks.contestants.linear import logistic_cv, svm_cv
from benchmarks.contestants.slda import EPSILON, slda
from benchmarks.contestants.tuning import Tuned
from benchmarks.context import Draw
from benchmarks.data import EmbeddingSet
from benchmarks.learning.kept import Kept, fingerprint, kept, key_of
from benchmarks.methods import Answer, preset
from benchmarks.metrics import balanced_accuracy

_OWN = Path(tuning.__file__).parent
_PAPER = Path(edge_imprint.imprint.__file__).parent


@dataclass(frozen=True)
class Baseline:
    """One contestant.

    Attributes:
        title: in tables.
        settings: how it was set up, for the result file.
        make: shown a draw and a seed, it answers.
        code: files that decide what it answers.
        once: at "all" every seed has the same shots: it is run for the first seed only, since it knows neither seed
            nor order, or only the seed of its folds.
    """

    title: str
    settings: str
    make: Callable[[Draw, int], Answer]
    code: tuple[Path, ...]
    once: bool = True

    @cached_property
    def version(self) -> str:
        return fingerprint(self.code)

    def accuracy(self, embeddings: EmbeddingSet, seen: Draw, seed: int) -> Kept:
        """Balanced test accuracy in %, seconds it took, and the settings that were chosen."""
        key = key_of(self.title, self.version, str(seed), seen.shots, seen.labels, embeddings.test,
                     embeddings.test_labels)  # fmt: skip

        def measure() -> dict[str, float]:
            start = time.perf_counter()
            answer = self.make(seen, seed)
            value = balanced_accuracy(embeddings.test_labels, answer(embeddings.test))
            chosen = dict(answer.chosen) if isinstance(answer, Tuned) else {}
            return {"balanced_accuracy": value, "seconds": time.perf_counter() - start, **chosen}

        return kept(key, measure)


def _preset(name: str, title: str, settings: str, once: bool = True) -> Baseline:
    return Baseline(title, settings, partial(_answer, name), tuple(_PAPER.glob("*.py")), once)


def _answer(name: str, seen: Draw, seed: int) -> Answer:
    return preset(name, seen, seed)


def _files(*names: str) -> tuple[Path, ...]:
    return tuple(_OWN / f"{name}.py" for name in names)


_FOLDS = (
    f"chosen by stratified cross-validation on the shots, {tuning.FOLDS} folds up to "
    f"{tuning.MANY} shots, then {tuning.FOLDS_OF_MANY}, on at most "
    f"{tuning.MOST_SHOTS} shots; then fitted to all"
)
_GRID = f"C of {', '.join(f'{C:g}' for C in linear.GRID)}"
BASELINES = {
    "mean": _preset("qi", "mean", "the paper's qi, batch float32"),
    "kmeans": _preset("westerhoff", "k-means, k=20", "the paper's own, batch float32", once=False),
    "oracle": _preset("oracle", "least squares (oracle)", "the paper's oracle, batch float32"),
    "slda": Baseline(
        "streaming LDA",
        f"Hayes and Kanan 2020, shrinkage {EPSILON:g}, one pass, float64",
        slda,
        _files("slda"),
    ),
    "cbcl": Baseline(
        "CBCL",
        f"Ayub and Wagner 2020; D of {DISTANCES}, n of {VOTERS} {_FOLDS}; one centroid per class at one shot",
        cbcl,
        _files("cbcl", "tuning"),
        once=False,
    ),
    "logistic": Baseline(
        "logistic regression, CV",
        f"scikit-learn, L-BFGS, class_weight=balanced, {_GRID} {_FOLDS}; C={linear.LOGISTIC_AT_ONE_SHOT:g} at one shot",
        logistic_cv,
        _files("linear", "tuning"),
    ),
    "svm": Baseline(
        "linear SVM, CV",
        f"scikit-learn LinearSVC, primal, class_weight=balanced, {_GRID} {_FOLDS}; "
        f"C={linear.SVM_AT_ONE_SHOT:g} at one shot",
        svm_cv,
        _files("linear", "tuning"),
    ),
}


def accuracies(baseline: Baseline, embeddings: EmbeddingSet, draws: list[Draw], all_shots: bool) -> list[float]:
    """Balanced accuracy in %, one value per seed, or a single one where all seeds must agree."""
    wanted = draws[:1] if all_shots and baseline.once else draws
    return [float(baseline.accuracy(embeddings, seen, seed)["balanced_accuracy"]) for seed, seen in enumerate(wanted)]
