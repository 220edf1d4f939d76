"""What a budget buys, said before anything is taught: the arithmetic of both layouts, without an arena."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass

from edge_imprint.errors import BudgetError, CapacityError
from edge_imprint.head.budget import MAX_BUDGET, RECORD_BYTES, Layout, parse_budget
from edge_imprint.head.layouts import AnyLayout, layout_for
from edge_imprint.head.options import check_options
from edge_imprint.head.ridge.layout import RidgeLayout, fixed_bytes


@dataclass(frozen=True)
class Plan:
    """What a budget buys. Sizes are in bytes.

    Attributes:
        dim: length of an embedding.
        budget: bytes, all included.
        method: "proxies" or "ridge"; what "auto" takes is said here.
        classes: how many the plan is for.
        proxies: how many fit beside them, class means included.
        proxies_per_class: that, divided evenly.
        max_classes: how many classes fit with one proxy each.
        proxy_bytes: one proxy; with "ridge" its discriminant as well.
        class_bytes: one class record.
        second_moment_bytes: scatter, factor and what else "ridge" needs whatever is taught; 0 for "proxies".
        fixed_bytes: header, undo journal and second moment.
        used_bytes: all of that together.
    """

    dim: int
    budget: int
    method: str
    classes: int
    proxies: int
    proxies_per_class: int
    max_classes: int
    proxy_bytes: int
    class_bytes: int
    second_moment_bytes: int
    fixed_bytes: int
    used_bytes: int

    def as_dict(self) -> dict[str, int | str]:
        """The plan as plain numbers and one word, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """What each method makes of a budget.

    Attributes:
        proxies: the plan.
        ridge: the plan, or why there is none.
        auto: what "auto" takes, "proxies" or "ridge".
        ridge_possible_from: least budget in bytes with which "ridge" holds a class; None above 1 GB.
        ridge_chosen_from: least budget from which on "auto" takes "ridge"; None above 1 GB.
    """

    proxies: Plan
    ridge: Plan | str
    auto: str
    ridge_possible_from: int | None
    ridge_chosen_from: int | None


def plan(
    dim: int, budget: int | str, classes: int | None = None, *, method: str = "proxies", undo: bool | None = None
) -> Plan:
    """Say beforehand what fits into a budget.

    Args:
        dim: length of an embedding.
        budget: bytes, or text such as "64KB".
        classes: how many classes will be taught; the most that fit when None.
        method: "proxies", "ridge" or "auto", as for `ImprintHead`.
        undo: keep room for undoing the last shot; None keeps it where it takes at most a quarter of the budget.

    Raises:
        BudgetError: the budget cannot be read or holds no class.
        CapacityError: that many classes do not fit.
        ShapeError: `dim` is out of range.
        ValueRangeError: no such method.

    >>> p = plan(dim=256, budget="16KB", classes=10)
    >>> p.proxies, p.max_classes, p.used_bytes <= p.budget
    (22, 21, True)
    >>> plan(dim=256, budget="512KB", method="auto").method
    'ridge'
    """
    check_options(method, max_proxies=1, shrinkage=1)
    layout = layout_for(dim, parse_budget(budget), undo, method)
    wanted = layout.max_classes if classes is None else classes
    if isinstance(wanted, bool) or not hasattr(wanted, "__index__"):
        raise CapacityError(f"classes is a whole number or None; got {classes!r}")
    wanted = wanted.__index__()
    if not 1 <= wanted <= layout.max_classes:
        raise _too_many(layout, wanted)
    slots = _slots(layout, wanted)
    moment = fixed_bytes(layout.dim) if layout.method == "ridge" else 0
    return Plan(
        dim=layout.dim,
        budget=layout.budget,
        method=layout.method,
        classes=wanted,
        proxies=slots,
        proxies_per_class=slots // wanted,
        max_classes=layout.max_classes,
        proxy_bytes=layout.used_bytes(1, 2) - layout.used_bytes(1, 1),
        class_bytes=RECORD_BYTES,
        second_moment_bytes=moment,
        fixed_bytes=layout.used_bytes(0, 0),
        used_bytes=layout.used_bytes(wanted, slots),
    )


def compare(dim: int, budget: int | str, classes: int | None = None, *, undo: bool | None = None) -> Comparison:
    """Put both methods side by side, and say which one "auto" takes and from which budgets on.

    Raises:
        BudgetError: the budget cannot be read, or holds no class with any method.
        CapacityError: that many classes fit with neither method.
        ShapeError: `dim` is out of range.

    >>> both = compare(dim=256, budget="64KB", classes=10)
    >>> both.auto, both.proxies.proxies, both.ridge_possible_from, both.ridge_chosen_from
    ('proxies', 114, 281272, 420540)
    """
    size = parse_budget(budget)
    proxies = plan(dim, size, classes, undo=undo)
    ridge: Plan | str
    try:
        ridge = plan(dim, size, classes, method="ridge", undo=undo)
    except (BudgetError, CapacityError) as error:
        ridge = str(error)
    return Comparison(
        proxies=proxies,
        ridge=ridge,
        auto=layout_for(dim, size, undo, "auto").method,
        ridge_possible_from=_least_budget(lambda least: layout_for(dim, least, undo, "ridge").max_classes >= 1),
        ridge_chosen_from=_least_budget(lambda least: layout_for(dim, least, undo, "auto").method == "ridge"),
    )


def _slots(layout: AnyLayout, classes: int) -> int:
    return (layout.proxies if isinstance(layout, RidgeLayout) else layout).slots_for(classes)


def _least_budget(fits: Callable[[int], bool]) -> int | None:
    """The least budget that fits, found by halving; a budget that is refused does not."""

    def does(size: int) -> bool:
        try:
            return fits(size)
        except BudgetError:
            return False

    found = bisect_left(range(1, MAX_BUDGET + 1), True, key=does) + 1
    return found if found <= MAX_BUDGET else None


def _too_many(layout: AnyLayout, wanted: int) -> CapacityError:
    dim, undo, method = layout.dim, layout.undo, layout.method
    aim = max(wanted, 1)
    need = _least_budget(lambda least: layout_for(dim, least, undo, method).max_classes >= aim)
    each = layout.used_bytes(2, 2) - layout.used_bytes(1, 1)
    plain = method == "ridge" and Layout(dim, layout.budget, undo).max_classes >= aim
    return CapacityError(
        f"{layout.budget} bytes hold 1 to {layout.max_classes} classes at dim={dim}, method {method}; got {wanted}. "
        + (f"Each class needs {each} bytes: give budget={need} or more" if need else "No budget holds so many")
        + (', or method="proxies"' if plain else "")
    )
