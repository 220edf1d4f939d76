"""Class labels: str or int in the program, 32 bytes in the arena."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_imprint.errors import LabelError

Label = str | int
MAX_LABEL_BYTES = 31
LABEL_FIELD_BYTES = 32
_INT_FLAG = 0x80


def check_label(label: Any) -> Label:
    """A label as plain `str` or `int`.

    Raises:
        LabelError: not a str or int, empty, more than 31 bytes of UTF-8, not encodable, or with control characters.
    """
    if isinstance(label, (str, np.str_)):
        text = str(label)
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise LabelError(f"a label must be valid UTF-8; got {text!r}. Decode it with the right encoding") from error
        if not 1 <= size <= MAX_LABEL_BYTES:
            raise LabelError(f"a label has 1 to {MAX_LABEL_BYTES} bytes of UTF-8; got {size} in {text[:40]!r}")
        if not text.isprintable() or not text.strip():
            raise LabelError(f"a label holds printable characters; got {text!r}. Remove line breaks and control codes")
        return text
    if isinstance(label, (int, np.integer)) and not isinstance(label, (bool, np.bool_)):
        value = int(label)
        if not -(1 << 63) <= value < 1 << 63:
            raise LabelError(f"an int label has 64 bits; got {value}. Use a str")
        return value
    raise LabelError(f"a label is a str or an int; got {label!r} of type {type(label).__name__}")


def check_labels(y: Any, count: int) -> list[Label]:
    """`count` labels from one label or a sequence of them.

    Raises:
        LabelError: a label is invalid, or there are more or fewer labels than shots.
    """
    if hasattr(y, "__array__"):
        y = np.asarray(y).tolist()
    if isinstance(y, (str, bytes)) or not isinstance(y, Sequence):
        return [check_label(y)] * count
    labels = [check_label(v) for v in y]
    if len(labels) != count:
        raise LabelError(f"there must be one label for each shot; got {len(labels)} labels for {count} shots")
    return labels


def encode_label(label: Label) -> bytes:
    """Length and kind in the first byte, then the UTF-8 text (decimal digits of an int), zero-padded to 32 bytes."""
    text = str(label).encode()
    kind = _INT_FLAG if isinstance(label, int) else 0
    return (bytes([len(text) | kind]) + text).ljust(LABEL_FIELD_BYTES, b"\0")


def decode_label(field: bytes) -> Label:
    """The inverse of `encode_label`; `LabelError` where `field` is nothing that it writes."""
    size, text = field[0] & ~_INT_FLAG, field[1:]
    try:
        decoded = text[:size].decode()
        label = check_label(int(decoded) if field[0] & _INT_FLAG else decoded)
    except ValueError as error:
        raise LabelError(f"not a stored label: {field!r}") from error
    if encode_label(label) != field:
        raise LabelError(f"not a stored label: {field!r}")
    return label


def label_array(labels: list[Label]) -> np.ndarray[Any, np.dtype[Any]]:
    """Labels as an array: `str` or `int64` when all are of one kind, else `object`."""
    kinds = {type(v) for v in labels}
    if kinds == {str}:
        return np.array(labels, dtype=np.str_)
    if kinds == {int}:
        return np.array(labels, dtype=np.int64)
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out
