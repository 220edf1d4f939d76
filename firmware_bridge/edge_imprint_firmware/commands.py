"""Commands that take or give more than one frame holds."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import CapacityError, EdgeImprintError, ValueRangeError
from edge_imprint.head import Label
from edge_imprint.head.labels import LABEL_FIELD_BYTES, decode_label, encode_label
from edge_imprint_firmware import protocol
from edge_imprint_firmware.errors import DeviceError
from edge_imprint_firmware.link import Link
from edge_imprint_firmware.protocol import Command
from edge_imprint_firmware.reports import read_info

__all__ = [
    "ClassInfo",
    "from_wire",
    "read_backbone",
    "read_classes",
    "read_scores",
    "stage",
    "to_wire",
    "write_backbone",
]

ClassInfo = tuple[Label, int, int]
"""A class: its label, its shots, its proxies."""

_CLASS = struct.Struct("<IH")  # shots and proxies, before a label
_USUAL_LABEL_BYTES = 10


def to_wire(label: Label) -> bytes:
    """A checked label as commands carry it: length and text.

    Example:
        >>> to_wire("mug"), to_wire(7)
        (b'\\x03mug', b'\\x817')
    """
    field = encode_label(label)
    return field[: 1 + (field[0] & 0x7F)]


def from_wire(data: bytes, port: str) -> Label:
    """The inverse of `to_wire`; `DeviceError` where `data` is no label."""
    try:
        return decode_label(data.ljust(LABEL_FIELD_BYTES, b"\0"))
    except (EdgeImprintError, IndexError) as error:
        raise DeviceError(f"{port} sent {data!r} where a label belongs. Update the device or edge-imprint") from error


def stage(link: Link, data: bytes) -> int:
    """Put an embedding's or a name's bytes into the device's stage; returns their CRC-32, which names them."""

    def request(offset: int, size: int) -> bytes:
        return protocol.STAGE_REQUEST.pack(offset) + data[offset : offset + size]

    offset = 0
    while offset < len(data):
        left, overhead = len(data) - offset, protocol.STAGE_REQUEST.size
        size, _ = link.piece(Command.STAGE, offset, left, request, overhead=overhead, action="take an embedding")
        offset += size
    return zlib.crc32(data)


def read_scores(link: Link, stage_crc: int) -> NDArray[np.float32]:
    """Cosine of the staged embedding with each class's best proxy: (n_classes,) float32."""
    fields = protocol.SCORES_REPLY
    found: list[int] = []

    def request(first: int, size: int) -> bytes:
        return protocol.SCORES_REQUEST.pack(stage_crc, first, max(size // 4, 1))

    classes = 1  # at least; every reply says how many there are
    while len(found) < classes:
        want = 4 * (classes - len(found)) if found else link.limit
        _, reply = link.piece(
            Command.SCORES,
            len(found),
            want,
            request,
            overhead=fields.size,
            reply_bytes=fields.size + 4,
            action="score an embedding",
        )
        (classes,) = fields.unpack_from(reply)
        found += np.frombuffer(reply[fields.size :], "<i4").tolist()
    return (np.array(found, np.float64) / (1 << 23)).astype(np.float32)


def read_classes(link: Link) -> list[ClassInfo]:
    """Every class, in the order of teaching."""
    fields = protocol.CLASSES_REPLY
    found: list[ClassInfo] = []

    def request(first: int, size: int) -> bytes:
        return protocol.CLASSES_REQUEST.pack(first, max(size // (_CLASS.size + _USUAL_LABEL_BYTES), 1))

    while True:
        _, reply = link.piece(
            Command.CLASSES, len(found), link.limit, request, overhead=fields.size, reply_bytes=fields.size
        )
        (classes,) = fields.unpack_from(reply)
        before, offset = len(found), fields.size
        while offset + _CLASS.size < len(reply):
            shots, proxies = _CLASS.unpack_from(reply, offset)
            start = offset + _CLASS.size
            offset = start + 1 + (reply[start] & 0x7F)
            found.append((from_wire(reply[start:offset], link.port), shots, proxies))
        if len(found) >= classes:
            return found
        if len(found) == before:
            raise DeviceError(f"{link.port} knows {classes} classes and names only {before}. Update the device")


def read_backbone(link: Link) -> str | None:
    """What makes the embeddings; None where nobody said."""
    fields = protocol.GET_BACKBONE_REPLY
    raw = bytearray()
    while True:
        _, reply = link.piece(
            Command.GET_BACKBONE,
            len(raw),
            link.limit,
            protocol.GET_BACKBONE_REQUEST.pack,
            overhead=fields.size,
            reply_bytes=fields.size,
        )
        (length,) = fields.unpack_from(reply)
        raw += reply[fields.size :]
        if len(raw) >= length or len(reply) == fields.size:
            return raw.decode(errors="replace") or None


def write_backbone(link: Link, name: str | None) -> None:
    """Keep a name of what makes the embeddings; None removes it.

    Raises:
        ValueRangeError: not UTF-8, or longer than any device keeps.
        CapacityError: longer than this device was made for.
    """
    try:
        raw = (name or "").encode()
    except UnicodeEncodeError as error:
        raise ValueRangeError(f"a backbone's name must be valid UTF-8; got {name!r}") from error
    if len(raw) > protocol.MAX_BACKBONE_BYTES:
        raise ValueRangeError(f"a backbone's name has at most {protocol.MAX_BACKBONE_BYTES} bytes; got {len(raw)}")
    action = f"keep a backbone's name of {len(raw)} bytes"
    # The stage may be shorter than the name: the device, not a failing piece, is to say so.
    room = read_info(link).backbone_bytes
    if len(raw) > room:
        raise CapacityError(f"{link.port} has room for a backbone's name of {room} bytes; got {len(raw)}")
    link.request(Command.SET_BACKBONE, protocol.SET_BACKBONE_REQUEST.pack(len(raw), stage(link, raw)), action=action)
