"""Charts as inline SVG in the page's own colours, so that they follow its light and dark mode."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib cannot write CSS variables: draw in stand-in colours, then exchange them in the SVG.
_COLOURS = {
    "ink": "#010203",
    "muted": "#010204",
    "grid": "#010205",
    "accent": "#010206",
    "second": "#010207",
    "third": "#010208",
    "good": "#010209",
    "warn": "#01020a",
    "bad": "#01020b",
}
_NAMES = {
    "auto": "edge-imprint",
    "proxies": "edge-imprint, proxies alone",
    "qi": "one mean per class (Qi)",
    "westerhoff": "20 k-means proxies (Westerhoff)",
}
_METHOD_COLOURS = {"auto": "accent", "proxies": "good", "qi": "second", "westerhoff": "third"}


def accuracy_against_shots(curve: Sequence[Mapping[str, Any]]) -> str:
    """Lines with their 95 % bands, one per method."""
    with _figure(7.2, 3.6, "Accuracy on unseen scans against the number of shots per class") as (
        figure,
        axes,
        svg,
    ):
        methods = list(dict.fromkeys(point["method"] for point in curve))
        shots = sorted({point["shots"] for point in curve})
        for method in methods:
            points = sorted((p for p in curve if p["method"] == method), key=lambda p: int(p["shots"]))
            x, y = [p["shots"] for p in points], [p["mean"] for p in points]
            low = [p["mean"] - p["half_width"] for p in points]
            high = [p["mean"] + p["half_width"] for p in points]
            colour = _COLOURS[_METHOD_COLOURS[method]]
            axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
            style: dict[str, Any] = {"linewidth": 2.8, "markersize": 6, "zorder": 2}
            if method != "auto":  # thinner and on top: where two lines meet, both are seen
                style = {"linewidth": 1.7, "markersize": 4, "zorder": 3, "linestyle": (0, (4, 2))}
            axes.plot(x, y, color=colour, marker="o", label=_NAMES[method], **style)
        axes.set_xscale("log")
        axes.set_xticks(shots, [str(count) for count in shots])
        axes.minorticks_off()
        axes.set_xlabel("shots per digit")
        axes.set_ylabel("accuracy, %")
        axes.legend(frameon=False, loc="lower right")
        figure.tight_layout()
    return svg[0]


def verdict_shares(about: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """One stacked bar of known, uncertain and unknown per row, in percent."""
    colours = {"known": "good", "uncertain": "warn", "unknown": "bad"}
    with _figure(7.2, 0.7 + 0.5 * len(rows), f"How often each verdict was given: {about}") as (
        figure,
        axes,
        svg,
    ):
        names = list(rows)[::-1]
        left = [0.0] * len(names)
        for verdict, colour in colours.items():
            widths = [rows[name][verdict] for name in names]
            axes.barh(names, widths, left=left, height=0.62, color=_COLOURS[colour], label=verdict)
            for i, width in enumerate(widths):
                if width >= 6:
                    axes.text(
                        left[i] + width / 2,
                        i,
                        f"{width:.0f} %",
                        ha="center",
                        va="center",
                        color="#ffffff",
                        fontsize=9.5,
                    )
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.set_xlim(0, 100)
        axes.set_xticks([])
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)
        figure.tight_layout()
    return svg[0]


def proxies_per_class(proxies: Mapping[str, int]) -> str:
    """How many vectors the head keeps for each class."""
    with _figure(5.2, 3.2, "Proxies per class") as (figure, axes, svg):
        bars = axes.bar(list(proxies), list(proxies.values()), width=0.62, color=_COLOURS["accent"])
        axes.bar_label(bars, padding=2, color=_COLOURS["muted"], fontsize=9)
        axes.set_xlabel("digit")
        axes.set_ylabel("proxies")
        axes.margins(y=0.18)
        axes.set_yticks([])
        axes.grid(False)
        figure.tight_layout()
    return svg[0]


def bytes_used(used: Sequence[int], budget: int, forgotten: str) -> str:
    """Bytes after each shot under the budget line; the last step is the forgotten class."""
    with _figure(5.2, 3.2, "Bytes used of the budget after each shot") as (figure, axes, svg):
        kilobytes = [size / 1024 for size in used]
        axes.fill_between(range(len(used)), kilobytes, step="post", color=_COLOURS["accent"], alpha=0.16, linewidth=0)
        axes.step(range(len(used)), kilobytes, where="post", color=_COLOURS["accent"], linewidth=2.2)
        axes.axhline(budget / 1024, color=_COLOURS["bad"], linewidth=1.4, linestyle=(0, (5, 3)))
        axes.text(
            0,
            budget / 1024 * 1.02,
            f"budget: {budget / 1024:g} KB",
            color=_COLOURS["bad"],
            fontsize=9.5,
            va="bottom",
        )
        axes.annotate(
            f"digit {forgotten} forgotten",
            (len(used) - 1, kilobytes[-1]),
            (len(used) * 0.72, max(kilobytes) * 0.4),
            color=_COLOURS["muted"],
            fontsize=9.5,
            arrowprops={"arrowstyle": "->", "color": _COLOURS["muted"]},
        )
        axes.set_yticks([budget / 4096 * quarter for quarter in range(5)])
        axes.set_ylim(0, budget / 1024 * 1.2)
        axes.set_xlim(0, len(used) * 1.03)
        axes.set_xlabel("single shots seen, each of them once")
        axes.set_ylabel("KB in use")
        figure.tight_layout()
    return svg[0]


def stage_times(stages: Mapping[str, Mapping[str, float]]) -> str:
    """Median milliseconds per stage, as bars."""
    with _figure(7.2, 0.7 + 0.42 * len(stages), "Milliseconds per stage") as (figure, axes, svg):
        names = list(stages)[::-1]
        medians = [stages[name]["median"] for name in names]
        bars = axes.barh(names, medians, height=0.58, color=_COLOURS["accent"])
        axes.bar_label(bars, [time_text(value) for value in medians], padding=5, color=_COLOURS["muted"], fontsize=9.5)
        axes.margins(x=0.16)
        axes.set_xticks([])
        axes.grid(False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)
        figure.tight_layout()
    return svg[0]


def time_text(milliseconds: float) -> str:
    """Milliseconds for people, with microseconds below a tenth.

    >>> time_text(12.345), time_text(0.293), time_text(0.0437)
    ('12.3 ms', '0.29 ms', '44 µs')
    """
    if milliseconds < 0.1:
        return f"{milliseconds * 1000:.0f} µs"
    return f"{milliseconds:.2f} ms" if milliseconds < 1 else f"{milliseconds:.1f} ms"


@contextmanager
def _figure(width: float, height: float, title: str) -> Iterator[tuple[Figure, Axes, list[str]]]:
    """A figure in the house style; after the block, the list holds its SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": "DejaVu Sans",  # comes with matplotlib: the layout is the same everywhere
        "font.size": 10.5,
        "svg.fonttype": "none",
        "svg.hashsalt": title,
        "axes.edgecolor": _COLOURS["grid"],
        "axes.labelcolor": _COLOURS["muted"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": _COLOURS["grid"],
        "grid.linewidth": 0.8,
        "text.color": _COLOURS["ink"],
        "xtick.color": _COLOURS["grid"],
        "ytick.color": _COLOURS["grid"],
        "xtick.labelcolor": _COLOURS["muted"],
        "ytick.labelcolor": _COLOURS["muted"],
    }
    done: list[str] = []
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots(), done
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    done.append(_inline(buffer.getvalue(), title))


def _inline(document: str, title: str) -> str:
    """Cut the SVG out of its document, let it scale, name it for screen readers, exchange the colours."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (?:width|height)="[^"]*"', "", opening) + f' role="img" aria-label="{title}"'
    # Several charts share one page: keep only the identifiers that something refers to.
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', rest))
    rest = re.sub(r' id="([^"]*)"', lambda match: match.group() if match.group(1) in used else "", rest)
    # The page's own letters. By version, Matplotlib writes `font-family` or the shorthand `font`.
    rest = re.sub(r"font-family: [^;\"]*", "font-family: inherit", rest)
    rest = re.sub(r"font: [^;\"]*?([\d.]+px)[^;\"]*", r"font-size: \1", rest)
    for name, stand_in in _COLOURS.items():
        rest = rest.replace(stand_in, f"var(--{name})")
    return f"{opening}>{rest}".strip()
