"""Frames on the serial line: header, payload, CRC-32; then COBS between zero bytes (docs/PROTOCOL.md)."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from cobs import cobs

from edge_imprint_firmware.protocol import FRAME_CRC_BYTES, FRAME_HEADER_BYTES, FRAME_MAX_PAYLOAD

__all__ = ["Frame", "FrameParser", "encode"]

_HEADER = struct.Struct("<BHb")  # command, sequence number, status
_CRC = struct.Struct("<I")
_MOST = FRAME_HEADER_BYTES + FRAME_MAX_PAYLOAD + FRAME_CRC_BYTES
_MOST_ENCODED = _MOST + _MOST // 254 + 1


class Frame(NamedTuple):
    """One message: the command (replies have their bit set), its sequence number, a status in replies."""

    command: int
    sequence: int
    status: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """The bytes of a frame on the line, the zeros around it included.

    Example:
        >>> encode(Frame(command=8, sequence=1, status=0, payload=b"")).hex(" ")
        '00 03 08 01 01 05 c4 9d 32 e5 00'
    """
    body = _HEADER.pack(*frame[:3]) + frame.payload
    encoded: bytes = cobs.encode(body + _CRC.pack(zlib.crc32(body)))
    return b"\0" + encoded + b"\0"


class FrameParser:
    """Bytes in, frames out. After any garbage the next zero begins afresh.

    Example:
        >>> FrameParser().feed(b"noise" + encode(Frame(8, 1, 0, b"")))
        [None, Frame(command=8, sequence=1, status=0, payload=b'')]
    """

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Frame | None]:
        """Take bytes from the line.

        Args:
            data: any number of bytes; a frame may end in a later call.

        Returns:
            The frames that ended, in order; None for each that came damaged.
        """
        *ended, rest = data.split(b"\0")
        if ended:
            ended[0] = bytes(self._pending) + ended[0]
            self._pending.clear()
        # What cannot be a frame any more is not kept, but for its being there.
        self._pending += rest[: _MOST_ENCODED + 1 - len(self._pending)]
        return [_decode(piece) for piece in ended if piece]


def _decode(encoded: bytes) -> Frame | None:
    if len(encoded) > _MOST_ENCODED:
        return None
    try:
        body: bytes = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    if not FRAME_HEADER_BYTES + FRAME_CRC_BYTES <= len(body) <= _MOST:
        return None
    body, crc = body[:-FRAME_CRC_BYTES], body[-FRAME_CRC_BYTES:]
    if _CRC.pack(zlib.crc32(body)) != crc:
        return None
    command, sequence, status = _HEADER.unpack_from(body)
    return Frame(command, sequence, status, body[FRAME_HEADER_BYTES:])
