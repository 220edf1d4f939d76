"""Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def microseconds(nanoseconds: float) -> str:
    """A duration in microseconds with three significant digits."""
    value = nanoseconds / 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
