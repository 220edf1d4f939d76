"""Shots that look mislabelled: a bounded log, made from the scores that each shot had before it was learnt.

The margin of a shot is its score with its own class less that with the best other one. A shot is odd when its margin is
far below what this class's shots usually have; wrong labels lie about `_APART` standard deviations lower, or twice the
usual margin where classes are well apart. How sure follows from Bayes' rule with one wrong label in 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt

from edge_imprint.errors import ValueRangeError
from edge_imprint.head.labels import Label

CAPACITY = 16
FIRST_JUDGED = 2
LEAST_SEEN = 8
_APART = 1.5
_WRONG_SHARE = 0.05
_CLASS_PRIOR = 8.0
_WINDOW = 256
_FAR = 2.5
_LEAST_STD_SHARE = 0.05
_LEAST_STD = 1e-9


@dataclass(frozen=True)
class OddShot:
    """One shot that may have the wrong label.

    Attributes:
        number: which shot it was of all that were learnt, from 1.
        label: the label it was taught with.
        looks_like: the class that scored best.
        margin: score with its own class less that with the other one.
        sure: estimated probability of a wrong label, 0 to 1.
    """

    number: int
    label: Label
    looks_like: Label
    margin: float
    sure: float


class OddShots:
    """Keeps at most 16 odd shots, the oddest of those seen; three numbers per class besides.

    Example:
        >>> log = OddShots()
        >>> for number in range(1, 31):
        ...     log.observe(number, "mug", 5, own=0.9, other=0.5 + 0.01 * (number % 3), looks_like="bowl")
        >>> log.observe(31, "mug", 35, own=0.4, other=0.9, looks_like="bowl")
        >>> [(odd.number, odd.looks_like) for odd in log.found()]
        [(31, 'bowl')]
    """

    def __init__(self) -> None:
        self._events: list[OddShot] = []
        self._means: dict[Label, tuple[float, float]] = {}
        self._count = self._mean = self._variance = 0.0

    def observe(self, number: int, label: Label, shots: int, own: float, other: float, looks_like: Label) -> None:
        """Take in the scores of one shot before it was learnt; does nothing before a class's third shot.

        Args:
            number: of the shot among all, from 1.
            label: the class it is taught as.
            shots: how many shots the class had before.
            own: score with the class, a cosine or anything else that grows with likeness.
            other: best score with another class.
            looks_like: that other class.

        Raises:
            ValueRangeError: a score is NaN or infinite; nothing changes.
        """
        margin = own - other
        if not abs(margin) < float("inf"):
            raise ValueRangeError(f"scores must be finite; got {own} and {other}. Leave such shots out")
        if shots < FIRST_JUDGED:
            return
        z = self._z(label, margin)
        if margin < 0 and self._count >= LEAST_SEEN:
            self._keep(OddShot(number, label, looks_like, margin, 0.0))
        self._learn(label, margin, z)

    def found(self, least_sure: float = 0.25) -> list[OddShot]:
        """Odd shots, the surest first, judged by what is usual by now; those less sure than `least_sure` left out."""
        judged = [replace(event, sure=self._sure(event)) for event in self._events]
        judged.sort(key=lambda event: (-event.sure, event.number))
        return [event for event in judged if event.sure >= least_sure]

    def forget(self, label: Label) -> None:
        """Drop what is known of a class."""
        self._means.pop(label, None)
        self._events = [event for event in self._events if label not in (event.label, event.looks_like)]

    def take_back(self, number: int) -> None:
        """Drop the event of a shot that was undone; what is usual keeps knowing of it."""
        self._events = [event for event in self._events if event.number != number]

    @property
    def events(self) -> Sequence[OddShot]:
        """All kept events, in the order of the shots, with `sure` left at 0."""
        return tuple(sorted(self._events, key=lambda event: event.number))

    def _usual(self, label: Label) -> float:
        """Usual margin of a class, drawn to that of all classes by eight shots."""
        count, mean = self._means.get(label, (0.0, 0.0))
        return (count * mean + _CLASS_PRIOR * self._mean) / (count + _CLASS_PRIOR)

    def _std(self) -> float:
        return max(sqrt(max(self._variance, 0.0)), _LEAST_STD_SHARE * abs(self._mean), _LEAST_STD)

    def _z(self, label: Label, margin: float) -> float:
        return (margin - self._usual(label)) / self._std()

    def _odds(self, event: OddShot) -> float:
        """Logarithm of the odds that the label is wrong."""
        apart = max(_APART, 2 * self._usual(event.label) / self._std())
        prior = log(_WRONG_SHARE / (1 - _WRONG_SHARE))
        return prior - apart * self._z(event.label, event.margin) - apart * apart / 2

    def _sure(self, event: OddShot) -> float:
        return 1 / (1 + exp(-min(max(self._odds(event), -50.0), 50.0)))

    def _keep(self, event: OddShot) -> None:
        self._events.append(event)
        if len(self._events) > CAPACITY:
            self._events.remove(min(self._events, key=lambda kept: (self._odds(kept), -kept.number)))

    def _learn(self, label: Label, margin: float, z: float) -> None:
        """Move what is usual; a margin that is far off counts as one 2.5 standard deviations off."""
        if self._count >= LEAST_SEEN and abs(z) > _FAR:
            margin = self._usual(label) + (_FAR if z > 0 else -_FAR) * self._std()
        count, mean = self._means.get(label, (0.0, 0.0))
        count = min(count + 1, float(_WINDOW))
        # Scatter about the class's own usual margin, so that classes that differ do not hide what is odd.
        delta = margin - self._usual(label) if self._count else 0.0
        self._count = min(self._count + 1, float(_WINDOW))
        self._mean += (margin - self._mean) / self._count
        self._means[label] = (count, mean + (margin - mean) / count)
        if self._count > 1:
            self._variance += (delta * delta - self._variance) / (self._count - 1)
