"""A head as snapshot sections and back. `docs/FORMAT.md` has the bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import BudgetError, EdgeImprintError, SnapshotCorruptError, ValueRangeError
from edge_imprint.head.arena import MOST_SHOTS, Arena
from edge_imprint.head.fixed import ROW_MAX, SHIFT_MAX, Int64, join
from edge_imprint.head.labels import LABEL_FIELD_BYTES, decode_label, encode_label
from edge_imprint.head.reject import WINDOW
from edge_imprint.head.ridge.layout import packed_bytes
from edge_imprint.head.ridge.state import STATE_SECTION

if TYPE_CHECKING:
    from edge_imprint.head.head import ImprintHead

_CONFIG = struct.Struct("<IIIHHB3x")
_STATE = struct.Struct("<IIQIiI")
_RECORD = struct.Struct(f"<{LABEL_FIELD_BYTES}sIIIiI")
_MAX_BACKBONE_BYTES = 4096
_SQUARE_MAX = 1 << 21
_MEAN_MAX = 1 << 24


def sections(head: ImprintHead, backbone: str | None) -> dict[str, bytes]:
    """The head's state: configuration, counters, class records and slots, column by column."""
    arena = head._arena
    n, classes = arena.n_slots, arena.n_classes
    undo = int(bool(arena.layout.undo))
    config = (head.dim, head.budget, head._false_accept_ppm, head.max_proxies, head.shrinkage, undo)
    numbers = zip(*(field[:classes].tolist() for field in _record_fields(arena)), strict=True)
    records = [_RECORD.pack(encode_label(k), *v) for k, v in zip(head._labels, numbers, strict=True)]
    out = {
        "config": _CONFIG.pack(*config),
        "state": _STATE.pack(*arena.header.tolist(), *arena.own),
        "classes": b"".join(records),
        "count": arena.count[:n].tobytes(),
        "class": arena.cls[:n].tobytes(),
        "shift": arena.shift[:n].tobytes(),
        "high": arena.high[:n].tobytes(),
        "low": arena.low[:n].tobytes(),
    }
    if head._engine.second is not None:
        out.update(head._engine.second.sections())
    if backbone:
        try:
            out["backbone"] = backbone.encode()
        except UnicodeEncodeError as error:
            raise ValueRangeError(f"a backbone's name must be valid UTF-8; got {backbone!r}") from error
        if len(out["backbone"]) > _MAX_BACKBONE_BYTES:
            raise ValueRangeError(
                f"a backbone's name has at most {_MAX_BACKBONE_BYTES} bytes; got {len(out['backbone'])}"
            )
    return out


def head_from(kind: type[ImprintHead], parts: Mapping[str, bytes]) -> ImprintHead:
    """Build a head from sections, every value checked before it is used.

    Raises:
        SnapshotCorruptError: a section is missing, has the wrong size or says what no head writes.
    """
    try:
        dim, budget, ppm, max_proxies, shrinkage, undo = _CONFIG.unpack(_section(parts, "config", _CONFIG.size))
        n_slots, n_classes, shots, count, mean, variance = _STATE.unpack(_section(parts, "state", _STATE.size))
        if shots > MOST_SHOTS:
            raise SnapshotCorruptError(f"no head has learnt more than {MOST_SHOTS} shots; got {shots}")
        own = (count, mean, variance)
        _check_statistic(*own, window=4 * WINDOW)
        # The rows are checked against the counts before a budget's worth of memory is allocated.
        high = _section(parts, "high", n_slots * dim)
        second = _second_moment(parts, dim)
        head = kind(
            dim,
            budget,
            method="ridge" if second else "proxies",
            false_accept_rate=ppm / 1_000_000,
            max_proxies=max_proxies,
            shrinkage=shrinkage,
            undo=bool(undo),
        )
        arena = head._arena
        if n_classes > arena.layout.max_classes or not n_classes <= n_slots <= arena.layout.slots_for(n_classes):
            raise SnapshotCorruptError(
                f"a snapshot's classes fit its budget; got {n_classes} classes, {n_slots} proxies"
            )
        if second and head._engine.second is not None:
            head._engine.second.restore(*second, parts.get("log", b""), n_slots, n_classes)
        records = _section(parts, "classes", n_classes * _RECORD.size)
        arena.high[:n_slots] = np.frombuffer(high, np.int8).reshape(n_slots, dim)
        arena.low[:n_slots] = np.frombuffer(_section(parts, "low", n_slots * dim), np.int8).reshape(n_slots, dim)
        arena.count[:n_slots] = np.frombuffer(_section(parts, "count", 4 * n_slots), "<u4")
        arena.cls[:n_slots] = np.frombuffer(_section(parts, "class", 2 * n_slots), "<u2")
        arena.shift[:n_slots] = np.frombuffer(_section(parts, "shift", n_slots), np.uint8)
        for i, (label, *numbers) in enumerate(_RECORD.iter_unpack(records)):
            head._add_label(decode_label(label))
            _check_statistic(*numbers[2:], window=WINDOW)
            arena.label[i] = label
            for field, value in zip(_record_fields(arena), numbers, strict=True):
                field[i] = value
        arena.header[:] = (n_slots, n_classes, shots)
        arena.own = own
        _check_slots(head)
        head.backbone = _backbone(parts)
    except SnapshotCorruptError:
        raise
    except BudgetError as error:
        raise SnapshotCorruptError(f"the snapshot's budget is impossible: {error}") from error
    except EdgeImprintError as error:
        raise SnapshotCorruptError(f"the snapshot holds what no head writes: {error}") from error
    head._engine.loaded()
    return head


def _second_moment(parts: Mapping[str, bytes], dim: int) -> tuple[bytes, bytes] | None:
    """The two sections of a second moment, whose sizes are checked; None for a head without."""
    if "ridge" not in parts and "scatter" not in parts:
        return None
    return _section(parts, "ridge", STATE_SECTION.size), _section(parts, "scatter", packed_bytes(dim))


def _check_statistic(count: int, mean: int, variance: int, *, window: int) -> None:
    # A rounded cosine may pass 1 a little; one number has no variance. Thresholds count on these ranges.
    if count > window or abs(mean) > _MEAN_MAX or (count < 2 and variance):
        raise SnapshotCorruptError(
            f"a running statistic has a count of at most {window}, a mean of at most 2 and no variance of one number; "
            f"got count {count}, mean {mean} / 2^23, variance {variance} / 2^30"
        )


def _record_fields(arena: Arena) -> tuple[NDArray[Any], ...]:
    """The numbers of a class record, in the order of the file."""
    return arena.shots, arena.pair_cost, arena.other_count, arena.other_mean, arena.other_variance


def _section(parts: Mapping[str, bytes], name: str, size: int) -> bytes:
    if name not in parts:
        raise SnapshotCorruptError(f"a head's snapshot needs the section {name!r}; it has {', '.join(parts) or 'none'}")
    if len(parts[name]) != size:
        raise SnapshotCorruptError(f"section {name!r} must have {size} bytes; got {len(parts[name])}")
    return parts[name]


def _row_fits(values: Int64, shift: int) -> bool:
    """A row is a mean of unit vectors, so its squared length is at most 1; rounding is given as much again."""
    return abs(values).max() <= ROW_MAX and int(values @ values) >> (2 * shift + 8) <= _SQUARE_MAX


def _check_slots(head: ImprintHead) -> None:
    arena = head._arena
    n, classes = arena.n_slots, arena.n_classes
    cls, shift = arena.cls[:n], arena.shift[:n]
    rows_fit = all(_row_fits(join(arena.high[i], arena.low[i]), int(shift[i])) for i in range(n))
    if (
        len(head._index) != classes
        or (cls[:classes] != np.arange(classes)).any()
        or (cls >= classes).any()
        or (np.bincount(cls) > head.max_proxies).any()
        or (shift > SHIFT_MAX).any()
        or (arena.count[:n] < 1).any()
        or (arena.shots[:classes] < 1).any()
        or not rows_fit
    ):
        raise SnapshotCorruptError("the snapshot's rows, classes and counts contradict each other. Use a backup")


def _backbone(parts: Mapping[str, bytes]) -> str | None:
    raw = parts.get("backbone")
    if raw is None:
        return None
    try:
        if len(raw) <= _MAX_BACKBONE_BYTES:
            return raw.decode()
    except UnicodeDecodeError:
        pass
    raise SnapshotCorruptError(f"section 'backbone' is UTF-8 of at most {_MAX_BACKBONE_BYTES} bytes; it is not")
