"""The head in the suite `learning`: accuracy, confidence, and what it says of classes never shown."""

from __future__ import annotations

import inspect
import itertools
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_imprint.head
from benchmarks.context import Draw, draw
from benchmarks.data import EmbeddingSet, normalise
from benchmarks.learning.kept import Kept, fingerprint, kept, key_of
from benchmarks.methods import streamed_head
from benchmarks.metrics import auroc, balanced_accuracy
from benchmarks.suites.unknown import halves
from edge_imprint.backbones import BaseStatistics
from edge_imprint.head import ImprintHead

SIDES = 2
"""Each seed makes one random half of the classes; both sides are once the known one."""


@dataclass(frozen=True)
class HeadMethod:
    """A method of the head, shown single shots in the order of the draw, once.

    Attributes:
        title: in tables.
        method: the head's own option.
        budgets: by dimensions of the embedding.
    """

    title: str
    method: str
    budgets: dict[int, str]

    def budget(self, dim: int) -> str:
        """The budget at this many dimensions; that of the next wider embedding where there is none of its own."""
        return self.budgets[min((wide for wide in self.budgets if wide >= dim), default=max(self.budgets))]

    @cached_property
    def version(self) -> str:
        folder = Path(edge_imprint.head.__file__).parent
        return fingerprint([*folder.rglob("*.py"), *folder.glob("_native*.so"), Path(__file__)])

    def taught(self, seen: Draw, base: BaseStatistics | None) -> ImprintHead:
        """The head after one pass over the draw."""
        options: dict[str, Any] = {"base": base} if takes_base() else {}
        return streamed_head(seen, self.budget(seen.shots.shape[1]), method=self.method, **options)

    def learn(self, embeddings: EmbeddingSet, seen: Draw, base: BaseStatistics | None) -> Kept:
        """Teach and ask.

        Returns:
            `balanced_accuracy` in %, `nbytes`, `proxies`, `seconds`; with a head that has `confidence` also
            `confidence` and `right`, one number per test picture.
        """

        def measure() -> dict[str, Any]:
            start = time.perf_counter()
            head = self.taught(seen, base)
            answer = head.predict(embeddings.test)
            found: dict[str, Any] = {
                "balanced_accuracy": balanced_accuracy(embeddings.test_labels, answer),
                "nbytes": head.nbytes,
                "proxies": sum(head.proxies_per_class().values()),
                "seconds": time.perf_counter() - start,
            }
            if has_confidence() and head.method == "ridge":
                found |= {
                    "confidence": head.confidence(embeddings.test),  # type: ignore[attr-defined]
                    "right": answer == embeddings.test_labels,
                }
            return found

        return kept(self._key("learn", embeddings, seen, base), measure)

    def unknown(self, embeddings: EmbeddingSet, shots: int | None, seed: int, base: BaseStatistics | None) -> Kept:
        """Teach one half of the classes, then the other: AUROC of known against never-shown test pictures.

        Returns:
            `own`, by what the head says, and `cosine`, by the largest cosine with a class mean; shape (2,) each.
        """
        sides = list(itertools.islice(halves(embeddings.classes, seed), SIDES))
        draws = [draw(embeddings, shots, seed, known.tolist()) for known in sides]

        def measure() -> dict[str, Any]:
            found: dict[str, list[float]] = {"own": [], "cosine": []}
            for known, seen in zip(sides, draws, strict=True):
                shown = np.isin(embeddings.test_labels, known)
                own = known_score(self.taught(seen, base), embeddings.test)
                cosine = mean_cosine(seen, embeddings.test)
                for name, scores in (("own", own), ("cosine", cosine)):
                    found[name].append(auroc(scores[shown], scores[~shown]))
            return found

        everything = Draw(np.concatenate([d.shots for d in draws]), np.concatenate([d.labels for d in draws]))
        return kept(self._key("unknown", embeddings, everything, base), measure)

    def _key(self, what: str, embeddings: EmbeddingSet, seen: Draw, base: BaseStatistics | None) -> str:
        moments = (base.mean, base.second_moment, str(base.count)) if base is not None and takes_base() else ()
        return key_of(what, self.method, self.budget(embeddings.dim), self.version, seen.shots, seen.labels,
                      embeddings.test, embeddings.test_labels, *moments)  # fmt: skip


METHODS = {
    "auto": HeadMethod("edge-imprint, auto", "auto", {256: "512KB", 384: "1MB", 1024: "8MB"}),
    "proxies": HeadMethod("edge-imprint, proxies", "proxies", {256: "64KB", 384: "96KB", 1024: "256KB"}),
}


def takes_base() -> bool:
    """Whether this version's head can be given base statistics."""
    return "base" in inspect.signature(ImprintHead).parameters


def has_confidence() -> bool:
    """Whether this version's head gives the probability that an answer is right."""
    return hasattr(ImprintHead, "confidence")


def known_score(head: ImprintHead, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well the head says it knows each picture (n,): what its thresholds are drawn on."""
    return head.known_score(embeddings)


def mean_cosine(seen: Draw, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest cosine of each picture (n,) with the mean of the unit shots of a class."""
    unit = normalise(seen.shots)
    means = normalise(np.stack([unit[seen.labels == label].mean(axis=0) for label in np.unique(seen.labels)]))
    cosines: NDArray[np.float32] = (normalise(embeddings) @ means.T).max(axis=1)
    return cosines
