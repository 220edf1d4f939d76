"""What a budget buys, said before anything is taught."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edge_imprint.errors import CapacityError
from edge_imprint.head.budget import RECORD_BYTES, Layout, parse_budget


@dataclass(frozen=True)
class Plan:
    """What a budget buys. Sizes are in bytes."""

    dim: int
    budget: int
    classes: int
    proxies: int
    proxies_per_class: int
    max_classes: int
    proxy_bytes: int
    class_bytes: int
    fixed_bytes: int
    used_bytes: int

    def as_dict(self) -> dict[str, int]:
        """The plan as plain numbers, ready for JSON."""
        return asdict(self)


def plan(dim: int, budget: int | str, classes: int | None = None, *, undo: bool | None = None) -> Plan:
    """Say beforehand what fits into a budget.

    Args:
        dim: length of an embedding.
        budget: bytes, or text such as "64KB".
        classes: how many classes will be taught; the most that fit when None.
        undo: keep room for undoing the last shot; None keeps it where it takes at most a quarter of the budget.

    Raises:
        BudgetError: the budget cannot be read or holds no class.
        CapacityError: that many classes do not fit.
        ShapeError: `dim` is out of range.

    >>> p = plan(dim=256, budget="16KB", classes=10)
    >>> p.proxies, p.max_classes, p.used_bytes <= p.budget
    (22, 21, True)
    """
    layout = Layout(dim, parse_budget(budget), undo)
    wanted = layout.max_classes if classes is None else classes
    if isinstance(wanted, bool) or not hasattr(wanted, "__index__"):
        raise CapacityError(f"classes is a whole number or None; got {classes!r}")
    if wanted < 1 or wanted > layout.max_classes:
        per_class, need = layout.slot_bytes + RECORD_BYTES, layout.used_bytes(max(wanted, 1), max(wanted, 1))
        raise CapacityError(
            f"{layout.budget} bytes hold 1 to {layout.max_classes} classes at dim={dim}; got {wanted}. "
            f"Each class needs {per_class} bytes: give budget={need} or more"
        )
    slots = layout.slots_for(wanted)
    return Plan(
        dim=dim,
        budget=layout.budget,
        classes=wanted,
        proxies=slots,
        proxies_per_class=slots // wanted,
        max_classes=layout.max_classes,
        proxy_bytes=layout.slot_bytes,
        class_bytes=RECORD_BYTES,
        fixed_bytes=layout.budget - layout.pool_bytes,
        used_bytes=layout.used_bytes(wanted, slots),
    )
