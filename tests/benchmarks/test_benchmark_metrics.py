"""The benchmarks' own figures against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from benchmarks.metrics import auroc, balanced_accuracy


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_scikit_learns_with_and_without_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for digits in (1, 12):
        positive = np.round(rng.normal(0.4, 0.3, 137), digits)
        negative = np.round(rng.normal(0.2, 0.3, 61), digits)
        truth = np.repeat([1, 0], [137, 61])
        expected = roc_auc_score(truth, np.concatenate([positive, negative]))
        assert auroc(positive, negative) == pytest.approx(expected, abs=1e-12)


def test_auroc_at_its_ends() -> None:
    low, high = np.array([0.1, 0.2]), np.array([0.3, 0.4, 0.5])
    assert auroc(high, low) == 1.0
    assert auroc(low, high) == 0.0
    assert auroc(low, low) == 0.5


def test_balanced_accuracy_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(["hat", "shoe", "sock"], 200, p=[0.7, 0.2, 0.1])
    answer = np.where(rng.random(200) < 0.6, truth, rng.choice(["hat", "shoe", "sock"], 200))
    expected = 100 * balanced_accuracy_score(truth, answer)
    assert balanced_accuracy(truth, answer) == pytest.approx(expected, abs=1e-10)
