"""The paper's figures: accuracy against k, accuracy against shots, ranks, and gain against NC1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.drawing import save, style
from benchmarks.paper import extra
from benchmarks.paper.cells import ALL, HEADS
from benchmarks.paper.diagram import critical_difference_diagram
from benchmarks.paper.summary import Place, Summary, shots_name
from edge_imprint.atomic import storage_errors
from edge_imprint.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png", "pdf")
# Okabe and Ito's colours: told apart by people who see few colours.
COLOURS = {
    "head": "#d55e00", "auto": "#cc79a7", "qi": "#0072b2", "hosoda": "#999999", "janson": "#56b4e9",
    "westerhoff": "#009e73", "oracle": "#000000",
}  # fmt: skip
NAMES = {
    "head": "head (int8, proxies)", "auto": "head (auto)", "qi": "Qi", "hosoda": "Hosoda", "janson": "Janson",
    "westerhoff": "Westerhoff", "oracle": "least squares (oracle)",
}  # fmt: skip
BANDS = ("head", "westerhoff", "oracle")
"""Methods whose intervals are drawn: those with one mean per class lie on top of each other."""

MARKERS = "os^DvP*Xp<>hd"


def draw_all(folder: Path, kind: str) -> list[Path]:
    """Draw every figure that the results allow, next to them.

    Args:
        folder: of the results.
        kind: one of `FORMATS`.

    Returns:
        The files written.

    Raises:
        UsageError: unknown format, or no results yet.
        StorageError: results cannot be read or figures not written.
        MissingRuntimeError: matplotlib or scipy is not installed.
    """
    if kind not in FORMATS:
        raise UsageError(f"--format must be one of {', '.join(FORMATS)}; got {kind}")
    summary = Summary(folder)
    drawings: dict[str, Callable[[Summary], Figure | None]] = {
        "k": accuracy_against_k,
        "shots": accuracy_against_shots,
        "ranks_all": lambda found: ranks(found, few=False),
        "ranks_few": lambda found: ranks(found, few=True),
        "nc1": gain_against_nc1,
    }
    files = []
    with style() as plots:
        for name, draw in drawings.items():
            figure = draw(summary)
            if figure is None:
                continue
            file = folder / f"{name}.{kind}"
            with storage_errors("write", file):
                save(figure, file)
            plots.close(figure)
            files.append(file)
    return files


def accuracy_against_k(summary: Summary) -> Figure | None:
    """One panel per data set and backbone, one line per d; a ring at the highest mean, a tick at k = d."""
    places = summary.places("k")
    if not places:
        return None
    most = max(merge for place in places for merge in summary.merges(place))
    figure, panels = _panels(places, "proxies per label, k", "balanced accuracy, %")
    colours = extra.need("matplotlib", "drawing figures").colormaps["viridis"]
    handles: dict[int, Any] = {}
    for place, axes in zip(places, panels, strict=True):
        for merge in summary.merges(place):
            curve = summary.k(place, merge)
            colour = colours(0.9 * (merge - 1) / max(most - 1, 1))
            x, y = [point.x for point in curve], [point.accuracy.mean for point in curve]
            (handles[merge],) = axes.plot(x, y, color=colour, linewidth=1.6, label=f"d = {merge}")
            _band(axes, x, [point.accuracy for point in curve], colour)
            best = summary.best_k(place, merge)
            axes.plot([best], [y[x.index(best)]], "o", color=colour, markerfacecolor="white", markersize=6)
            if merge in x:
                axes.plot([merge], [y[x.index(merge)]], "|", color=colour, markersize=13, markeredgewidth=1.8)
        axes.set_xticks([1, 5, 10, 15])
    rows = sorted(handles)
    figure.legend(
        [handles[merge] for merge in rows],
        [f"d = {merge}" for merge in rows],
        loc="outside lower center",
        ncols=min(len(rows), 5),
        title="d classes share a label; ring: highest mean, bar: k = d",
    )
    return figure


def accuracy_against_shots(summary: Summary) -> Figure | None:
    """One panel per data set and backbone, one line per method, "all" set apart at the right."""
    places = summary.places("shots")
    if not places:
        return None
    figure, panels = _panels(places, "shots per class", "balanced accuracy, %")
    handles: dict[str, Any] = {}
    for place, axes in zip(places, panels, strict=True):
        most = max((point.x for method in summary.methods for point in summary.shots(place, method)), default=1)
        end = 2.2 * max(most, 1)
        for method in summary.methods:
            curve = summary.shots(place, method)
            look: dict[str, Any] = {"linewidth": 1.3, "markersize": 3.5, "zorder": 3}
            if method in HEADS:
                look = {"linewidth": 2.4, "markersize": 5, "zorder": 2}
            if method == "auto":
                look["linestyle"] = (0, (3, 1.5))
            numbered = [point for point in curve if point.x != ALL]
            (handles[method],) = axes.plot(
                [point.x for point in numbered], [point.accuracy.mean for point in numbered],
                color=COLOURS[method], marker="o", label=NAMES[method], **look,
            )  # fmt: skip
            if method in BANDS:
                _band(axes, [point.x for point in numbered], [point.accuracy for point in numbered], COLOURS[method])
            for point in curve[len(numbered) :]:
                axes.plot([end], [point.accuracy.mean], "D", color=COLOURS[method], markersize=4.5)
        axes.set_xscale("log")
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 1000) if tick <= most]
        axes.set_xticks([*ticks, end], [*map(str, ticks), "all"])
        axes.minorticks_off()
    figure.legend(handles.values(), [NAMES[method] for method in handles], loc="outside lower center", ncols=4)
    return figure


def ranks(summary: Summary, few: bool) -> Figure | None:
    """The critical-difference diagram, or None where there is nothing to compare."""
    ranking = summary.ranking(few)
    if ranking is None:
        return None
    counts = sorted({int(str(block[3])) for block in summary.blocks(few)})
    what = f"{', '.join(map(shots_name, counts))} shots per class" if few else "all shots, tasks of the paper"
    return critical_difference_diagram(ranking, NAMES, COLOURS, what)


def gain_against_nc1(summary: Summary) -> Figure | None:
    """One dot per merging of classes and seed."""
    found = summary.collapse()
    if not found:
        return None
    plots = extra.need("matplotlib.pyplot", "drawing figures")
    ticker = extra.need("matplotlib.ticker", "drawing figures")
    figure, axes = plots.subplots(figsize=(7, 5))
    places = list(dict.fromkeys(one.place for one in found))
    most = max(one.merge for one in found)
    colours = extra.need("matplotlib", "drawing figures").colormaps["viridis"]
    for place, marker in zip(places, MARKERS * len(places), strict=False):
        own = [one for one in found if one.place == place]
        axes.scatter(
            [one.nc1 for one in own], [one.gain for one in own], marker=marker, s=26, alpha=0.85, linewidth=0,
            c=[colours(0.9 * (one.merge - 1) / max(most - 1, 1)) for one in own], label=" / ".join(place),
        )  # fmt: skip
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("NC1 of the shots (left: collapsed)")
    axes.set_ylabel("gain of k-means over one mean, points")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    legend = figure.legend(loc="outside lower center", ncols=2, fontsize=7)
    for handle in legend.legend_handles:
        handle.set_color("#555555")
    norm = extra.need("matplotlib.colors", "drawing figures").Normalize(1, max(most / 0.9, 1.01))
    bar = figure.colorbar(plots.cm.ScalarMappable(norm, colours), ax=axes, boundaries=None, fraction=0.045)
    bar.set_label("classes that share a label, d")
    bar.ax.set_ylim(1, max(most, 1.01))
    bar.outline.set_visible(False)
    return figure  # type: ignore[no-any-return]


def _panels(places: Sequence[Place], x_label: str, y_label: str) -> tuple[Figure, list[Axes]]:
    """A grid: a row per data set, a column per backbone; places that were not measured stay empty."""
    plots = extra.need("matplotlib.pyplot", "drawing figures")
    data, backbones = (list(dict.fromkeys(place[part] for place in places)) for part in (0, 1))
    figure, grid = plots.subplots(
        len(data), len(backbones), squeeze=False, sharex="row", sharey="row",
        figsize=(1.2 + 3.4 * len(backbones), 0.9 + 2.5 * len(data)),
    )  # fmt: skip
    for row, name in enumerate(data):
        for column, backbone in enumerate(backbones):
            axes = grid[row][column]
            axes.set_title(f"{name}\n{backbone}", fontsize=8)
            axes.set_visible((name, backbone) in places)
            if not any((below, backbone) in places for below in data[row + 1 :]):
                axes.set_xlabel(x_label)
        grid[row][0].set_ylabel(y_label)
    return figure, [grid[data.index(one)][backbones.index(other)] for one, other in places]


def _band(axes: Axes, x: Sequence[int], intervals: Sequence[Any], colour: Any) -> None:
    """95 % of the mean over seeds, where there are several."""
    if all(one.half_width is not None for one in intervals):
        low = [one.mean - one.half_width for one in intervals]
        high = [one.mean + one.half_width for one in intervals]
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
