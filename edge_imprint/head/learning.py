"""One shot into the arena: journal, statistics, class mean, centres."""

from __future__ import annotations

from edge_imprint.head import clusters, reject, scoring
from edge_imprint.head.arena import NO_CLASS, Arena
from edge_imprint.head.fixed import Point
from edge_imprint.head.labels import Label, encode_label
from edge_imprint.head.options import Options

SHOTS_MAX = 0xFFFFFFFF


def learn(arena: Arena, index: int | None, label: Label, point: Point, options: Options) -> None:
    """Learn one shot of the class `index`, or of a new class when None; the caller has checked that it fits."""
    shots = 0 if index is None else int(arena.shots[index])
    own = other = None
    if arena.n_slots and reject.is_sampled(shots):
        scoring.refresh(arena, options.shrinkage)
        own, other = scoring.best_scores(arena, point.query, NO_CLASS if index is None else index)
    arena.open_journal()
    arena.count_shots(1)
    if index is None:
        index = open_class(arena, label, point)
    else:
        arena.save_record(index)
        clusters.blend(arena, index, point)
        clusters.place(arena, index, point, options.max_centres)
        arena.shots[index] = min(shots + 1, SHOTS_MAX)
        if own is not None:
            reject.observe_own(arena, scoring.cosine_q15(own, point.query_scale))
    if other is not None:
        reject.observe_other(arena, index, scoring.cosine_q15(other, point.query_scale))


def open_class(arena: Arena, label: Label, point: Point) -> int:
    """Add a class with its mean; the others give room if they must."""
    while not arena.has_room(1, 1):
        arena.give_back(clusters.free_slot(arena, keep=0))
    return arena.open_record(encode_label(label), point)
