"""Any bytes at all, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import random
import struct
import subprocess
import zlib
from pathlib import Path

import cbuild
import pytest
from device_in_process import sources

from edge_imprint_firmware import protocol
from edge_imprint_firmware.frames import Frame, FrameParser, encode
from edge_imprint_firmware.protocol import Command, Status


@pytest.fixture(scope="module")
def program() -> Path:
    main = cbuild.ROOT / "tests" / "firmware" / "c" / "device_from_stdin.c"
    return cbuild.build("device-from-stdin", *sources(), main, flags=("-O1", *cbuild.SANITIZE))


def run(program: Path, data: bytes) -> list[Frame | None]:
    done = subprocess.run([program], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:4000]
    return FrameParser().feed(done.stdout)


def hello(sequence: int = 0) -> bytes:
    payload = protocol.HELLO_REQUEST.pack(*protocol.PROTOCOL_VERSION, 1)
    return encode(Frame(Command.HELLO, sequence, 0, payload))


def test_random_bytes(program):
    numbers = random.Random(1)
    data = b"".join(numbers.randbytes(numbers.randrange(300)) + b"\0" for _ in range(3000))
    found = run(program, data + hello())
    assert found[-1] is not None
    assert found[-1].status == Status.OK
    assert found.count(Frame(protocol.FRAME_DAMAGED, 0, Status.CORRUPT, b"")) == len(found) - 1 > 2000


def wild_request(numbers: random.Random) -> tuple[int, bytes]:
    """A command with numbers that its rule may or may not allow, so that every handler is entered."""
    command = numbers.choice([*Command, numbers.randrange(128)])
    few = [0, 1, 2, 15, 16, 17, 31, 32, 33, 96, 100, 255, 256, 2047, 2048, 65535, 1 << 31, (1 << 32) - 1]
    number = numbers.choice([*few, numbers.randrange(1 << 32)])
    size = numbers.choice([0, 1, 2, 4, 6, 8, 21, numbers.randrange(97)])
    payload = bytearray(numbers.randbytes(size))
    for at in range(0, size - 3, numbers.choice([2, 4, 8])):
        payload[at : at + 4] = struct.pack("<I", number if numbers.random() < 0.7 else numbers.choice(few))
    return command, bytes(payload)


def requests(numbers: random.Random) -> list[tuple[int, bytes]]:
    """One wild request, or a few that lead somewhere."""
    embedding, kind = struct.pack("<16h", *range(16)), numbers.random()
    if kind < 0.1:
        label = numbers.choice([b"\3mug", b"\5plate", b"\x811", numbers.randbytes(numbers.randrange(40))])
        crc = struct.pack("<I", zlib.crc32(embedding))
        asked = [(Command.LEARN, crc + label), (Command.PREDICT, crc), (Command.SCORES, crc + b"\0\0\x10\0")]
        return [(Command.STAGE, b"\0\0" + embedding), numbers.choice(asked)]
    if kind < 0.2:
        simple = [Command.SAVE, Command.LOAD, Command.SNAPSHOT_OPEN, Command.UNDO, Command.CLEAR]
        return [(numbers.choice(simple), b""), (Command.FORGET, numbers.choice([b"\3mug", b"\4bowl"]))]
    if kind < 0.25:
        size = numbers.randrange(3000)
        begin = struct.pack("<IIIIHHB", size, 0, 16, 2048, 0, 4, 1)
        pieces = [(Command.SNAPSHOT_WRITE, struct.pack("<I", at) + bytes(90)) for at in range(0, size - 89, 90)]
        last = (Command.SNAPSHOT_WRITE, struct.pack("<I", size - size % 90) + bytes(size % 90))
        return [(Command.SNAPSHOT_BEGIN, begin), *pieces, last, (Command.SNAPSHOT_COMMIT, b"")]
    return [wild_request(numbers)]


def test_wild_requests(program):
    numbers, sequence, data = random.Random(2), 1, [hello(1)]
    for _ in range(3000):
        for command, payload in requests(numbers):
            sequence = (sequence + 1) & 0xFFFF
            data.append(encode(Frame(command, sequence, 0, payload)))
        if numbers.random() < 0.05:
            sequence = (sequence + 1) & 0xFFFF
            data.append(hello(sequence))
    found = run(program, b"".join(data))
    assert None not in found
    replies = [frame for frame in found if frame is not None]
    assert len(replies) == len(data)
    # All that such requests can bring about: a device without some of it was not tried hard enough.
    never = {Status.SHAPE, Status.BUDGET, Status.BACKBONE, Status.STORAGE, Status.NO_UNDO}
    assert {frame.status for frame in replies} >= set(Status) - never
    assert all(frame.payload == b"" or frame.status in (Status.OK, Status.VERSION) for frame in replies)


def test_every_truncation_of_a_session(program):
    embedding = struct.pack("<16h", *range(16))
    learn = struct.pack("<I", zlib.crc32(embedding)) + b"\3mug"
    session = hello(1) + encode(Frame(Command.STAGE, 2, 0, b"\0\0" + embedding))
    session += encode(Frame(Command.LEARN, 3, 0, learn)) + encode(Frame(Command.INFO, 4, 0, b""))
    whole = run(program, session)
    assert len(whole) == 4
    for end in range(0, len(session), 3):
        found = run(program, session[:end])
        assert found == whole[: len(found)]
