"""One file per suite: `run(context, result)` measures, `tables(result)` gives its Markdown.

One that has something to draw also offers `plots(result)`: figures by name, which `python -m benchmarks report` saves
under benchmarks/results/plots.
"""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from benchmarks.context import Context
from benchmarks.results import Result


class Suite(Protocol):
    """What a suite's module offers."""

    def run(self, context: Context, result: Result) -> None:
        """Measure; put measurements, targets and reasons for what was skipped into the result."""
        ...

    def tables(self, result: Result) -> dict[str, str]:
        """Markdown tables by marker name: the suite's own name, or `suite.part`."""
        ...


SUITES = (
    "accuracy",
    "learning",
    "peers",
    "unknown",
    "advice",
    "latency",
    "solve",
    "factor",
    "memory",
    "scaling",
    "imports",
    "cold_start",
    "end_to_end",
    "kmeans_fit",
    "backbones",
    "public_backbones",
    "export",
    "identity",
    "firmware",
    "footprint",
    "kernels",
    "serial",
    "store",
    "fuzz",
    "robustness",
)


def load(name: str) -> Suite:
    """The module of a suite named in `SUITES`."""
    return cast(Suite, importlib.import_module(f"benchmarks.suites.{name}"))
