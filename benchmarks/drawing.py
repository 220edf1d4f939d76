"""How figures of results look, and how they are saved: the same numbers give the same file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from benchmarks.paper import extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart by people who see few colours.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


@contextmanager
def style() -> Iterator[Any]:
    """matplotlib.pyplot without a screen, in the look of these figures.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    extra.need("matplotlib", "drawing figures").use("agg")
    plots = extra.need("matplotlib.pyplot", "drawing figures")
    look = {
        "svg.fonttype": "none", "svg.hashsalt": "edge-imprint", "font.family": "sans-serif", "font.size": 9,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4",
        "axes.axisbelow": True, "legend.frameon": False, "savefig.dpi": 100, "axes.titlesize": 9,
        "figure.constrained_layout.use": True,
    }  # fmt: skip
    with plots.rc_context(look):
        yield plots


def save(figure: Figure, file: Path) -> None:
    """Write a figure in the format of the file's name, without a date; a PNG with few colours."""
    # No date and no random names: the same results give the same file.
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    if file.suffix == ".png":
        _shrink(file)


def _shrink(file: Path) -> None:
    """Save a PNG with as many colours as these figures need: a third of the bytes."""
    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
