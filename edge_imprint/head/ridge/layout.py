"""Where a second-moment head keeps what proxies alone do not need, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_imprint.errors import BudgetError
from edge_imprint.head.budget import (
    HEADER_BYTES,
    RECORD_BYTES,
    Layout,
    journal_bytes,
    slot_bytes,
    undo_is_kept,
)

STATE_BYTES = 32
SOLVED_AT_ONCE = 16
ROW_META_BYTES = 8


def packed_bytes(dim: int) -> int:
    """Bytes of a packed symmetric matrix (dim, dim) whose numbers have 4 bytes."""
    return 2 * dim * (dim + 1)


def row_bytes(dim: int) -> int:
    """Bytes of a discriminant: its int8 row and two coefficients, a multiple of 4."""
    return (dim + ROW_META_BYTES + 3) // 4 * 4


def fixed_bytes(dim: int) -> int:
    """Bytes that the second moment costs whatever is taught.

    The scatter, its factor, 16 right-hand sides, the last shot, the state, and the discriminant of the background.
    """
    return 2 * packed_bytes(dim) + 4 * dim * SOLVED_AT_ONCE + (2 * dim + 3) // 4 * 4 + STATE_BYTES + row_bytes(dim)


def _least_bytes(dim: int, before: int) -> int:
    """The smallest budget that holds a class, `before` bytes of it for header and journal."""
    slot = slot_bytes(dim)
    most = (slot + RECORD_BYTES) // slot
    return fixed_bytes(dim) + before + slot + RECORD_BYTES + most * row_bytes(dim)


@dataclass(frozen=True)
class RidgeLayout:
    """How a second-moment head divides its budget.

        proxies, as in `Layout` | state | the last shot | scatter | factor | right-hand sides | discriminants

    There is a discriminant for each proxy that fits, and one for the background.

    Attributes:
        dim: length of an embedding.
        budget: bytes, all included.
        undo: keep room for taking the last shot back; None keeps it where it takes at most a quarter of what the
            second moment leaves.
        proxies: the layout of the first part.
    """

    dim: int
    budget: int
    undo: bool | None = None
    proxies: Layout = field(init=False)

    method = "ridge"

    def __post_init__(self) -> None:
        """Refuse a dimension or a budget that no class fits into."""
        Layout(self.dim, 1 << 30, False)  # says what is wrong with `dim`
        if self.undo is None:
            object.__setattr__(self, "undo", undo_is_kept(self.dim, self.budget - fixed_bytes(self.dim)))
        slot, row = slot_bytes(self.dim), row_bytes(self.dim)
        before = HEADER_BYTES + (journal_bytes(self.dim) if self.undo else 0)
        free = self.budget // 4 * 4 - fixed_bytes(self.dim) - before
        # Class records lie where slots could, so there are at most so many of these.
        slots = max(free, 0) // (slot + row)
        pool = min(free - slots * row, (slots + 1) * slot - 4)
        if pool < slot + RECORD_BYTES:
            least = _least_bytes(self.dim, before)
            raise BudgetError(
                f'method="ridge" needs {least} bytes for one class at dim={self.dim}, {fixed_bytes(self.dim)} of them '
                f'for the second moment; got {self.budget}. Give budget={least} or more, or method="proxies"'
            )
        object.__setattr__(self, "proxies", Layout(self.dim, before + pool, self.undo))

    @property
    def moment_bytes(self) -> int:
        """Bytes that are not proxies, classes or journal: fixed ones and a discriminant for each proxy."""
        return fixed_bytes(self.dim) + self.rows * row_bytes(self.dim)

    @property
    def rows(self) -> int:
        """How many proxies can have a discriminant: all that fit."""
        return self.proxies.pool_bytes // self.proxies.slot_bytes

    @property
    def max_classes(self) -> int:
        """How many classes fit with one proxy each."""
        return self.proxies.max_classes

    def used_bytes(self, classes: int, slots: int) -> int:
        """Bytes in use with so many classes and proxies: what is fixed, and a discriminant for each proxy."""
        return fixed_bytes(self.dim) + slots * row_bytes(self.dim) + self.proxies.used_bytes(classes, slots)

    def budget_for(self, classes: int) -> int:
        """The budget that so many classes need, with one proxy each and the journal of this one.

        More than they use: where a class record lies a proxy could, and has room for a discriminant.
        """
        before = HEADER_BYTES + (journal_bytes(self.dim) if self.undo else 0)
        budget = max(self.used_bytes(classes, classes), _least_bytes(self.dim, before))
        while RidgeLayout(self.dim, budget, self.undo).max_classes < classes:
            budget += row_bytes(self.dim)
        return budget

    def parts(self, classes: int, slots: int) -> dict[str, int]:
        """Bytes by purpose with so many classes and proxies; they add up to `budget`."""
        used = {
            **self.proxies.parts(classes, slots),
            "second_moment": fixed_bytes(self.dim),
            "discriminants": slots * row_bytes(self.dim),
        }
        del used["free"]
        return {**used, "free": self.budget - sum(used.values())}
