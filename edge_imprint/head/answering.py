"""What a head says of embeddings, whatever its method."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.errors import NotTaughtError
from edge_imprint.head import fixed
from edge_imprint.head.engine import Engine
from edge_imprint.head.labels import Label, label_array
from edge_imprint.head.locking import exclusive
from edge_imprint.head.scoring import ONE_Q23
from edge_imprint.head.verdicts import Thresholds, verdicts_of


class Answer(NamedTuple):
    """What a head says of n embeddings.

    Attributes:
        labels: the best class of each.
        scores: `ImprintHead.decision_function`, (n, n_classes) float32.
        verdicts: `ImprintHead.verdicts`, (n,).
        confidences: `ImprintHead.confidence`, (n,) float32; None with method "proxies".
    """

    labels: list[Label]
    scores: NDArray[np.float32]
    verdicts: NDArray[np.str_]
    confidences: NDArray[np.float32] | None


class Told(NamedTuple):
    """What a head says of one embedding, in Python's own types.

    Attributes:
        label: the best class.
        verdict: "known", "uncertain" or "unknown".
        scores: of every class.
        confidence: as in `Answer`, of this one.
    """

    label: Label
    verdict: str
    scores: dict[Label, float]
    confidence: float | None


class Answers:
    """The asking half of `ImprintHead`: nothing here changes what was learnt."""

    lock: AbstractContextManager[Any]
    _engine: Engine
    _labels: list[Label]
    _index: dict[Label, int]
    _false_accept_ppm: int
    _limits_q23: tuple[int, int] | None
    _limits_stale: bool

    def _check_taught(self) -> None:
        if not self._labels:
            raise NotTaughtError("the head must know at least one class; it knows none. Call partial_fit first")

    def _quantized(self, X: ArrayLike) -> Any:
        self._check_taught()
        return self._engine.quantize(fixed.check_embeddings(X, self._engine.arena.layout.dim))

    @exclusive
    def predict(self, X: ArrayLike, reject: bool = False) -> NDArray[Any]:
        """The best class of each embedding.

        Args:
            X: (n, dim) embeddings.
            reject: give "unknown" wherever the verdict is not "known"; the answer is then an object array.

        Returns:
            (n,) labels.

        Raises:
            NotTaughtError: no class was taught yet.
            ShapeError, ValueRangeError: as in `partial_fit`.
        """
        e16 = self._quantized(X)
        if not reject:
            return label_array([self._labels[i] for i in self._engine.classes(e16).tolist()])
        best = self._engine.best(e16)
        labels = [self._labels[i] for i in best.classes.tolist()]
        answers = np.empty(len(labels), dtype=object)
        answers[:] = labels
        answers[verdicts_of(best, self._limits()) != "known"] = "unknown"
        return answers

    @exclusive
    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:
        """Cosine of each embedding with each class's best proxy: (n, n_classes) float32 in [-1, 1]."""
        return self._engine.cosines(self._quantized(X))

    @exclusive
    def confidence(self, X: ArrayLike) -> NDArray[np.float32]:
        """Probability that `predict` is right about each embedding of a taught class: (n,) float32 in [0, 1].

        It is calibrated on the shots, each of which is scored before it is learnt. It says nothing about things never
        shown: ask `verdicts`.

        Raises:
            UsageError: the head has method "proxies".
        """
        return self._engine.confidences(self._quantized(X))

    @exclusive
    def known_score(self, X: ArrayLike) -> NDArray[np.float32]:
        """What `thresholds` are drawn on: (n,) float32, higher for things that were taught.

        The best proxy's cosine. With a second moment: half of the best class's score before 3/8 of the background's,
        taken as a cosine is, but in the metric of the scatter, and a quarter of the cosine with that class's mean.
        """
        return (self._engine.best(self._quantized(X)).known_q23 / ONE_Q23).astype(np.float32)

    def _limits(self) -> tuple[int, int] | None:
        if self._limits_stale:
            self._limits_q23 = self._engine.thresholds_q23(self._false_accept_ppm)
            self._limits_stale = False
        return self._limits_q23

    @exclusive
    def thresholds(self) -> Thresholds | None:
        """Cosines from which a prediction is known and below which unknown; None before two classes are taught."""
        limits = self._limits()
        return Thresholds(*(limit / ONE_Q23 for limit in limits)) if limits else None

    @exclusive
    def verdicts(self, X: ArrayLike) -> NDArray[np.str_]:
        """What to make of each prediction: (n,) of "known", "uncertain" or "unknown".

        A picture of something never shown is "known" with the probability `false_accept_rate`. Below the middle between
        the scores of never-shown and of taught things it is "unknown". With a second moment an answer whose
        `confidence` is below 1/2 is never "known". With a single class there is nothing to compare with, and everything
        is "uncertain".
        """
        return verdicts_of(self._engine.best(self._quantized(X)), self._limits())
