"""A picture of a profile: a histogram of each stage, and memory over time."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from edge_imprint.atomic import replace_file
from edge_imprint.errors import MissingRuntimeError, ProfileError
from edge_imprint.profiling.compare import MB
from edge_imprint.profiling.result import Profile
from edge_imprint.profiling.sysfs import is_missing

ENDINGS = (".png", ".svg", ".pdf")
_COLUMNS, _BINS = 3, 40
INK, BARS, MARK = "#222222", "#4878a8", "#c44e52"


def check(path: Path) -> None:
    """Refuse what cannot be drawn, before anything is measured.

    Raises:
        ProfileError: the name ends in something else than .png, .svg or .pdf.
        MissingRuntimeError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingRuntimeError("a plot needs matplotlib. Install it: pip install matplotlib")
    if path.suffix.lower() not in ENDINGS:
        raise ProfileError(f"a plot must end in {', '.join(ENDINGS)}; got {path.name}")


def draw(found: Profile, path: Path) -> None:
    """Draw a profile into a file.

    Raises:
        ProfileError, MissingRuntimeError: as `check`.
        StorageError: the file cannot be written.
    """
    check(path)
    from matplotlib.figure import Figure

    with style():
        rows = -(-(len(found.stages) + 1) // _COLUMNS)
        figure = Figure(figsize=(3.6 * _COLUMNS, 2.3 * rows), layout="constrained")
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel().tolist()
        for place, (name, stage) in zip(axes, found.stages.items(), strict=False):
            _histogram(place, name, stage)
        _memory(axes[len(found.stages)], found.memory)
        for place in axes[len(found.stages) + 1 :]:
            place.set_visible(False)
        machine, bundle = found.machine, found.bundle
        board = machine["board"] if isinstance(machine["board"], str) else machine["cpu"]
        figure.suptitle(f"{bundle['name']} ({bundle['runtime']}) and {found.head['method']} on {board}", fontsize=10)
        write(figure, path)


def style() -> Any:
    """A context in which every picture of a profile looks alike."""
    import matplotlib as mpl

    return mpl.rc_context({"font.size": 8, "axes.edgecolor": "#888888", "text.color": INK, "svg.fonttype": "none"})


def write(figure: Any, path: Path) -> None:
    """Write a figure in the format that the path ends in; an older file stays until the new one is whole."""
    import io

    stream = io.BytesIO()
    figure.savefig(stream, format=path.suffix[1:].lower(), dpi=150)
    replace_file(path, stream.getvalue())


def _histogram(axes: Any, name: str, stage: Any) -> None:
    """Runs by their time; those beyond the 99th percentile by far are counted in words, not drawn."""
    samples = [sample / 1000 for sample in stage.samples_us]
    p50, p99 = stage.percentile(50) / 1000, stage.percentile(99) / 1000
    most = max(p99 + (p99 - min(samples)) * 0.25, min(samples) * 1.01, 1e-6)
    shown = [sample for sample in samples if sample <= most]
    axes.hist(shown, bins=_BINS, color=BARS)
    for value, label in ((p50, "p50"), (p99, "p99")):
        axes.axvline(value, color=MARK, linewidth=1)
        axes.annotate(
            label, (value, 1), xycoords=("data", "axes fraction"), xytext=(2, -8), textcoords="offset points",
            color=MARK, fontsize=7,
        )  # fmt: skip
    beyond = len(samples) - len(shown)
    note = f"; {beyond} beyond" if beyond else ""
    axes.set_title(f"{name}: {p50:.3g} ms, p99 {p99:.3g}{note}", fontsize=7.5, loc="left")
    axes.set_xlabel("ms")
    axes.set_ylabel("runs")
    axes.spines[["top", "right"]].set_visible(False)


def _memory(axes: Any, memory: dict[str, Any]) -> None:
    if is_missing(memory):
        axes.text(0.5, 0.5, "memory: not available", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    seconds, sizes = (
        zip(*memory["timeline"], strict=True) if memory["timeline"] else ((0.0,), (memory["steady_bytes"],))
    )
    axes.plot(seconds, [size / MB for size in sizes], color=BARS)
    peak = memory["peak_bytes"] / MB
    axes.axhline(peak, color=MARK, linewidth=1)
    axes.set_ylim(0, peak * 1.15)
    axes.set_title(
        f"resident memory: peak {peak:.0f} MB, steady {memory['steady_bytes'] / MB:.0f}", fontsize=7.5, loc="left"
    )
    axes.set_xlabel("s after the first look")
    axes.set_ylabel("MB")
    axes.spines[["top", "right"]].set_visible(False)
