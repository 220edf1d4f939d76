"""Streaming k-means of one class: where a shot goes, when two centres become one, who gives room in a full arena.

All costs are increases of the sum of squared distances (Ward 1963) in units of 2^-20: a shot, or a proxy that stands
for several, joins its nearest centre unless two others cost less to merge; then these two merge and it takes the place.
"""

from __future__ import annotations

import numpy as np

from edge_imprint.head import fixed
from edge_imprint.head.arena import Arena
from edge_imprint.head.fixed import COUNT_CAP, SQUARE_BITS, Int64, Point

_ONE = 1 << SQUARE_BITS
_ALONE_GAP = _ONE // 2
_COST_MAX = 0xFFFFFFFF


def blend(arena: Arena, slot: int, point: Point) -> None:
    """Move a slot by a point: v + w (p - v) / (n + w), rounded to nearest, n and w at most 2^16.

    Where the point's scale is finer than the row's, the row is brought to the point's.
    """
    arena.save_slot(slot)
    count, shift = int(arena.count[slot]), int(arena.shift[slot])
    values = fixed.join(arena.high[slot], arena.low[slot])
    if point.shift > shift:
        values <<= point.shift - shift
        shift = point.shift
    weight = min(point.weight, COUNT_CAP)
    total = min(count, COUNT_CAP) + weight
    moved = point.values << (shift - point.shift)
    moved -= values
    moved *= 2 * weight
    moved += total
    moved //= 2 * total
    values += moved
    arena.store(slot, values, shift, count + point.weight)


def is_messy(arena: Arena, index: int) -> bool:
    """Whether a class's scatter asks for more than its mean: its trace of S_W against the gap to the nearest class.

    For unit vectors tr(S_W) = 1 - |mean|^2. Both sides are freed of the part that is owed to few shots. A class whose
    scatter is below a quarter of the squared gap has collapsed: one proxy serves it.
    """
    classes = arena.n_classes
    shots = np.minimum(arena.count[:classes].astype(np.int64), COUNT_CAP)
    square = arena.square[:classes].astype(np.int64)
    scatter = np.maximum(_ONE - square, 0) * shots // np.maximum(shots - 1, 1)
    shift = arena.shift[:classes].astype(np.int64)
    inner = (fixed.dots(arena.high[:classes], arena.high[index]) << 8) >> (shift + shift[index])
    gap = square + square[index] - 2 * inner - scatter // shots - scatter[index] // shots[index]
    gap[index] = _ALONE_GAP
    return bool(4 * scatter[index] > gap.min())


def nearest(arena: Arena, centres: Int64, point: Point) -> tuple[int, int]:
    """The nearest centre's slot and the cost of putting the point there; the lowest slot wins a tie."""
    dot = fixed.dots(arena.high[centres], point.query)
    dot <<= 23 - arena.shift[centres].astype(np.int64)
    apart = arena.square[centres].astype(np.int64)
    apart *= point.query_scale
    apart -= dot
    place = int(apart.argmin())
    distance = max(point.square + int(apart[place]) // point.query_scale, 0)
    slot = int(centres[place])
    return slot, _ward(distance, int(arena.count[slot]), point.weight)


def _ward(distance: int, count: int, other: int) -> int:
    """Cost of joining two groups whose centres are so far apart (squared): d n m / (n + m), below `_COST_MAX`."""
    n, m = min(count, COUNT_CAP), min(other, COUNT_CAP)
    return min(distance * n * m // (n + m), _COST_MAX - 1)


def closest_pair(arena: Arena, centres: Int64) -> tuple[int, int, int]:
    """Cost of merging the cheapest pair of centres, and their slots; lowest slots win a tie."""
    if len(centres) < 2:
        return _COST_MAX, -1, -1
    rows, count = arena.high[centres], np.minimum(arena.count[centres].astype(np.int64), COUNT_CAP)
    shift, square = arena.shift[centres].astype(np.int64), arena.square[centres].astype(np.int64)
    inner = (fixed.gram(rows) << 8) >> (shift[:, None] + shift)
    apart = np.maximum(square[:, None] + square - 2 * inner, 0)
    cost = np.minimum(apart * (count[:, None] * count) // (count[:, None] + count), _COST_MAX - 1)
    np.fill_diagonal(cost, _COST_MAX)
    first, second = divmod(int(cost.argmin()), len(centres))
    return int(cost[first, second]), int(centres[first]), int(centres[second])


def place(arena: Arena, index: int, point: Point, max_centres: int) -> None:
    """Find a point, of which the class's mean knows already, a place among the class's centres.

    While the class has fewer centres than its share of the arena and is messy, the point becomes a centre of its own,
    unless one is there already; another class gives room if it must. Then it is nearest centre or merge.
    """
    centres = arena.centres_of(index)
    slot, cost = nearest(arena, centres, point) if len(centres) else (-1, _COST_MAX)
    share = min(max_centres, arena.layout.slots_for(arena.n_classes) // arena.n_classes - 1)
    if len(centres) < share and 16 * cost > _ONE - int(arena.square[index]) and is_messy(arena, index):
        _open_centre(arena, index, point, share)
        return
    if slot < 0:
        return
    # Costs grow with the counts: the last pair's is a floor that saves looking at all pairs for every shot.
    if cost > arena.pair_cost[index]:
        pair_cost, first, second = closest_pair(arena, centres)
        arena.pair_cost[index] = pair_cost
        if cost > pair_cost:
            blend(arena, first, arena.point(second))
            arena.write(second, index, point.values, point.shift, point.weight)
            arena.pair_cost[index] = 0
            return
    blend(arena, slot, point)


def _open_centre(arena: Arena, index: int, point: Point, share: int) -> None:
    if arena.has_room(1, 0):
        arena.append(index, point)
    else:
        arena.write(free_slot(arena, keep=share), index, point.values, point.shift, point.weight)
    arena.pair_cost[index] = 0


def free_slot(arena: Arena, keep: int) -> int:
    """Make one class with more than `keep` centres give a slot: the class whose cheapest merge costs least.

    Returns:
        The slot, whose content is the caller's to replace. A class with one centre falls back to its mean.
    """
    best = (_COST_MAX + 1, -1, -1)
    for index in range(arena.n_classes):
        centres = arena.centres_of(index)
        if len(centres) > keep:
            best = min(best, closest_pair(arena, centres) if len(centres) > 1 else (0, -1, int(centres[0])))
    _, first, second = best
    if first >= 0:
        blend(arena, first, arena.point(second))
    return second
