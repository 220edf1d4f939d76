"""A picture of a microcontroller's profile: bars of what each operation counts, and of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_imprint.profiling.device import LINE, RAM, DeviceDocument
from edge_imprint.profiling.plot import BARS, INK, MARK, check, style, write


def draw(found: DeviceDocument, path: Path) -> None:
    """Draw a device's profile into a file.

    A device without a counter shows round trips, by the clock of the machine beside it.

    Raises:
        ProfileError, MissingRuntimeError: as `edge_imprint.profiling.plot.check`.
        StorageError: the file cannot be written.
    """
    check(path)
    from matplotlib.figure import Figure

    plain = found.plain
    with style():
        figure = Figure(figsize=(7.2, 5.6), layout="constrained")
        operations, sizes = figure.subplots(2, 1, height_ratios=(max(len(found.stages), 1), len(found.sizes) + 1))
        _operations(operations, found)
        named: dict[str, float | None] = {**found.sizes, RAM: found.ram_bytes}
        _bars(sizes, named, {}, "not available")
        sizes.set_title("bytes", fontsize=8, loc="left")
        head = plain["head"]
        figure.suptitle(
            f"{plain['device'].get('name')}: {head['classes']} classes, {head['proxies']} proxies, dim {head['dim']}, "
            f"budget {head['budget']:,} bytes\n{plain['origin']}", fontsize=9,
        )  # fmt: skip
        write(figure, path)


def _operations(axes: Any, found: DeviceDocument) -> None:
    if found.unit is None:
        names, of, unit = found.stages, found.round_trip_us, "us of a round trip (the device has no counter)"
    else:
        names, of, unit = [name for name in found.stages if name != LINE], found.count, found.unit
    medians = {name: of(name, "p50") for name in names}
    slowest = {name: of(name, "p99") for name in names}
    _bars(axes, medians, slowest, "not measured")
    axes.set_title(f"{unit}: median, and 99th percentile in red", fontsize=8, loc="left")


def _bars(axes: Any, values: dict[str, float | None], marks: dict[str, float | None], missing: str) -> None:
    """A bar for each value with its number beside it, the first on top; what is missing says so."""
    places = range(len(values))
    axes.barh(places, [value or 0 for value in values.values()], color=BARS, height=0.7)
    axes.set_yticks(places, list(values))
    axes.invert_yaxis()
    for place, (name, value) in zip(places, values.items(), strict=True):
        mark = marks.get(name)
        ends = max(value or 0, mark or 0)
        text = missing if value is None else f"{value:,.0f}"
        if mark is not None:
            axes.plot([mark, mark], [place - 0.35, place + 0.35], color=MARK, linewidth=1.5)
            text += f" (p99 {mark:,.0f})"
        axes.annotate(
            text, (ends, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7,
            color=MARK if value is None else INK,
        )  # fmt: skip
    axes.set_xlim(0, max([value or 0 for value in (*values.values(), *marks.values())] or [0]) * 1.4 or 1)
    axes.spines[["top", "right"]].set_visible(False)
