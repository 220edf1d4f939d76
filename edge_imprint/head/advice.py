"""Advice to the teacher: which classes are mistaken for each other, what to show next, what to look at again.

Everything follows from what a head keeps anyway: class means, counts and centres, and a short log of odd shots. How
good the numbers are on real pictures is in docs/ADVICE.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ShapeError, ValueRangeError
from edge_imprint.head.labels import Label
from edge_imprint.head.learning_curve import Curve, check_taught, curve_of
from edge_imprint.head.odd_shots import OddShot

Kind = Literal["one class", "confusable", "more shots", "enough shots", "odd shot", "wasted bytes", "never the answer"]

MORE = 5
LEAST_GAIN = 0.03
LEAST_CHANCE = 0.2
MOST_PAIRS = 5
# Centres this close to their mean, in squared gaps to the nearest class, hardly move the border between the two.
CLOSE = 1 / 16
ANSWERS_PER_CLASS = 20
_SIGNAL_STD = 20.0**-0.5


@dataclass(frozen=True)
class ClassSummary:
    """What a head knows about one class.

    Attributes:
        label: the class.
        shots: how many shots it was taught with, at least 1.
        mean: (dim,) mean of its unit shots, not normalised.
        size_bytes: bytes of the budget that the class takes.
        centres: (n_centres, dim) centres besides the mean; None for none.
        counts: (n_centres,) shots in each centre; None for equal shares.
        answers: how often the class was the answer since teaching ended; None where nobody counts.
    """

    label: Label
    shots: int
    mean: NDArray[np.float32]
    size_bytes: int
    centres: NDArray[np.float32] | None = None
    counts: NDArray[np.int64] | None = None
    answers: int | None = None

    @property
    def n_centres(self) -> int:
        """Proxies besides the mean."""
        return 0 if self.centres is None else len(self.centres)


@dataclass(frozen=True)
class Advice:
    """One piece of advice.

    Attributes:
        kind: what it is about.
        labels: the classes it is about.
        importance: 0 to 1, about which share of these classes' pictures is at stake; 0 for what costs only bytes.
        numbers: what it rests on, by name.
        sentence: the advice in English, with a way out.
    """

    kind: Kind
    labels: tuple[Label, ...]
    importance: float
    numbers: dict[str, float]
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and text, for JSON."""
        return {**asdict(self), "labels": list(self.labels)}


def advise(classes: Sequence[ClassSummary], odd: Iterable[OddShot] = ()) -> list[Advice]:
    """All advice on a head, the most important first.

    Costs 2 dim n_classes^2 multiplications; 1,000 classes of 1,280 dimensions take a second or two. Changes nothing.

    Args:
        classes: what the head knows, in its own order.
        odd: what `OddShots.found` gives.

    Raises:
        ShapeError: means or centres of different lengths.
        ValueRangeError: NaN or infinity, a mean longer than 1, or a class without shots.

    Example:
        >>> mug = ClassSummary("mug", 3, np.array([0.9, 0.1], np.float32), 64)
        >>> cup = ClassSummary("cup", 3, np.array([0.9, 0.2], np.float32), 64)
        >>> advise([mug, cup])[0].kind
        'confusable'
    """
    if not classes:
        return []
    dims = {np.shape(summary.mean) for summary in classes}
    if len(dims) != 1 or len(next(iter(dims))) != 1:
        raise ShapeError(f"all means must be (dim,) of one dim; got {sorted(dims)}. Pass one head's classes")
    means, shots = check_taught([summary.mean for summary in classes], [summary.shots for summary in classes])
    found: list[Advice] = []
    if len(classes) == 1:
        found.append(_only(classes[0]))
    else:
        curve = curve_of(means, shots)
        gaps = _gaps(means, curve)
        found += _confusable(classes, curve, gaps)
        found += _shots(classes, curve)
        found += [piece for index in range(len(classes)) for piece in _wasted(classes, index, gaps[index])]
        found += _never(classes)
    found += _odd(classes, odd)
    return sorted(found, key=lambda piece: -piece.importance)


def _only(summary: ClassSummary) -> Advice:
    text = f"{summary.label!r} is the only class, so it is the answer to everything. Teach a second class."
    return Advice("one class", (summary.label,), 1.0, {"shots": float(summary.shots)}, text)


def _gaps(means: NDArray[np.float64], curve: Curve) -> NDArray[np.float64]:
    """Squared distances of the means without the part that is owed to few shots, (n, n); infinite on the diagonal."""
    inner = means @ means.T
    squares = inner.diagonal()
    noise = curve.scatter / curve.shots
    gaps: NDArray[np.float64] = np.maximum(squares[:, None] + squares - 2 * inner - noise[:, None] - noise, 0.0)
    np.fill_diagonal(gaps, np.inf)
    return gaps


def _confusable(classes: Sequence[ClassSummary], curve: Curve, gaps: NDArray[np.float64]) -> list[Advice]:
    """The pairs with the highest chance of a mistake, each once."""
    chance = curve.confusion()
    both = np.triu((chance + chance.T) / 2, 1)
    found = []
    for place in np.argsort(-both, axis=None, kind="stable")[:MOST_PAIRS].tolist():
        a, b = divmod(place, len(classes))
        if both[a, b] < LEAST_CHANCE:
            break
        apart, scatter = float(np.sqrt(gaps[a, b])), float(np.sqrt(curve.scatter)) * _SIGNAL_STD
        first, second = classes[a], classes[b]
        text = (
            f"{first.label!r} and {second.label!r} are easily mistaken for each other: their means are {apart:.2f} "
            f"apart, and shots scatter by {scatter:.2f} along that line. {_way_out(first, second)}"
        )
        numbers = {
            "chance": float(both[a, b]),
            "chance_first_as_second": float(chance[a, b]),
            "chance_second_as_first": float(chance[b, a]),
            "distance": apart,
            "scatter": scatter,
        }
        found.append(Advice("confusable", (first.label, second.label), float(both[a, b]), numbers, text))
    return found


def _way_out(first: ClassSummary, second: ClassSummary) -> str:
    fewest = min(first, second, key=lambda summary: summary.shots)
    if fewest.shots < 10:
        return f"Show both from sides where they differ, {fewest.label!r} first: it has {_count(fewest.shots)}."
    return "Give them one name if that serves, show them closer, or use a larger backbone."


def _shots(classes: Sequence[ClassSummary], curve: Curve) -> list[Advice]:
    """For each class that five more shots would help, by how much; and the others in one piece."""
    now, gain = curve.accuracy().tolist(), curve.gain(MORE).tolist()
    found, enough = [], []
    for summary, share, more in zip(classes, now, gain, strict=True):
        if more < LEAST_GAIN:
            enough.append(summary.label)
            continue
        text = (
            f"{summary.label!r} has {_count(summary.shots)}: {MORE} more are expected to raise its share of right "
            f"answers by about {_points(more)}. Show them from other sides."
        )
        numbers = {"shots": float(summary.shots), "accuracy": share, "gain": more}
        found.append(Advice("more shots", (summary.label,), min(more, 1.0), numbers, text))
    if enough:
        most = max(more for more in gain if more < LEAST_GAIN)
        text = (
            f"{_names(enough)} {'has' if len(enough) == 1 else 'have'} enough shots: {MORE} more would add at most "
            f"about {_points(most)}. Show something else."
        )
        found.append(Advice("enough shots", tuple(enough), 0.0, {"gain": most}, text))
    return found


def _wasted(classes: Sequence[ClassSummary], index: int, gaps: NDArray[np.float64]) -> list[Advice]:
    """Centres that lie so close to their mean that answers would hardly change without them."""
    summary = classes[index]
    if summary.centres is None or not summary.n_centres:
        return []
    centres = np.asarray(summary.centres, dtype=np.float64)
    if centres.ndim != 2 or centres.shape[1] != len(summary.mean):
        raise ShapeError(f"centres must be (n, {len(summary.mean)}); got {centres.shape}. Pass the class's own centres")
    weights = np.ones(len(centres)) if summary.counts is None else np.asarray(summary.counts, dtype=np.float64)
    if weights.shape != centres.shape[:1] or not np.isfinite(centres).all() or not (weights > 0).all():
        raise ValueRangeError(f"centres of {summary.label!r} must be finite, with counts. Pass the class's own centres")
    away = ((centres - np.asarray(summary.mean, dtype=np.float64)) ** 2).sum(axis=1)
    between, gap = float(np.average(away, weights=weights)), float(gaps.min())
    if between >= CLOSE * gap:
        return []
    given_back = summary.size_bytes * summary.n_centres // (summary.n_centres + 1)
    text = (
        f"{summary.label!r} keeps {summary.n_centres + 1} proxies that lie close together: one would answer nearly the "
        f"same and give back about {given_back} bytes. Use a head with a smaller max_proxies where bytes are short."
    )
    numbers = {"n_proxies": float(summary.n_centres + 1), "between": between, "gap": gap, "bytes": float(given_back)}
    return [Advice("wasted bytes", (summary.label,), 0.0, numbers, text)]


def _never(classes: Sequence[ClassSummary]) -> list[Advice]:
    """Classes that were not the answer once while all together were it often."""
    counts = [summary.answers for summary in classes if summary.answers is not None]
    total = sum(counts)
    if len(counts) < len(classes) or total < ANSWERS_PER_CLASS * len(classes):
        return []
    return [
        Advice(
            "never the answer",
            (summary.label,),
            0.0,
            {"answers": float(total), "bytes": float(summary.size_bytes)},
            f"{summary.label!r} was not the answer once in {total} pictures. Forget it if it is not needed any more: "
            f"that gives back {summary.size_bytes} bytes.",
        )
        for summary in classes
        if summary.answers == 0
    ]


def _odd(classes: Sequence[ClassSummary], odd: Iterable[OddShot]) -> list[Advice]:
    """What a wrong label puts at stake is its part of the class's mean."""
    shots = {summary.label: summary.shots for summary in classes}
    found = []
    for event in odd:
        if event.label not in shots or event.looks_like not in shots:
            continue
        text = (
            f"Shot {event.number}, taught as {event.label!r}, looks like {event.looks_like!r} "
            f"({100 * event.sure:.0f} % sure). If the label is wrong, forget {event.label!r} and teach it again."
        )
        numbers = {"shot": float(event.number), "margin": event.margin, "sure": event.sure}
        at_stake = event.sure / shots[event.label]
        found.append(Advice("odd shot", (event.label, event.looks_like), at_stake, numbers, text))
    return found


def _points(share: float) -> str:
    points = round(100 * share)
    return "1 point" if points == 1 else f"{points} points"


def _count(shots: int) -> str:
    return "1 shot" if shots == 1 else f"{shots} shots"


def _names(labels: Sequence[Label]) -> str:
    shown = ", ".join(repr(label) for label in labels[:5])
    return shown if len(labels) <= 5 else f"{shown} and {len(labels) - 5} more"
