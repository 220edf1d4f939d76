"""One shot into the arena: statistics, journal, class mean, centres."""

from __future__ import annotations

from typing import Protocol

from edge_imprint.head import clusters, reject, scoring
from edge_imprint.head.arena import NO_CLASS, Arena
from edge_imprint.head.fixed import Point
from edge_imprint.head.labels import Label, encode_label
from edge_imprint.head.options import Options

SHOTS_MAX = 0xFFFFFFFF


class Judge(Protocol):
    """Scores a shot before it is learnt, and learns from it what the arena does not keep."""

    def is_sampled(self, shots: int) -> bool:
        """Whether the next shot of a class of so many shots is scored."""
        ...

    def judge(self, point: Point, index: int) -> tuple[int | None, int | None]:
        """Scores times 2^15 with the class and with the best other one; None where there is none."""
        ...

    def absorb(self, point: Point, index: int | None) -> None:
        """Learn a shot of a class, or of a new one when None. The journal is open, the arena does not know it yet."""
        ...

    def settle(self) -> None:
        """The arena knows the shot."""
        ...


class ProxyJudge:
    """Cosines with the proxies; there is nothing else to learn."""

    def __init__(self, arena: Arena, options: Options) -> None:
        """Score with the proxies of an arena."""
        self._arena, self._options = arena, options

    def is_sampled(self, shots: int) -> bool:
        """As in `Judge`."""
        return reject.is_sampled(shots)

    def judge(self, point: Point, index: int) -> tuple[int | None, int | None]:
        """As in `Judge`."""
        scoring.refresh(self._arena, self._options.shrinkage)
        own, other = scoring.best_scores(self._arena, point.query, index)
        scale = point.query_scale
        return (
            None if own is None else scoring.cosine_q15(own, scale),
            None if other is None else scoring.cosine_q15(other, scale),
        )

    def absorb(self, point: Point, index: int | None) -> None:
        """As in `Judge`."""

    def settle(self) -> None:
        """As in `Judge`."""


def learn(arena: Arena, index: int | None, label: Label, point: Point, options: Options, judge: Judge) -> None:
    """Learn one shot of the class `index`, or of a new class when None; the caller has checked that it fits."""
    shots = 0 if index is None else int(arena.shots[index])
    own = other = None
    if arena.n_slots and judge.is_sampled(shots):
        own, other = judge.judge(point, NO_CLASS if index is None else index)
    arena.open_journal()
    judge.absorb(point, index)
    arena.count_shots(1)
    if index is None:
        index = open_class(arena, label, point)
    else:
        arena.save_record(index)
        clusters.blend(arena, index, point)
        clusters.place(arena, index, point, options.max_centres)
        arena.shots[index] = min(shots + 1, SHOTS_MAX)
        if own is not None:
            reject.observe_own(arena, own)
    if other is not None:
        reject.observe_other(arena, index, other)
    judge.settle()


def open_class(arena: Arena, label: Label, point: Point) -> int:
    """Add a class with its mean; the others give room if they must."""
    while not arena.has_room(1, 1):
        arena.give_back(clusters.free_slot(arena, keep=0))
    return arena.open_record(encode_label(label), point)
