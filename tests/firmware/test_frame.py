"""Frames: the parser in C and the one in Python, on the same bytes."""

from __future__ import annotations

import ctypes
import random
import zlib

import cbuild
import pytest
from cobs import cobs

from edge_imprint_firmware.frames import Frame, FrameParser, encode
from edge_imprint_firmware.protocol import FRAME_MAX_PAYLOAD, Status

SEND = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_uint32)


class CParser:
    """eimp_frame_receive with a buffer of exactly the size that the header asks for."""

    class _State(ctypes.Structure):
        _fields_ = (
            ("buffer", ctypes.c_void_p),
            ("capacity", ctypes.c_uint32),
            ("length", ctypes.c_uint32),
            ("flags", ctypes.c_uint8 * 4),
        )

    def __init__(self, payload: int = FRAME_MAX_PAYLOAD) -> None:
        self.lib = cbuild.shared_library("frame", cbuild.SRC / "eimp_frame.c", cbuild.SRC / "eimp_crc.c")
        self.lib.eimp_frame_receive.restype = ctypes.c_int32
        self.buffer = ctypes.create_string_buffer(4 + payload + 4)
        self.state = self._State()
        self.lib.eimp_frame_parser_init(ctypes.byref(self.state), self.buffer, len(self.buffer))

    def feed(self, data: bytes) -> list[bytes | int]:
        found: list[bytes | int] = []
        for byte in data:
            length = self.lib.eimp_frame_receive(ctypes.byref(self.state), ctypes.c_uint8(byte))
            if length:
                found.append(self.buffer.raw[:length] if length > 0 else length)
        return found

    def send(self, frame: bytes) -> bytes:
        sent = bytearray()
        buffer = ctypes.create_string_buffer(frame, len(frame) + 4)
        write = SEND(lambda _, data, count: sent.extend(data[:count]))
        self.lib.eimp_frame_send(buffer, len(frame), write, None)
        return bytes(sent)


def body_of(frame: Frame) -> bytes:
    return frame.command.to_bytes(1, "little") + frame.sequence.to_bytes(2, "little") + bytes([0]) + frame.payload


def frames_of_all_kinds() -> list[Frame]:
    numbers = random.Random(1)
    payloads = [b"", b"\0", b"\0" * 300, b"\1" * FRAME_MAX_PAYLOAD, bytes(range(256)) * 3]
    # Runs without a zero of 250 to 260 bytes: a block of COBS ends after 254.
    payloads += [b"\1" * n + tail for n in range(242, 262) for tail in (b"", b"\0", b"\0\1")]
    payloads += [numbers.randbytes(numbers.randrange(FRAME_MAX_PAYLOAD)) for _ in range(100)]
    return [Frame(numbers.randrange(1, 128), numbers.randrange(1 << 16), 0, payload) for payload in payloads]


def test_both_sides_write_the_same_bytes_and_read_each_other():
    c, python = CParser(), FrameParser()
    for frame in frames_of_all_kinds():
        line = encode(frame)
        assert c.send(body_of(frame)) == line
        assert line.count(0) == 2
        assert c.feed(line) == [body_of(frame)]
        assert python.feed(line) == [frame]


def test_the_worked_example_of_the_document():
    document = (cbuild.ROOT / "docs" / "PROTOCOL.md").read_text()
    line = encode(Frame(8, 1, 0, b"")).hex(" ")
    assert line in document
    assert CParser().feed(bytes.fromhex(line.replace(" ", ""))) == [bytes([8, 1, 0, 0])]


def test_a_frame_may_come_in_any_portions():
    frames = frames_of_all_kinds()
    line, numbers, python = b"".join(map(encode, frames)), random.Random(2), FrameParser()
    found: list[Frame | None] = []
    while line:
        cut = numbers.randrange(1, 400)
        found += python.feed(line[:cut])
        line = line[cut:]
    assert found == frames


@pytest.mark.parametrize("payload", [b"", b"mug\0plate", b"\7" * 260])
def test_every_flipped_bit_and_every_truncation_is_seen(payload):
    frame = Frame(5, 700, 0, payload)
    line = encode(frame)
    for position in range(1, len(line) - 1):
        for bit in range(8):
            damaged = bytearray(line)
            damaged[position] ^= 1 << bit
            c = CParser().feed(bytes(damaged))
            assert c
            assert set(c) == {int(Status.CORRUPT)}
            assert set(FrameParser().feed(bytes(damaged))) == {None}
        assert CParser().feed(line[:position] + b"\0") in ([], [Status.CORRUPT])
        assert FrameParser().feed(line[:position] + b"\0") in ([], [None])


def test_after_any_garbage_the_next_frame_is_read():
    numbers, frame = random.Random(3), Frame(9, 1, 0, b"after it")
    c, python = CParser(), FrameParser()
    for _ in range(300):
        garbage = numbers.randbytes(numbers.randrange(3000))
        assert c.feed(garbage + encode(frame))[-1] == body_of(frame)
        assert python.feed(garbage + encode(frame))[-1] == frame


def test_without_garbage_between_them_nothing_is_reported():
    assert CParser().feed(b"\0" * 50) == []
    assert FrameParser().feed(b"\0" * 50) == []


def test_a_frame_longer_than_the_buffer_is_refused_and_the_next_is_read():
    small, fits = CParser(96), Frame(1, 2, 0, b"\5" * 96)
    too_long = Frame(1, 2, 0, b"\5" * 97)
    assert small.feed(encode(too_long) + encode(fits)) == [Status.CORRUPT, body_of(fits)]
    assert small.buffer.raw[-4:] == zlib.crc32(body_of(fits)).to_bytes(4, "little")


def test_what_can_be_no_frame_is_not_kept():
    parser = FrameParser()
    for _ in range(1000):
        assert parser.feed(b"\1" * 1000) == []
    assert len(parser._pending) < 2000
    assert parser.feed(b"\0" + encode(Frame(1, 2, 0, b""))) == [None, Frame(1, 2, 0, b"")]


def test_a_frame_without_room_for_header_and_crc_is_refused():
    for size in range(8):
        body = b"\1" * size
        framed = b"\0" + cobs.encode(body) + b"\0"
        assert CParser().feed(framed) == [Status.CORRUPT]
        assert FrameParser().feed(framed) == [None]
    # The CRC of nothing is 0 and would fit.
    assert CParser().feed(b"\0" + cobs.encode(b"\0\0\0\0") + b"\0") == [Status.CORRUPT]
