"""The head's rules once more, in float: what int8 rows and integer arithmetic cost is measured against this.

Every decision is that of `edge_imprint.head.clusters` and `edge_imprint.head.head`, with the same number of
slots, on numbers that are never rounded to fewer bits: shots enter as float32, rows are float64. A test
holds the two against each other, so that a rule changed in one place only is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import normalise
from edge_imprint.head import ImprintHead
from edge_imprint.head.budget import Layout

Rows = NDArray[np.float64]
_ALONE_GAP = 0.5
_NEVER = np.inf


def shrunk_towards(mean: Rows, centres: Rows, counts: Rows, shrinkage: int) -> Rows:
    """min(n_j, shrinkage) c_j + kappa m with the kappa of `edge_imprint.head.scoring`, not normalised."""
    total, k, kappa = counts.sum(), len(counts), float(shrinkage)
    if total >= 2 * k > 0:
        lengths = float(counts @ np.einsum("ij,ij->i", centres, centres))
        within = max(total - lengths, 0.0) / (total - k)
        between = lengths / total - float(mean @ mean) - (k - 1) * within / total
        kappa = min(max(5 * within / between, 1.0), kappa) if between > 0 else kappa
    weighted: Rows = np.minimum(counts, shrinkage)[:, None] * centres + kappa * mean
    return weighted


@dataclass
class _Class:
    mean: NDArray[np.float64]
    shots: int = 1
    centres: Rows = field(default_factory=lambda: np.empty((0, 0)))
    counts: Rows = field(default_factory=lambda: np.empty(0))
    pair_cost: float = 0.0


class FloatHead:
    """`ImprintHead` of the same dimension, budget and options, without its arena and its integers.

    Args:
        like: a head; it is not changed, only its options are read.
    """

    def __init__(self, like: ImprintHead) -> None:
        self._layout = Layout(like.dim, like.budget)
        self._max_centres = like.max_proxies - 1
        self._shrinkage = like.shrinkage
        self._classes: dict[str, _Class] = {}

    def partial_fit(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> FloatHead:
        """Learn shots one after the other."""
        for shot, label in zip(normalise(shots).astype(np.float64), labels.tolist(), strict=True):
            known = self._classes.get(label)
            if known is None:
                self._open(label, shot)
            else:
                self._place(known, shot)
                known.shots += 1
        return self

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        """The class of the proxy with the greatest cosine."""
        proxies, owners = [], []
        for label, known in self._classes.items():
            shrunk = shrunk_towards(known.mean, known.centres, known.counts, self._shrinkage)
            proxies.append(known.mean[None])
            if len(known.counts):
                proxies.append(shrunk)
            owners.extend([label] * (1 + len(known.counts)))
        rows = normalise(np.concatenate(proxies))
        answers: NDArray[np.str_] = np.array(owners)[np.argmax(normalise(embeddings) @ rows.T, axis=1)]
        return answers

    def proxies_per_class(self) -> dict[str, int]:
        """How many proxies each class has: its mean and its centres."""
        return {label: 1 + len(known.counts) for label, known in self._classes.items()}

    def _has_room(self, classes: int) -> bool:
        used = sum(self.proxies_per_class().values())
        return used < self._layout.slots_for(len(self._classes) + classes)

    def _open(self, label: str, shot: NDArray[np.float64]) -> None:
        while not self._has_room(1):
            self._give_room(keep=0)
        self._classes[label] = _Class(shot.copy(), centres=np.empty((0, len(shot))))

    def _place(self, own: _Class, shot: NDArray[np.float64]) -> None:
        share = min(self._max_centres, self._layout.slots_for(len(self._classes)) // len(self._classes) - 1)
        cost, place = _nearest(own, shot) if len(own.counts) else (_NEVER, -1)
        scatter = 1 - float(own.mean @ own.mean)
        own.mean += (shot - own.mean) / (own.shots + 1)
        if len(own.counts) < share and 16 * cost > scatter:
            if self._is_messy(own):
                if not self._has_room(0):
                    self._give_room(keep=share)
                _append(own, shot)
            elif place >= 0:
                _absorb(own, place, shot, 1)
            return
        if place >= 0 and cost > own.pair_cost:
            own.pair_cost, first, second = _closest_pair(own)
            if cost > own.pair_cost:
                _merge(own, first, second)
                _append(own, shot)
                return
        if place >= 0:
            _absorb(own, place, shot, 1)

    def _is_messy(self, own: _Class) -> bool:
        every = list(self._classes.values())
        # The shot that is being learnt is in its class's mean already, and not yet in its count.
        shots = np.array([one.shots + (one is own) for one in every])
        means = np.array([one.mean for one in every])
        square = np.einsum("ij,ij->i", means, means)
        scatter = np.maximum(1 - square, 0) * shots / np.maximum(shots - 1, 1)
        this = next(place for place, one in enumerate(every) if one is own)
        gap = square + square[this] - 2 * means @ own.mean - scatter / shots - scatter[this] / shots[this]
        gap[this] = _ALONE_GAP
        return bool(4 * scatter[this] > gap.min())

    def _give_room(self, keep: int) -> None:
        """Let the class whose cheapest merge costs least have one centre less."""
        givers = [one for one in self._classes.values() if len(one.counts) > keep]
        costs = [_closest_pair(one) if len(one.counts) > 1 else (0.0, -1, 0) for one in givers]
        best = min(range(len(givers)), key=lambda place: costs[place][0])
        _, first, second = costs[best]
        if first >= 0:
            _merge(givers[best], first, second)
        else:
            _drop(givers[best], second)


def _nearest(own: _Class, shot: NDArray[np.float64]) -> tuple[float, int]:
    apart = np.square(own.centres - shot).sum(axis=1)
    place = int(apart.argmin())
    return float(apart[place] * own.counts[place] / (own.counts[place] + 1)), place


def _closest_pair(own: _Class) -> tuple[float, int, int]:
    if len(own.counts) < 2:
        return _NEVER, -1, -1
    square = np.einsum("ij,ij->i", own.centres, own.centres)
    apart = np.maximum(square[:, None] + square - 2 * own.centres @ own.centres.T, 0)
    cost = apart * (own.counts[:, None] * own.counts) / (own.counts[:, None] + own.counts)
    np.fill_diagonal(cost, _NEVER)
    first, second = divmod(int(cost.argmin()), len(own.counts))
    return float(cost[first, second]), min(first, second), max(first, second)


def _absorb(own: _Class, place: int, point: NDArray[np.float64], count: float) -> None:
    own.counts[place] += count
    own.centres[place] += (point - own.centres[place]) * (count / own.counts[place])


def _merge(own: _Class, first: int, second: int) -> None:
    _absorb(own, first, own.centres[second].copy(), float(own.counts[second]))
    _drop(own, second)


def _append(own: _Class, shot: NDArray[np.float64]) -> None:
    own.centres, own.counts = np.vstack([own.centres, shot]), np.append(own.counts, 1.0)
    own.pair_cost = 0.0


def _drop(own: _Class, place: int) -> None:
    own.centres, own.counts = np.delete(own.centres, place, 0), np.delete(own.counts, place)
