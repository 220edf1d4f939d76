"""The suite's figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.drawing import PALETTE
from benchmarks.paper import extra
from benchmarks.results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = ("classes", "proxies", "dimensions")
MARKERS = "os^DvP"


def curves(result: Result) -> Figure:
    """A row per method, a panel per axis, a line per task, the quartiles as a band, a dashed line of exponent 1."""
    pyplot = extra.need("matplotlib.pyplot", "drawing figures")
    methods = list(dict.fromkeys(str(found.params["method"]) for found in result.select("cost")))
    tasks = list(dict.fromkeys(str(found.params["task"]) for found in result.select("cost")))
    figure, panels = pyplot.subplots(len(methods), len(AXES), figsize=(11, 3.4 * len(methods)), squeeze=False)
    for row, method in zip(panels, methods, strict=True):
        for panel, axis in zip(row, AXES, strict=True):
            for task in tasks:
                costs = list(result.select("cost", method=method, axis=axis, task=task))
                if not costs:
                    continue
                number = tasks.index(task)
                sizes = [float(found.params["size"]) for found in costs]
                values = [found.value / 1e3 for found in costs]
                colour = PALETTE[number % len(PALETTE)]
                panel.plot(sizes, values, color=colour, marker=MARKERS[number % len(MARKERS)], markersize=4, label=task)
                low, high = ([(found.spread[f"quartile_{side}"] or 0.0) / 1e3 for found in costs] for side in (1, 3))
                panel.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)
            panel.set(xscale="log", yscale="log", title=f"method {method}", xlabel=axis)
            _guide(panel)
        row[0].set_ylabel("µs")
    lines = {text: line for row in panels for panel in row
             for line, text in zip(*panel.get_legend_handles_labels(), strict=True)}  # fmt: skip
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4)
    made: Figure = figure
    return made


def _guide(panel: object) -> None:
    """A line of exponent 1 through the last point of the first curve, as far as the panel goes."""
    from matplotlib.axes import Axes

    assert isinstance(panel, Axes)
    curve = panel.get_lines()[0]
    x, y = curve.get_xdata(), curve.get_ydata()
    # Whole powers of ten, so that a panel with little growth does not look as steep as one with much.
    bottom, top = panel.get_ylim()
    low, high = 10.0 ** math.floor(math.log10(bottom)), 10.0 ** math.ceil(math.log10(top))
    start = max(x[0], x[-1] * low / y[-1])
    panel.plot([start, x[-1]], [y[-1] * start / x[-1], y[-1]], color="#888888", linestyle="--", linewidth=1,
               label="exponent 1", zorder=0)  # fmt: skip
    panel.set_ylim(low, high)


def history(result: Result) -> Figure:
    """Cost of a shot beside that of a young head, block by block."""
    pyplot = extra.need("matplotlib.pyplot", "drawing figures")
    found = list(result.select("history_ratio"))
    figure, panels = pyplot.subplots(1, len(found), figsize=(4.5 * len(found), 3.2), squeeze=False, sharey=True)
    for number, (panel, ratios) in enumerate(zip(panels[0], found, strict=True)):
        ages = result.one("history_age", **ratios.params).samples
        panel.plot(ages, ratios.samples, ".", color=PALETTE[number])
        panel.axhline(1, color="#888888", linestyle="--", linewidth=1)
        panel.set(title=f"method {ratios.params['method']}, {ratios.params['dim']} dimensions", xlabel="shots before")
        panel.set_ylim(0, max(2.0, 1.1 * max(ratios.samples)))
    panels[0][0].set_ylabel("a shot's cost against a young head's")
    made: Figure = figure
    return made
