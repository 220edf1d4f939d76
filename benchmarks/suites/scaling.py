"""Cost of a shot and of an answer against classes, proxies, dimensions, and the number of shots before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.context import Context
from benchmarks.results import Result
from benchmarks.scaling import curves, history
from benchmarks.scaling import tables as rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMITS = {
    "classes": "a class number has 16 bits: 65,535 classes",
    "budget": "a budget is at most 1 GB: 2,018,000 proxies at 256 dimensions",
    "proxies of a class": "256",
    "snapshot": "64 MiB: 127,000 proxies at 256 dimensions; larger heads live until the process ends",
}


def run(context: Context, result: Result) -> None:
    """Time every axis, then a million shots."""
    result.settings = {
        "warmups": curves.WARMUPS,
        "repeats": curves.REPEATS,
        "threads": 1,
        "garbage_collector": "off while timing",
        "data": "seeded random clumps: time does not depend on what the embeddings show",
        "large_heads": "rows, counts and records written into the head's memory as the loader of snapshots does",
        "limits": LIMITS,
    }
    curves.measure(context, result)
    history.measure(context, result)


def tables(result: Result) -> dict[str, str]:
    """Costs at the ends of each curve with the exponents; growth over a million shots."""
    return {"scaling": rendered.curves(result), "scaling.history": rendered.history(result)}


def plots(result: Result) -> dict[str, Figure]:
    """Costs against size on logarithmic scales; cost against the number of shots before."""
    from benchmarks.scaling import figures

    return {"scaling": figures.curves(result), "scaling_history": figures.history(result)}
