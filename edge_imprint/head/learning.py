"""One shot into the arena: journal, statistics, class mean, centres."""

from __future__ import annotations

from edge_imprint.head import clusters, fixed, reject, scoring
from edge_imprint.head.arena import SHOTS, Arena
from edge_imprint.head.fixed import Point
from edge_imprint.head.labels import Label, encode_label
from edge_imprint.head.options import Options

SHOTS_MAX = 0xFFFFFFFF


def learn(arena: Arena, index: int | None, label: Label, point: Point, options: Options) -> None:
    """Learn one shot of the class `index`, or of a new class when None; the caller has checked that it fits."""
    shots = 0 if index is None else int(arena.shots[index])
    scores = _scores(arena, point, options) if reject.is_sampled(shots) else None
    arena.open_journal()
    arena.header[SHOTS] += 1
    if index is None:
        index = open_class(arena, label, point)
        own_best, other_best = None, _best(scores)
    else:
        arena.save_record(index)
        own = None if scores is None else arena.cls[: len(scores)] == index
        own_best = None if scores is None else _best(scores[own])
        other_best = None if scores is None or own is None else _best(scores[~own])
        clusters.blend(arena, index, point)
        clusters.place(arena, index, point, options.max_centres)
        arena.shots[index] = min(shots + 1, SHOTS_MAX)
    if own_best is not None:
        reject.observe_own(arena, scoring.cosine_q15(own_best, point.query_scale))
    if other_best is not None:
        reject.observe_other(arena, index, scoring.cosine_q15(other_best, point.query_scale))


def _scores(arena: Arena, point: Point, options: Options) -> fixed.Int64 | None:
    if not arena.n_slots:
        return None
    scoring.refresh(arena, options.shrinkage)
    return scoring.slot_scores(arena, point.query, sparing=True)


def _best(scores: fixed.Int64 | None) -> int | None:
    return int(scores.max()) if scores is not None and len(scores) else None


def open_class(arena: Arena, label: Label, point: Point) -> int:
    """Add a class with its mean; the others give room if they must."""
    while not arena.has_room(1, 1):
        arena.give_back(clusters.free_slot(arena, keep=0))
    return arena.open_record(encode_label(label), point)
