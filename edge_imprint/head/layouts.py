"""Which method a budget affords."""

from __future__ import annotations

from edge_imprint.errors import BudgetError
from edge_imprint.head.budget import Layout
from edge_imprint.head.ridge.layout import RidgeLayout, fixed_bytes

AnyLayout = Layout | RidgeLayout


def layout_for(dim: int, budget: int, undo: bool | None, method: str) -> AnyLayout:
    """Divide a budget for a method; "auto" takes the second moment where it costs at most two thirds of the budget.

    Raises:
        BudgetError: the budget holds no class.
        ShapeError: `dim` is out of range.
    """
    if method == "ridge":
        return RidgeLayout(dim, budget, undo)
    plain = Layout(dim, budget, undo)
    if method == "proxies":
        return plain
    if 3 * fixed_bytes(dim) > 2 * budget:
        return plain
    try:
        return RidgeLayout(dim, budget, undo)
    except BudgetError:
        return plain
