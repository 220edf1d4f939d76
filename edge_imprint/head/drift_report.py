"""What a drift monitor says: levels, kinds and sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["none", "some", "strong"]
Kind = Literal["shift", "spread", "new things"]

SOME, STRONG = 1e-3, 1e-6


@dataclass(frozen=True)
class Drift:
    """What `DriftMonitor.report` found.

    Attributes:
        level: "some" from a p-value of 1e-3, "strong" from 1e-6.
        kind: "shift" for a common direction (camera, light, backbone), "spread" for scores that changed everywhere
            without one, "new things" for scores that fell while others stay; None without drift.
        statistic: how many times longer than expected without drift the squared common direction is; for the other
            kinds the drop of the mean score in standard errors.
        p_value: chance of such a statistic without drift, by the formula's own assumptions.
        n: live pictures that the answer rests on, at most about the window.
        sentence: what to do, in English.
    """

    level: Level
    kind: Kind | None
    statistic: float
    p_value: float
    n: float
    sentence: str


def level_of(p: float) -> Level:
    """How strong, from a p-value."""
    return "strong" if p < STRONG else "some"


def new_things(statistic: float, p: float, n: float) -> Drift:
    """Scores fell, by `statistic` as in `Drift`."""
    text = (
        f"Many of the last {n:.0f} pictures score lower than usual with every class: things that were never taught. "
        "Teach them, or ask for answers with reject; if they are known, the camera changed."
    )
    return Drift(level_of(p), "new things", statistic, p, n, text)


def spread(z: float, p: float, n: float) -> Drift:
    """All scores changed, by `z` standard errors."""
    change = "lower" if z > 0 else "higher"
    text = (
        f"All of the last {n:.0f} pictures score {change} than usual, in no common direction: blur, noise, a covered "
        "lens, or only things that were never taught. Look at a picture; teach shots of today if it is as it should be."
    )
    return Drift(level_of(p), "spread", z, p, n, text)


def shift(ratio: float, p: float, n: float) -> Drift:
    """All pictures moved, `ratio` times as far as without drift."""
    text = (
        f"The last {n:.0f} pictures differ from the taught ones in the same way, {ratio:.1f} times as much as usual: "
        "camera, light or backbone changed, or one thing that was never taught fills them. Undo the change, teach the "
        "thing, or teach each class a few shots of today."
    )
    return Drift(level_of(p), "shift", ratio, p, n, text)
