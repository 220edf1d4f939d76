"""Budgets in words, and what fits into one: the arithmetic of the arena, without an arena."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_imprint.errors import BudgetError, ShapeError

MAX_DIM = 4096
MAX_BUDGET = 1 << 30
HEADER_BYTES = 64
RECORD_BYTES = 52
SLOT_META_BYTES = 20
_CLASS_NUMBERS = (1 << 16) - 1
_UNITS = {"": 1, "B": 1, "KB": 1 << 10, "KIB": 1 << 10, "MB": 1 << 20, "MIB": 1 << 20, "GB": 1 << 30}


def parse_budget(budget: int | str) -> int:
    """Bytes of a budget given as a number or as text such as "64KB" (KB = 1,024 bytes, MB = 1,024 KB).

    Raises:
        BudgetError: not a whole number of bytes from 1 to 1 GB.

    >>> parse_budget("64KB"), parse_budget("1.5 MB"), parse_budget(4096)
    (65536, 1572864, 4096)
    """
    value: float = -1
    if isinstance(budget, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", budget)
        if match and match[2].upper() in _UNITS:
            value = float(match[1]) * _UNITS[match[2].upper()]
    elif not isinstance(budget, bool) and hasattr(budget, "__index__"):
        value = budget.__index__()
    if not 1 <= value <= MAX_BUDGET or value != int(value):
        raise BudgetError(f"a budget is a whole number of bytes up to 1 GB; got {budget!r}. Write 65536 or '64KB'")
    return int(value)


def slot_bytes(dim: int) -> int:
    """Bytes of one proxy, a multiple of 4."""
    return (2 * dim + SLOT_META_BYTES + 3) // 4 * 4


def journal_slots(dim: int) -> int:
    """Slots that one shot may overwrite.

    The worst is a new class in a full arena: one slot for it and as many as its record covers are freed, and each
    costs the pair that merges and the last slot, which closes the gap; then a centre makes way for the mean.
    """
    freed = 1 + -(-RECORD_BYTES // slot_bytes(dim))
    return 3 * freed + 1


def journal_bytes(dim: int) -> int:
    """Bytes that `undo` needs."""
    return HEADER_BYTES + RECORD_BYTES + journal_slots(dim) * slot_bytes(dim)


def undo_is_kept(dim: int, budget: int) -> bool:
    """Whether a budget keeps room for undo when nobody says so: where it takes at most a quarter."""
    return 4 * journal_bytes(dim) <= budget


@dataclass(frozen=True)
class Layout:
    """Where everything lies in an arena of `budget` bytes for embeddings of `dim` components.

    Slots grow from the front, class records from the back; one slot holds one proxy: its int8 row, the low bytes of
    its accumulator and 20 bytes of numbers. The journal holds what `undo` puts back.
    """

    dim: int
    budget: int
    undo: bool | None = None

    method = "proxies"

    def __post_init__(self) -> None:
        """Refuse a dimension or a budget that no class fits into."""
        if isinstance(self.dim, bool) or not hasattr(self.dim, "__index__") or not 1 <= self.dim <= MAX_DIM:
            raise ShapeError(f"dim is the embedding's length, 1 to {MAX_DIM}; got {self.dim!r}")
        object.__setattr__(self, "dim", self.dim.__index__())
        if self.undo is None:
            object.__setattr__(self, "undo", undo_is_kept(self.dim, self.budget))
        if self.max_classes < 1:
            least = self.budget - self.pool_bytes + self.slot_bytes + RECORD_BYTES
            raise BudgetError(
                f"a budget must hold at least one class, {least} bytes at dim={self.dim}; got {self.budget}. "
                f"Give budget={least} or more, a smaller dim{', or undo=False' if self.undo else ''}"
            )

    @property
    def slot_bytes(self) -> int:
        """Bytes of one proxy, a multiple of 4."""
        return slot_bytes(self.dim)

    @property
    def journal_bytes(self) -> int:
        """Bytes kept for `undo`."""
        return journal_bytes(self.dim) if self.undo else 0

    @property
    def pool_bytes(self) -> int:
        """Bytes that slots and class records share."""
        return self.budget - HEADER_BYTES - self.journal_bytes

    @property
    def max_classes(self) -> int:
        """How many classes fit with one proxy each; a class number has 16 bits."""
        return min(max(0, self.pool_bytes) // (self.slot_bytes + RECORD_BYTES), _CLASS_NUMBERS)

    def slots_for(self, classes: int) -> int:
        """How many proxies fit beside `classes` class records."""
        return (self.pool_bytes - classes * RECORD_BYTES) // self.slot_bytes

    def used_bytes(self, classes: int, slots: int) -> int:
        """Bytes in use with so many classes and proxies, header and journal included."""
        return self.budget - self.pool_bytes + classes * RECORD_BYTES + slots * self.slot_bytes

    def budget_for(self, classes: int) -> int:
        """The budget that so many classes need, with one proxy each and the journal of this one."""
        return self.used_bytes(classes, classes)

    def parts(self, classes: int, slots: int) -> dict[str, int]:
        """Bytes by purpose with so many classes and proxies; they add up to `budget`."""
        used = {
            "header": self.budget - self.pool_bytes - self.journal_bytes,
            "journal": self.journal_bytes,
            "proxies": slots * self.slot_bytes,
            "classes": classes * RECORD_BYTES,
        }
        return {**used, "free": self.budget - sum(used.values())}
