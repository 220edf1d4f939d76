"""Bytes that a head needs on a board, said beforehand: its arena, its largest snapshot, its flash."""

from __future__ import annotations

import contextlib

from edge_imprint.errors import BudgetError
from edge_imprint.head.budget import RECORD_BYTES, Layout
from edge_imprint.head.layouts import AnyLayout
from edge_imprint.head.ridge.layout import RidgeLayout, packed_bytes, row_bytes
from edge_imprint.head.ridge.shot_log import MOST_LOGGED
from edge_imprint_firmware.protocol import FRAME_CRC_BYTES, FRAME_HEADER_BYTES

# docs/FORMAT.md: header, nine entries of the table, config and state; then per class and per proxy.
_SNAPSHOT_FIXED = 24 + 9 * 16 + 20 + 28
_PROXY_META = 4 + 2 + 1
# docs/STORE.md: records of a slot beside the snapshot.
_STORE_RECORDS = 10 * 64
# sizeof(eimp_head) and sizeof(eimp_ridge), which have pointers in them, and a little more: a test holds them to that.
_HEAD_BYTES = 272
_RIDGE_BYTES = 128
# EIMP_MOMENT_SCRATCH_BYTES of eimp_moment.h.
_SCRATCH_BYTES = 2048
# Three entries of the table, and the section `ridge`.
_MOMENT_FIXED = 3 * 16 + 8


def _rounded(size: int) -> int:
    return (size + 7) // 8 * 8


def _with_and_without_undo(layout: RidgeLayout) -> list[RidgeLayout]:
    """What a snapshot of the same budget can have; without undo everything fits that fits with it."""
    found = [RidgeLayout(layout.dim, layout.budget, undo=False)]
    with contextlib.suppress(BudgetError):
        found.append(RidgeLayout(layout.dim, layout.budget, undo=True))
    return found


def arena_bytes(layout: AnyLayout, max_proxies: int, backbone_bytes: int) -> int:
    """Bytes to set aside for a head's arena; a little more than `eimp_arena_size()` asks for."""
    if isinstance(layout, RidgeLayout):
        both = _with_and_without_undo(layout)
        proxies = Layout(layout.dim, max(each.proxies.budget for each in both), undo=False)
        moment = max(each.moment_bytes for each in both)
        beside = _RIDGE_BYTES + _rounded(moment) + _SCRATCH_BYTES + _rounded(4 * layout.dim)
        return beside + arena_bytes(proxies, max_proxies, backbone_bytes)
    # A snapshot that is loaded may come from a head without a journal, which has room for more classes.
    classes = Layout(layout.dim, layout.budget, undo=False).max_classes
    working = 3 * _rounded(layout.dim) + _rounded(4 * (max_proxies - 1)) + _rounded(4 * classes)
    return _HEAD_BYTES + working + _rounded(layout.budget) + _rounded(backbone_bytes)


def line_bytes(dim: int, backbone_bytes: int, payload_bytes: int) -> int:
    """Bytes of the serial line's buffer, as EIMP_RPC_BYTES of eimp_rpc.h."""
    return max(2 * dim, backbone_bytes) + 2 * (payload_bytes + FRAME_HEADER_BYTES + FRAME_CRC_BYTES) + 8


def snapshot_bytes(layout: AnyLayout, backbone_bytes: int) -> int:
    """Bytes of the largest snapshot that a head of this layout can write."""
    if isinstance(layout, RidgeLayout):
        most = max(_with_log(each) for each in _with_and_without_undo(layout))
        return most + backbone_bytes + _MOMENT_FIXED + packed_bytes(layout.dim)
    sizes = (_proxies_bytes(layout.dim, n, layout.slots_for(n)) for n in range(1, layout.max_classes + 1))
    return max(sizes) + backbone_bytes


def _proxies_bytes(dim: int, classes: int, slots: int) -> int:
    return _SNAPSHOT_FIXED + RECORD_BYTES * classes + slots * (_PROXY_META + 2 * dim)


def _with_log(layout: RidgeLayout) -> int:
    """The same for proxies and logged shots together: where a proxy is none of these is."""
    return max(
        _proxies_bytes(layout.dim, classes, slots) + min(layout.rows - slots, MOST_LOGGED) * row_bytes(layout.dim)
        for classes in range(1, layout.max_classes + 1)
        for slots in (classes, layout.proxies.slots_for(classes))
    )


def flash_bytes(snapshot: int, sector_bytes: int) -> int:
    """Bytes of flash that the store's two slots take, in whole sectors, for snapshots of so many bytes."""
    return 2 * (-(-(snapshot + _STORE_RECORDS) // sector_bytes)) * sector_bytes
