"""The head that a firmware starts with, and whether a board has room for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_imprint import ImprintHead
from edge_imprint.errors import BudgetError, UsageError, ValueRangeError
from edge_imprint.head import parse_budget, plan
from edge_imprint.head.layouts import AnyLayout, layout_for
from edge_imprint.head.ridge.layout import fixed_bytes
from edge_imprint_firmware import sizes
from edge_imprint_firmware.boards import KB, Board
from edge_imprint_firmware.protocol import MAX_BACKBONE_BYTES

DEFAULT_BUDGET = 16 * KB
DEFAULT_BACKBONE_BYTES = 512
STACK_BYTES = 2048
# Variables of the program beside the arena and the buffers: eimp_rpc, eimp_store, the port.
_VARIABLES = 1024
_SMALL_RAM = 32 * KB


@dataclass(frozen=True)
class HeadOptions:
    """The options of `ImprintHead`, checked, and how long the name of a backbone may be.

    Attributes:
        dim: length of an embedding.
        budget: bytes of the head.
        false_accept_rate: share of never-shown things that may pass as known.
        max_proxies: of one class, its mean included.
        shrinkage: shots that the class mean weighs at most in each proxy.
        undo: keep room for undo; None keeps it where it takes at most a quarter of the budget.
        backbone_bytes: room for the name of what makes the embeddings, 0 to 4,096.
        method: "proxies", "ridge", or "auto" for "ridge" where that takes at most two thirds of the budget.
    """

    dim: int = 64
    budget: int = DEFAULT_BUDGET
    false_accept_rate: float = 0.05
    max_proxies: int = 21
    shrinkage: int = 20
    undo: bool | None = None
    backbone_bytes: int = DEFAULT_BACKBONE_BYTES
    method: str = "proxies"

    def __post_init__(self) -> None:
        """Refuse what `ImprintHead` refuses, in its words."""
        ImprintHead(
            self.dim,
            self.budget,
            method=self.method,
            false_accept_rate=self.false_accept_rate,
            max_proxies=self.max_proxies,
            shrinkage=self.shrinkage,
            undo=self.undo,
        )
        if not 0 <= self.backbone_bytes <= MAX_BACKBONE_BYTES:
            raise ValueRangeError(f"backbone-bytes must be 0 to {MAX_BACKBONE_BYTES}; got {self.backbone_bytes}")

    @property
    def layout(self) -> AnyLayout:
        """Where everything lies in the budget; its `method` is "proxies" or "ridge"."""
        return layout_for(self.dim, self.budget, self.undo, self.method)

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena."""
        return sizes.arena_bytes(self.layout, self.max_proxies, self.backbone_bytes)

    @property
    def snapshot_bytes(self) -> int:
        """Bytes of the largest snapshot."""
        return sizes.snapshot_bytes(self.layout, self.backbone_bytes)


def check_method(head: ImprintHead, method: str) -> None:
    """Refuse a head whose scores a device would hold against thresholds that are drawn on other ones.

    Raises:
        UsageError: it was taught with another method than the device's.
    """
    if head.method != method:
        raise UsageError(
            f'the device\'s head has method "{method}"; this one has "{head.method}". Teach one with '
            f'method="{method}" (edge-imprint learn --method {method}) and the budget of the device, or make firmware '
            f"with --method {head.method}"
        )


def options_from(state: str | Path, backbone_bytes: int = DEFAULT_BACKBONE_BYTES) -> HeadOptions:
    """The options of the head that a snapshot holds, with room for its backbone's name.

    Raises:
        StorageError, SnapshotCorruptError, SnapshotVersionError: the snapshot cannot be read.
    """
    head = ImprintHead.load(state)
    name = len((head.backbone or "").encode())
    return HeadOptions(
        head.dim,
        head.budget,
        head.false_accept_rate,
        head.max_proxies,
        head.shrinkage,
        head.memory()["journal"] > 0,
        max(backbone_bytes, name),
        head.method,
    )


def payload_bytes(board: Board) -> int:
    """Bytes of a frame's payload."""
    return 128 if board.ram[1] < _SMALL_RAM else 256


def ring_bytes(board: Board) -> int:
    """Bytes that wait while the program is busy."""
    return 64 if board.ram[1] < _SMALL_RAM else 256


def other_ram(board: Board, options: HeadOptions) -> int:
    """Bytes of RAM that a program takes beside its arena."""
    line = sizes.line_bytes(options.dim, options.backbone_bytes, payload_bytes(board))
    return STACK_BYTES + _VARIABLES + ring_bytes(board) + line


def check_ram(board: Board, options: HeadOptions) -> None:
    """That the head fits into the board's RAM.

    Raises:
        BudgetError: it does not; the message names a budget that does.
    """
    rest, ram = other_ram(board, options), board.ram[1]
    if options.arena_bytes + rest > ram:
        most = _largest_budget(board, options)
        way_out = f"Give budget={most // KB}KB or less" if most else "Give a smaller dim or another board"
        if options.layout.method == "ridge":
            way_out += ', or method="proxies"'
        raise BudgetError(
            f"a head must fit into the {ram} bytes of RAM of {board.name}, of which stack and serial line take {rest}; "
            f"a budget of {options.budget} at dim={options.dim} needs {options.arena_bytes}. {way_out}"
        )


def _largest_budget(board: Board, options: HeadOptions) -> int:
    """The most whole KB that the board has RAM for, in bytes; 0 where no head of that dim fits."""
    room = board.ram[1] - other_ram(board, options)
    for budget in range(max(0, room) // KB * KB, 0, -KB):
        try:
            if replace(options, budget=budget).arena_bytes <= room:
                return budget
        except BudgetError:  # too small for a single class
            break
    return 0


def default_budget(
    board: Board, dim: int, backbone_bytes: int = DEFAULT_BACKBONE_BYTES, method: str = "proxies"
) -> int:
    """16 KB and what a second moment takes, or where the board has too little RAM for that, as many whole KB as fit.

    >>> from edge_imprint_firmware.boards import BOARDS
    >>> default_budget(BOARDS["mps2-an386"], 64), default_budget(BOARDS["microbit"], 64)
    (16384, 10240)
    >>> default_budget(BOARDS["mps2-an386"], 64, method="ridge")
    37888
    """
    usual = DEFAULT_BUDGET + (-(-fixed_bytes(dim) // KB) * KB if method == "ridge" else 0)
    wanted = HeadOptions(dim, usual, backbone_bytes=backbone_bytes, method=method)
    if wanted.arena_bytes + other_ram(board, wanted) <= board.ram[1]:
        return usual
    return _largest_budget(board, wanted) or usual


def chosen(
    board: Board,
    dim: int | None = None,
    budget: int | str | None = None,
    *,
    state: str | Path | None = None,
    classes: int | None = None,
    **options: Any,
) -> HeadOptions:
    """The options that somebody chose; None stands for what is usual.

    Args:
        board: what the head is for.
        dim: length of an embedding.
        budget: bytes of the head, or text such as "16KB".
        state: a snapshot, which brings its own options.
        classes: how many classes have to fit.
        options: the others of `HeadOptions`.

    Raises:
        UsageError: `state` beside options that it brings.
        CapacityError: the classes do not fit.
        And what `ImprintHead` and `ImprintHead.load` raise.
    """
    given = {name: value for name, value in options.items() if value is not None}
    room = given.setdefault("backbone_bytes", DEFAULT_BACKBONE_BYTES)
    if state is not None:
        own = {"dim": dim, "budget": budget, **given}
        both = [name for name, value in own.items() if value is not None and name != "backbone_bytes"]
        if both:
            raise UsageError(f"a snapshot brings its own {' and '.join(both)}; leave one of the two out")
        head = options_from(state, room)
    else:
        length = 64 if dim is None else dim
        usual = default_budget(board, length, room, given.get("method", "proxies")) if budget is None else budget
        head = HeadOptions(length, parse_budget(usual), **given)
    if classes is not None:
        plan(head.dim, head.budget, classes=classes, method=head.method, undo=head.undo)
    return head
