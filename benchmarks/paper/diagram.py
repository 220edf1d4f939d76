"""The critical-difference diagram of Demsar 2006: average ranks on a line, and bars over what is not told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmarks.paper import extra
from benchmarks.paper.ranking import Ranking, cliques

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW, BAR = 0.55, 0.32


def critical_difference_diagram(
    ranking: Ranking, names: Mapping[str, str], colours: Mapping[str, str], what: str
) -> Figure:
    """Draw a ranking, the best at the left.

    The better half of the methods is labelled at the left, the other half at the right, so that no two leader lines
    cross.

    Args:
        ranking: from `rank`.
        names: what methods are called.
        colours: of the leader lines.
        what: the methods were ranked on, for the title.
    """
    plots = extra.need("matplotlib.pyplot", "drawing figures")
    methods = list(ranking.ranks)
    groups = cliques(ranking.ranks, ranking.critical)
    left = math.ceil(len(methods) / 2)
    first_row = 0.35 + BAR * len(groups) + 0.25
    depth = first_row + ROW * (left - 1)
    figure, axes = plots.subplots(figsize=(7.6, 1.25 + 0.5 * depth))
    axes.axis("off")
    low, high = 1.0, float(len(methods))
    margin = 0.42 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(depth + 0.4, -1.5)
    axes.plot([low, high], [0, 0], color="black", linewidth=1.2)
    for tick in range(1, len(methods) + 1):
        axes.plot([tick, tick], [0, -0.14], color="black", linewidth=1.2)
        axes.text(tick, -0.22, str(tick), ha="center", va="bottom")
    for place, method in enumerate(methods):
        is_left = place < left
        y = first_row + ROW * (place if is_left else len(methods) - 1 - place)
        value = ranking.ranks[method]
        end = low - 0.03 * margin if is_left else high + 0.03 * margin
        axes.plot([value, value, end], [0, y, y], color=colours.get(method, "black"), linewidth=1.3, zorder=2)
        label = names.get(method, method)
        text = f"{label}  {value:.2f}" if is_left else f"{value:.2f}  {label}"
        axes.text(end - 0.04 * margin if is_left else end + 0.04 * margin, y, text,
                  ha="right" if is_left else "left", va="center")  # fmt: skip
    for row, group in enumerate(groups):
        ends = [ranking.ranks[group[0]] - 0.03, ranking.ranks[group[-1]] + 0.03]
        y = 0.3 + BAR * row
        axes.plot(ends, [y, y], color="black", linewidth=3.5, solid_capstyle="butt", zorder=3)
    shown = min(ranking.critical, high - low)
    axes.plot([low, low + shown], [-0.95, -0.95], color="#666666", linewidth=1.5)
    for end in (low, low + shown):
        axes.plot([end, end], [-1.03, -0.87], color="#666666", linewidth=1.5)
    axes.text(low + shown + 0.06, -0.95, f"critical difference {ranking.critical:.2f}", va="center", color="#444444")
    axes.set_title(f"Average rank over {ranking.blocks} blocks ({what}); Friedman p = {ranking.p:.2g}", loc="left")
    return figure  # type: ignore[no-any-return]
