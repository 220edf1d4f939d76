"""Frames to a `CDevice`, one by one."""

from __future__ import annotations

import struct
import zlib

from device_in_process import CDevice

from edge_imprint_firmware import protocol
from edge_imprint_firmware.frames import Frame, FrameParser, encode
from edge_imprint_firmware.protocol import Command, Status

HELLO = protocol.HELLO_REQUEST.pack(*protocol.PROTOCOL_VERSION, 77)
EMBEDDING = struct.pack("<64h", *range(100, 164))
CRC = zlib.crc32(EMBEDDING)


class Host:
    """Sends frames that it was told and gives back what came."""

    def __init__(self, **options: int) -> None:
        self.device = CDevice(**options)
        self.parser = FrameParser()
        self.sequence = 0

    def raw(self, data: bytes) -> list[Frame | None]:
        self.device.receive(data)
        return self.parser.feed(self.device.take())

    def ask(self, command: int, payload: bytes = b"", sequence: int | None = None) -> Frame:
        self.sequence = (self.sequence + 1) & 0xFFFF if sequence is None else sequence
        (reply,) = self.raw(encode(Frame(command, self.sequence, 0, payload)))
        assert reply is not None
        assert (reply.command, reply.sequence) == (command | 128, self.sequence)
        return reply

    def stage(self, data: bytes = EMBEDDING) -> None:
        for offset in range(0, len(data), 64):
            piece = protocol.STAGE_REQUEST.pack(offset) + data[offset : offset + 64]
            assert self.ask(Command.STAGE, piece).status == Status.OK

    def shots(self) -> int:
        reply = self.ask(Command.INFO)
        return protocol.InfoReply(*protocol.INFO_REPLY.unpack_from(reply.payload)).shots


def learn(label: bytes = b"\3mug") -> bytes:
    return protocol.LEARN_REQUEST.pack(CRC) + label


def packed(form: str, *values: int) -> bytes:
    return struct.pack("<" + form, *values)


def greeted(**options: int) -> Host:
    host = Host(**options)
    assert host.ask(Command.HELLO, HELLO).status == Status.OK
    return host
