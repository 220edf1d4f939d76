"""The head that a firmware starts with, and whether a board has room for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_imprint import ImprintHead
from edge_imprint.errors import BudgetError, ValueRangeError
from edge_imprint.head.budget import Layout
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
    """

    dim: int = 64
    budget: int = DEFAULT_BUDGET
    false_accept_rate: float = 0.05
    max_proxies: int = 21
    shrinkage: int = 20
    undo: bool | None = None
    backbone_bytes: int = DEFAULT_BACKBONE_BYTES

    def __post_init__(self) -> None:
        """Refuse what `ImprintHead` refuses, in its words."""
        ImprintHead(
            self.dim,
            self.budget,
            false_accept_rate=self.false_accept_rate,
            max_proxies=self.max_proxies,
            shrinkage=self.shrinkage,
            undo=self.undo,
        )
        if not 0 <= self.backbone_bytes <= MAX_BACKBONE_BYTES:
            raise ValueRangeError(f"backbone-bytes must be 0 to {MAX_BACKBONE_BYTES}; got {self.backbone_bytes}")

    @property
    def layout(self) -> Layout:
        """Where everything lies in the budget."""
        return Layout(self.dim, self.budget, self.undo)

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena."""
        return sizes.arena_bytes(self.layout, self.max_proxies, self.backbone_bytes)

    @property
    def snapshot_bytes(self) -> int:
        """Bytes of the largest snapshot."""
        return sizes.snapshot_bytes(self.layout, self.backbone_bytes)


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
    missing = options.arena_bytes + rest - ram
    if missing > 0:
        most = (options.budget - missing) // KB
        way_out = f"Give budget={most}KB or less" if most > 0 else "Give a smaller dim or another board"
        raise BudgetError(
            f"a head must fit into the {ram} bytes of RAM of {board.name}, of which stack and serial line take {rest}; "
            f"a budget of {options.budget} at dim={options.dim} needs {options.arena_bytes}. {way_out}"
        )


def default_budget(board: Board, dim: int, backbone_bytes: int = DEFAULT_BACKBONE_BYTES) -> int:
    """16 KB, or where the board has too little RAM for that, as many whole KB as fit.

    >>> from edge_imprint_firmware.boards import BOARDS
    >>> default_budget(BOARDS["mps2-an386"], 64), default_budget(BOARDS["microbit"], 64)
    (16384, 10240)
    """
    options = HeadOptions(dim, 64 * KB, backbone_bytes=backbone_bytes)
    room = board.ram[1] - other_ram(board, options) - (options.arena_bytes - options.budget)
    return max(KB, min(DEFAULT_BUDGET, room // KB * KB))
