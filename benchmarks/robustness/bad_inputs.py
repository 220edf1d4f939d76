"""What a head must refuse with one of its own errors, and stay as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_imprint import snapshot
from edge_imprint.head import ImprintHead, codec

Call = Callable[[ImprintHead, Any], object]


def _spoilt(rows: Any, value: float) -> Any:
    bad = rows.copy()
    bad[0, 0] = value
    return bad


def _damaged(head: ImprintHead, spoil: Callable[[bytearray], bytes | bytearray]) -> object:
    content = spoil(bytearray(snapshot.encode(codec.sections(head, None))))
    return codec.head_from(ImprintHead, snapshot.decode(bytes(content)))


def _flipped(content: bytearray) -> bytearray:
    content[len(content) // 3] ^= 0x10
    return content


BAD: tuple[tuple[str, Call], ...] = (
    ("NaN in a shot", lambda head, rows: head.partial_fit(_spoilt(rows, np.nan), "mug")),
    ("infinity in a shot", lambda head, rows: head.partial_fit(_spoilt(rows, -np.inf), "mug")),
    ("a shot of zeros", lambda head, rows: head.partial_fit(np.zeros_like(rows), "mug")),
    ("a good shot, then a bad one", lambda head, rows: head.partial_fit([rows[0], _spoilt(rows, np.nan)[0]], "mug")),
    ("a shot that is too long", lambda head, rows: head.partial_fit(np.hstack([rows, rows]), "mug")),
    ("a shot without a row", lambda head, rows: head.partial_fit(rows[0], "mug")),
    ("no shot", lambda head, rows: head.partial_fit(rows[:0], [])),
    ("text for a shot", lambda head, rows: head.partial_fit([["a"] * head.dim], "mug")),
    ("an empty label", lambda head, rows: head.partial_fit(rows, "")),
    ("a label that is too long", lambda head, rows: head.partial_fit(rows, "m" * 32)),
    ("a label with a line break", lambda head, rows: head.partial_fit(rows, "mug\n")),
    ("a label that is no text", lambda head, rows: head.partial_fit(rows, [None])),
    ("a label that is a truth value", lambda head, rows: head.partial_fit(rows, [True])),
    ("more labels than shots", lambda head, rows: head.partial_fit(rows, ["mug", "bowl"])),
    ("half a surrogate pair", lambda head, rows: head.partial_fit(rows, "\ud800")),
    ("NaN in a question", lambda head, rows: head.predict(_spoilt(rows, np.nan))),
    ("a question that is too short", lambda head, rows: head.decision_function(rows[:, 1:])),
    ("forgetting what was never taught", lambda head, rows: head.forget("never taught")),
    ("merging something else", lambda head, rows: head.merge("a head")),  # type: ignore[arg-type]
    ("merging another dimension", lambda head, rows: head.merge(ImprintHead(head.dim + 1, "64KB"))),
    ("a rate out of range", lambda head, rows: setattr(head, "false_accept_rate", 2.0)),
    ("a budget for nothing", lambda head, rows: ImprintHead(head.dim, "1B")),
    ("a snapshot cut in half", lambda head, rows: _damaged(head, lambda content: content[: len(content) // 2])),
    ("a snapshot with a flipped bit", lambda head, rows: _damaged(head, _flipped)),
    ("a snapshot of zeros", lambda head, rows: _damaged(head, lambda content: bytes(len(content)))),
)
