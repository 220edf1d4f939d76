"""Choosing a contestant's settings from its shots alone: stratified folds, balanced accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import balanced_accuracy

FOLDS, FOLDS_OF_MANY = 5, 3
MANY = 500
"""With more shots than this three parts are enough, and take half the time."""
MOST_SHOTS = 2000
"""Cross-validation sees at most this many shots; the final fit sees all of them."""

Settings = tuple[float, ...]
Answer = Callable[[NDArray[np.float32]], NDArray[Any]]


@dataclass(frozen=True)
class Tuned:
    """A contestant's answers, and the settings that its shots chose for it."""

    answer: Answer
    chosen: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[Any]:
        """Labels (n,) of embeddings (n, dim)."""
        return self.answer(embeddings)


Fold = tuple[NDArray[np.float32], NDArray[np.str_], NDArray[np.float32], NDArray[np.str_]]


def folds(shots: NDArray[np.float32], labels: NDArray[np.str_], seed: int) -> Iterator[Fold]:
    """Stratified parts of at most `MOST_SHOTS` shots: each is held back once.

    Args:
        shots: shape (n, dim), in the order in which they are shown; that order is kept.
        labels: shape (n,). The class with the fewest shots decides how many parts there are, at most five,
            or three where there are many shots.
        seed: of the parts.

    Yields:
        Shots and labels to fit, shots and labels held back. Nothing where a class has a single shot.
    """
    from sklearn.model_selection import StratifiedKFold, train_test_split

    if len(labels) > MOST_SHOTS:
        picked, _ = train_test_split(np.arange(len(labels)), train_size=MOST_SHOTS, stratify=labels, random_state=seed)
        shots, labels = shots[np.sort(picked)], labels[np.sort(picked)]
    most = FOLDS if len(labels) <= MANY else FOLDS_OF_MANY
    parts = min(most, int(np.unique(labels, return_counts=True)[1].min()))
    if parts < 2:
        return
    for fit, held in StratifiedKFold(parts, shuffle=True, random_state=seed).split(shots, labels):
        yield shots[fit], labels[fit], shots[held], labels[held]


def choose(
    shots: NDArray[np.float32],
    labels: NDArray[np.str_],
    seed: int,
    answers: Callable[[NDArray[np.float32], NDArray[np.str_], NDArray[np.float32]], Iterable[tuple[Settings, Any]]],
) -> Settings | None:
    """Find the settings with the best mean balanced accuracy on held-back shots; the first of equals wins.

    Args:
        shots: shape (n, dim).
        labels: shape (n,).
        seed: of the folds.
        answers: given shots, their labels and held-back shots, pairs of settings and predicted labels, the same
            settings in the same order for each fold.

    Returns:
        The settings, or None where cross-validation is impossible: a class has a single shot.
    """
    scores: dict[Settings, float] = {}
    for fit, fit_labels, held, held_labels in folds(shots, labels, seed):
        for settings, predicted in answers(fit, fit_labels, held):
            scores[settings] = scores.get(settings, 0.0) + balanced_accuracy(held_labels, predicted)
    return max(scores, key=lambda settings: scores[settings]) if scores else None
