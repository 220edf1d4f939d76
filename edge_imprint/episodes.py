"""N-way K-shot episodes over embeddings: how well does each method do, and how sure is that?

One episode draws some classes, some shots of each to learn from and other pictures of each to ask about. All
methods see the same episodes, and within an episode the first five of twenty shots are the five-shot case, so
a difference between two numbers comes from the method or from the shot count, never from luckier pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.errors import ShapeError, UsageError, ValueRangeError
from edge_imprint.head import ImprintHead, Plan, compare
from edge_imprint.head.ridge.base import BaseMoments
from edge_imprint.imprint import PRESETS, ImprintClassifier

HEADS = {"proxies": "proxies", "ridge": "ridge", "auto": "auto", "head": "auto"}
"""Names of the streaming head's methods; "head" is what "auto" was called in 0.1.0."""
METHODS: tuple[str, ...] = ("proxies", "ridge", *PRESETS)
"""What is compared when nobody chooses: both methods of the streaming head, then the presets of the paper."""

# Two-sided 95 % points of Student's t for 1 to 9 degrees of freedom, where the expansion is too coarse.
_T_SMALL = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157)
_Z = 1.959963985


@dataclass(frozen=True)
class Episode:
    """One draw. Index arrays point into the embeddings the episode was drawn from.

    Attributes:
        classes: the labels drawn, sorted.
        shots: for each shot count, ascending, the indices that are added since the one before, shuffled.
        queries: indices of the pictures asked about; none of them is a shot.
    """

    classes: tuple[str, ...]
    shots: tuple[NDArray[np.intp], ...]
    queries: NDArray[np.intp]


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its 95 % interval (None when there was one value only)."""

    mean: float
    half_width: float | None


@dataclass(frozen=True)
class Outcome:
    """What one method reached at one shot count: balanced accuracy in [0, 1] over all episodes."""

    method: str
    shots: int
    accuracy: Interval
    per_episode: tuple[float, ...]


def interval95(values: ArrayLike) -> Interval:
    """Mean and 95 % interval by Student's t over the values.

    Args:
        values: shape (n,), n >= 1, finite.

    Raises:
        ShapeError: no values, or not one-dimensional.

    >>> interval95([0.5, 0.7])
    Interval(mean=0.6, half_width=1.2706205)
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ShapeError(f"values must be (n,) with n >= 1; got {array.shape}")
    if array.size == 1:
        return Interval(float(array[0]), None)
    error = float(array.std(ddof=1)) / math.sqrt(array.size)
    return Interval(round(float(array.mean()), 12), round(_t95(array.size - 1) * error, 12))


def _t95(freedom: int) -> float:
    """Student's t, two-sided 95 %; from 10 degrees of freedom on by Cornish-Fisher expansion, within 1e-4."""
    if freedom <= len(_T_SMALL):
        return _T_SMALL[freedom - 1]
    z, v = _Z, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def draw_episodes(
    labels: Sequence[str],
    *,
    shots: Sequence[int],
    episodes: int = 20,
    queries: int = 15,
    ways: int | None = None,
    seed: int = 0,
) -> Iterator[Episode]:
    """Draw seeded episodes; the same arguments give the same episodes.

    Every class must have more pictures than the largest shot count. A class with fewer than shots + queries
    pictures asks about what is left, which balanced accuracy weighs correctly.

    Args:
        labels: one label per embedding.
        shots: shot counts, each >= 1.
        episodes: how many to draw, >= 1.
        queries: pictures asked about per class, >= 1.
        ways: classes per episode, 2 up to their number; None takes all.
        seed: of the random generator.

    Raises:
        UsageError: fewer than two classes, more ways than classes, or a class with too few pictures. Raised
            before the first episode is drawn.
        ValueRangeError: a count below its minimum.

    >>> [episode] = draw_episodes(["cup", "cup", "hat", "hat"], shots=[1], episodes=1)
    >>> episode.classes, len(episode.shots[0]), len(episode.queries)
    (('cup', 'hat'), 2, 2)
    """
    members, counts, ways = _check(labels, shots, episodes, queries, ways)
    return _draw(members, counts, episodes, queries, ways, np.random.default_rng(seed))


def _check(
    labels: Sequence[str], shots: Sequence[int], episodes: int, queries: int, ways: int | None
) -> tuple[dict[str, NDArray[np.intp]], list[int], int]:
    for name, value in (("episodes", episodes), ("queries", queries), ("shots", min(shots, default=0))):
        if value < 1:
            raise ValueRangeError(f"{name} must be at least 1; got {value}")
    names = np.asarray(labels, dtype=np.str_)
    members = {str(name): np.flatnonzero(names == name) for name in np.unique(names)}
    if len(members) < 2:
        raise UsageError(
            f"at least 2 classes are needed to tell apart; got {len(members)} "
            f"({', '.join(members) or 'none'}). Add pictures of another class"
        )
    ways = len(members) if ways is None else ways
    if not 2 <= ways <= len(members):
        raise UsageError(f"ways must be from 2 to the number of classes, {len(members)}; got {ways}")
    smallest = min(members, key=lambda name: members[name].size)
    if members[smallest].size <= max(shots):
        size = members[smallest].size
        way_out = f"Ask for at most {size - 1} shots or add pictures" if size > 1 else "Add pictures"
        raise UsageError(
            f"{max(shots)} shots need at least {max(shots) + 1} pictures of every class, one of them to ask "
            f"about; class {smallest!r} has {size}. {way_out}"
        )
    return members, sorted(set(shots)), ways


def _draw(
    members: dict[str, NDArray[np.intp]],
    counts: list[int],
    episodes: int,
    queries: int,
    ways: int,
    rng: np.random.Generator,
) -> Iterator[Episode]:
    names = sorted(members)
    for _ in range(episodes):
        chosen = sorted(rng.choice(len(names), ways, replace=False))
        orders = [rng.permutation(members[names[i]]) for i in chosen]
        steps = []
        for before, count in zip([0, *counts], counts, strict=False):
            steps.append(rng.permutation(np.concatenate([order[before:count] for order in orders])))
        asked = np.concatenate([order[counts[-1] : counts[-1] + queries] for order in orders])
        yield Episode(tuple(names[i] for i in chosen), tuple(steps), asked)


def evaluate(
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    *,
    shots: Sequence[int] = (1, 5, 20),
    methods: Sequence[str] | None = None,
    episodes: int = 20,
    queries: int = 15,
    ways: int | None = None,
    seed: int = 0,
    budget: str | int = "512KB",
    base: BaseMoments | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Compare methods on seeded episodes; heads get single shots in random order, once, in their budget.

    Args:
        embeddings: shape (n, dim), float32. Not modified.
        labels: (n,), one per embedding.
        shots: shot counts to report.
        methods: names out of `HEADS` and `PRESETS`; None takes `METHODS`, without "ridge" where the budget does not
            hold it.
        episodes: see `draw_episodes`, like queries, ways and seed.
        queries: see `draw_episodes`.
        ways: see `draw_episodes`.
        seed: see `draw_episodes`.
        budget: bytes for each head, like "64KB" or 65536.
        base: for heads with method "ridge", see `ImprintHead`.
        advance: called once after each episode, for a progress bar.

    Returns:
        One outcome per method and shot count, methods in the order given, shots ascending.

    Raises:
        UsageError: an unknown method, or what `draw_episodes` refuses.
        ShapeError: embeddings and labels do not match.
        BudgetError: the budget is too small for one class.
        CapacityError: the budget has no room for the classes of an episode.

    >>> points = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1, 1]]
    >>> [outcome] = evaluate(points, list("aaabbb"), shots=[1], methods=["proxies"], episodes=3)
    >>> outcome.accuracy
    Interval(mean=1.0, half_width=0.0)
    """
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2 or len(embeddings) != len(labels):
        raise ShapeError(
            f"embeddings must be (n, dim) with one label each; got {embeddings.shape}, {len(labels)} labels"
        )
    if methods is None:
        both = compare(embeddings.shape[1], budget, len(set(labels)) if ways is None else ways)
        methods = [method for method in METHODS if method != "ridge" or isinstance(both.ridge, Plan)]
    check_methods(methods)
    names = np.asarray(labels, dtype=np.str_)
    counts = sorted(set(shots))
    results: dict[tuple[str, int], list[float]] = {(method, count): [] for method in methods for count in counts}
    for episode in draw_episodes(labels, shots=shots, episodes=episodes, queries=queries, ways=ways, seed=seed):
        drawn = (episode, embeddings, names)
        for method in dict.fromkeys(methods):
            if method in HEADS:
                run = _run_head(ImprintHead(embeddings.shape[1], budget, method=HEADS[method], base=base), *drawn)
            else:
                run = _run_preset(method, *drawn)
            for count, answers in zip(counts, run, strict=True):
                results[method, count].append(balanced_accuracy(names[episode.queries], answers))
        advance()
    return [Outcome(method, count, interval95(values), tuple(values)) for (method, count), values in results.items()]


def check_methods(methods: Sequence[str]) -> None:
    """Refuse names that `evaluate` does not know, and an empty list.

    Raises:
        UsageError: that is so.
    """
    names = (*HEADS, *PRESETS)
    unknown = [method for method in methods if method not in names]
    if unknown or not methods:
        raise UsageError(f"methods must be some of {', '.join(names)}; got {', '.join(unknown) or 'none'}")


def _run_head(
    head: ImprintHead, episode: Episode, embeddings: NDArray[np.float32], names: NDArray[np.str_]
) -> Iterator[NDArray[np.str_]]:
    for step in episode.shots:
        for index in step:
            head.partial_fit(embeddings[index : index + 1], str(names[index]))
        yield np.asarray(head.predict(embeddings[episode.queries]), dtype=np.str_)


def _run_preset(
    method: str, episode: Episode, embeddings: NDArray[np.float32], names: NDArray[np.str_]
) -> Iterator[NDArray[np.str_]]:
    for upto in range(1, len(episode.shots) + 1):
        seen = np.concatenate(episode.shots[:upto])
        classifier = ImprintClassifier.preset(method).fit(embeddings[seen], names[seen])
        yield np.asarray(classifier.predict(embeddings[episode.queries]), dtype=np.str_)


def balanced_accuracy(truth: ArrayLike, answers: ArrayLike) -> float:
    """The mean over classes of the share of its pictures that were answered right, in [0, 1].

    Raises:
        ShapeError: not one answer per label, or none at all.

    >>> balanced_accuracy(["a", "a", "a", "b"], ["a", "a", "a", "a"])
    0.5
    """
    true, given = np.asarray(truth, dtype=np.str_), np.asarray(answers, dtype=np.str_)
    if true.ndim != 1 or true.shape != given.shape or true.size == 0:
        raise ShapeError(f"truth and answers must both be (n,), n >= 1; got {true.shape} and {given.shape}")
    return float(np.mean([np.mean(given[true == name] == name) for name in np.unique(true)]))
