"""scikit-learn's logistic regression and linear SVM, regularised as cross-validation on the shots says."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants.tuning import Settings, Tuned, choose
from benchmarks.context import Draw
from benchmarks.data import normalise

GRID = tuple(10.0**power for power in range(-2, 4))
LOGISTIC_AT_ONE_SHOT, SVM_AT_ONE_SHOT = 10.0, 1.0
"""Nothing can be held back from one shot per class: what users of scikit-learn commonly take."""
MAX_ITERATIONS = 300


def logistic_cv(seen: Draw, seed: int) -> Tuned:
    """Logistic regression (L-BFGS, L2, balanced class weights), C chosen on the shots."""
    from sklearn.linear_model import LogisticRegression

    def make(C: float) -> Any:
        return LogisticRegression(C=C, class_weight="balanced", max_iter=MAX_ITERATIONS, warm_start=True)

    return _tuned(seen, seed, make, LOGISTIC_AT_ONE_SHOT)


def svm_cv(seen: Draw, seed: int) -> Tuned:
    """Linear SVM (squared hinge, one against the rest, balanced class weights), C chosen on the shots.

    Solved in the primal: the dual solver takes minutes where C is large.
    """
    from sklearn.svm import LinearSVC

    def make(C: float) -> Any:
        return LinearSVC(C=C, class_weight="balanced", dual=False, max_iter=MAX_ITERATIONS)

    return _tuned(seen, seed, make, SVM_AT_ONE_SHOT)


def _tuned(seen: Draw, seed: int, make: Callable[[float], Any], at_one_shot: float) -> Tuned:
    def every_setting(
        shots: NDArray[np.float32], labels: NDArray[np.str_], held: NDArray[np.float32]
    ) -> Iterator[tuple[Settings, NDArray[Any]]]:
        model = make(GRID[0])
        for C in GRID:
            # A logistic regression starts from the solution before (warm_start), an SVM from scratch.
            yield (C,), _fit(model.set_params(C=C), shots, labels).predict(held)

    unit = normalise(seen.shots)
    (C,) = choose(unit, seen.labels, seed, every_setting) or (at_one_shot,)
    model = _fit(make(C), unit, seen.labels)
    return Tuned(lambda embeddings: np.asarray(model.predict(normalise(embeddings))), {"C": C})


def _fit(model: Any, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(shots, labels)
