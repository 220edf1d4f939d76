"""Two profiles side by side, and one against a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_imprint.errors import ProfileError
from edge_imprint.profiling.result import WHOLE, Profile
from edge_imprint.profiling.sysfs import is_missing

KB, MB = 1 << 10, 1 << 20
_PERCENTILES = (50, 99)


@dataclass(frozen=True)
class Row:
    """One number in two profiles.

    Attributes:
        name: of it.
        unit: of both values.
        first, second: the values; None where a profile has none.
    """

    name: str
    unit: str
    first: float | None
    second: float | None

    @property
    def ratio(self) -> float | None:
        """Second to first."""
        return self.second / self.first if self.first and self.second is not None else None

    def as_dict(self) -> dict[str, object]:
        """Plain JSON."""
        return {"name": self.name, "unit": self.unit, "first": self.first, "second": self.second, "ratio": self.ratio}


def compare(first: Profile, second: Profile) -> list[Row]:
    """Every stage, the camera, memory and cold start of two profiles.

    Example:
        >>> Row("backbone p50", "us", 10.0, 5.0).ratio
        0.5
    """
    rows = []
    for name in dict.fromkeys([*first.stages, *second.stages]):
        for p in _PERCENTILES:
            values = [found.stages[name].percentile(p) if name in found.stages else None for found in (first, second)]
            rows.append(Row(f"{name} p{p}", "us", *values))
    for key, unit in (("answered_fps", "1/s"), ("dropped", "frames")):
        rows.append(Row(f"camera {key}", unit, *(_number(found.camera, key) for found in (first, second))))
    for key in ("peak_bytes", "steady_bytes", "pss_bytes"):
        rows.append(Row(f"memory {key}", "bytes", *(_number(found.memory, key) for found in (first, second))))
    for key in ("import_ms", "construct_ms", "first_prediction_ms", "total_ms"):
        rows.append(Row(f"cold start {key}", "ms", *(_number(found.cold_start, key) for found in (first, second))))
    return rows


def _number(section: dict[str, object], key: str) -> float | None:
    value = section.get(key)
    return float(value) if isinstance(value, int | float) else None


def check_budgets(
    budget_ms: float | None = None, budget_mb: float | None = None, budget_kb: float | None = None
) -> None:
    """Refuse what no profile can keep.

    Raises:
        ProfileError: a budget that is not above zero.
    """
    budgets = {"--budget-ms": budget_ms, "--budget-mb": budget_mb, "--budget-kb": budget_kb}
    for name, budget in budgets.items():
        if budget is not None and not budget > 0:
            raise ProfileError(f"{name} must be above 0; got {budget:g}")


def exceeded(found: Profile, budget_ms: float | None, budget_mb: float | None) -> list[str]:
    """What a profile exceeds: a sentence for each budget.

    Args:
        found: the profile.
        budget_ms: milliseconds that 99 % of all frames have to be answered within.
        budget_mb: megabytes (1,048,576 bytes) that the process may take at its peak.

    Raises:
        ProfileError: a budget for something that was not measured, or that is not above zero.
    """
    check_budgets(budget_ms, budget_mb)
    sentences = []
    if budget_ms is not None:
        taken = found.stages[WHOLE].percentile(99) / 1000
        if taken > budget_ms:
            over = f"{taken / budget_ms:.2f} times as long"
            sentences.append(
                f"99 % of frames are answered within {taken:.2f} ms; the budget is {budget_ms:g} ms, {over}"
            )
    if budget_mb is not None:
        size: Any = found.memory if is_missing(found.memory) else found.memory["peak_bytes"]
        if is_missing(size):
            raise ProfileError(f"--budget-mb needs the peak of memory, which is not available: {size['not_available']}")
        peak = size / MB
        if peak > budget_mb:
            sentences.append(f"memory peaks at {peak:.1f} MB; the budget is {budget_mb:g} MB")
    return sentences
