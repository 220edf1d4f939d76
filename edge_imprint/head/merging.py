"""What one head learnt, added to another: classes as weighted points, statistics pooled."""

from __future__ import annotations

from edge_imprint.errors import BackboneMismatchError
from edge_imprint.head import clusters
from edge_imprint.head.arena import SHOTS, Arena
from edge_imprint.head.labels import Label
from edge_imprint.head.learning import SHOTS_MAX, open_class
from edge_imprint.head.options import Options
from edge_imprint.head.reject import WINDOW, pool


def check_backbones(mine: str | None, theirs: str | None) -> None:
    """Refuse two different backbones, told apart by their first word; an unnamed one is taken on trust."""
    if mine and theirs and mine.split(" ", 1)[0] != theirs.split(" ", 1)[0]:
        raise BackboneMismatchError(
            f"heads to merge need embeddings of one backbone; got {mine} and {theirs}. Teach one of them again"
        )


def merge_class(arena: Arena, index: int | None, label: Label, theirs: Arena, source: int, options: Options) -> None:
    """Add another head's class: its mean by its count, its centres as weighted points."""
    # Every point fills the journal anew: it cannot take a whole merge back, so the caller closes it.
    arena.open_journal()
    mean = theirs.point(source)
    if index is None:
        index = open_class(arena, label, mean)
    else:
        clusters.blend(arena, index, mean)
        arena.shots[index] = min(int(arena.shots[index]) + mean.weight, SHOTS_MAX)
    pool_other(arena, index, theirs, source)
    for slot in theirs.centres_of(source).tolist():
        arena.open_journal()
        clusters.place(arena, index, theirs.point(slot), options.max_centres)


def pool_other(mine: Arena, index: int, theirs: Arena, source: int) -> None:
    """Pool two class records' statistics of cosines with other classes into `mine`."""
    fields = ("other_count", "other_mean", "other_variance")
    a, b = (
        (int(arena.other_count[i]), int(arena.other_mean[i]), int(arena.other_variance[i]))
        for arena, i in ((mine, index), (theirs, source))
    )
    for name, value in zip(fields, pool(a, b, WINDOW), strict=True):
        getattr(mine, name)[index] = value


def pool_own(mine: Arena, theirs: Arena) -> None:
    """Pool two heads' statistics of cosines with the own class into `mine`, and add up their shots."""
    mine.own = pool(mine.own, theirs.own, 4 * WINDOW)
    mine.count_shots(int(theirs.header[SHOTS]))
