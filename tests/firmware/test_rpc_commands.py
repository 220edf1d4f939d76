"""Each command of the device, with what its rule allows and what it does not."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import pytest
from device_in_process import CDevice
from raw_host import CRC, HELLO, Host, greeted, learn, packed

from edge_imprint_firmware import protocol
from edge_imprint_firmware.frames import Frame
from edge_imprint_firmware.protocol import Command, Status


@pytest.fixture
def host() -> Host:
    return greeted()


def test_learning_needs_the_embedding_that_is_staged(host):
    assert host.ask(Command.LEARN, learn()).status == Status.STATE
    host.stage()
    assert host.ask(Command.LEARN, protocol.LEARN_REQUEST.pack(CRC ^ 1) + b"\3mug").status == Status.STATE
    assert host.ask(Command.LEARN, learn()).status == Status.OK
    # Asked with the same stage: nothing has to be sent again.
    assert host.ask(Command.PREDICT, protocol.PREDICT_REQUEST.pack(CRC)).status == Status.OK
    host.ask(Command.STAGE, protocol.STAGE_REQUEST.pack(10) + b"xx")
    assert host.ask(Command.PREDICT, protocol.PREDICT_REQUEST.pack(CRC)).status == Status.STATE
    assert host.shots() == 1


@pytest.mark.parametrize(
    "label", [b"", b"\0", b"\3mu", b"\3mugs", b"\x20" + b"a" * 32, b"\2\xff\xff", b"\x83abc", b"\1\n"]
)
@pytest.mark.parametrize("command", [Command.LEARN, Command.FORGET])
def test_what_is_no_label_is_refused(host, command, label):
    host.stage()
    payload = learn(label) if command == Command.LEARN else label
    expected = {Status.LABEL} if command == Command.LEARN else {Status.LABEL, Status.UNKNOWN_LABEL}
    assert host.ask(command, payload).status in expected
    assert host.shots() == 0


@pytest.mark.parametrize(
    ("command", "payload", "status"),
    [
        (Command.STAGE, packed("H", 128) + b"x", Status.ARGUMENT),
        (Command.STAGE, packed("H", 127) + b"xx", Status.ARGUMENT),
        (Command.STAGE, packed("H", 65535), Status.ARGUMENT),
        (Command.STAGE, packed("H", 128), Status.OK),
        (Command.SCORES, packed("IHH", CRC, 0, 63), Status.OK),
        (Command.SCORES, packed("IHH", CRC, 0, 64), Status.ARGUMENT),
        (Command.SCORES, packed("IHH", CRC, 65535, 63), Status.OK),
        (Command.CLASSES, packed("HH", 65535, 65535), Status.OK),
        (Command.SET_FALSE_ACCEPT, packed("I", 999), Status.VALUE_RANGE),
        (Command.SET_FALSE_ACCEPT, packed("I", 500_001), Status.VALUE_RANGE),
        (Command.SET_BACKBONE, packed("HI", 129, 0), Status.CAPACITY),
        (Command.SET_BACKBONE, packed("HI", 1, 0), Status.STATE),
        (Command.GET_BACKBONE, packed("HH", 65535, 254), Status.OK),
        (Command.GET_BACKBONE, packed("HH", 0, 255), Status.ARGUMENT),
        (Command.OPERATION, packed("B", 7), Status.ARGUMENT),
        (Command.SNAPSHOT_READ, packed("IH", 0, 1), Status.STATE),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 100, 0, 65, 8192, 0, 8, 1), Status.SHAPE),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 100, 0, 64, 8193, 0, 8, 1), Status.CAPACITY),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 100, 0, 64, 100, 0, 8, 1), Status.BUDGET),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 100, 0, 64, 8192, 1, 8, 1), Status.CAPACITY),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 100, 0, 64, 8192, 0, 9, 1), Status.CAPACITY),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 100, 0, 64, 8192, 0, 0, 1), Status.VALUE_RANGE),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 100, 0, 64, 8192, 0, 8, 2), Status.VALUE_RANGE),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 60000, 0, 64, 8192, 0, 8, 1), Status.CAPACITY),
        (Command.SNAPSHOT_BEGIN, packed("IIIIHHB", 0, 0, 64, 8192, 0, 8, 1), Status.ARGUMENT),
        (Command.SNAPSHOT_WRITE, packed("I", 0) + b"x", Status.STATE),
        (Command.SNAPSHOT_COMMIT, b"", Status.STATE),
        (Command.LOAD, b"", Status.STATE),
        (Command.UNDO, b"", Status.OK),
    ],
)
def test_what_breaks_a_commands_rule_is_refused_and_changes_nothing(host, command, payload, status):
    host.stage()
    host.ask(Command.LEARN, learn())
    before = host.ask(Command.INFO).payload
    reply = host.ask(command, payload)
    assert reply.status == status
    if status != Status.OK:
        assert reply.payload == b""
        assert host.ask(Command.INFO).payload == before


def test_bytes_of_a_snapshot_come_in_any_order_until_the_head_changes(host):
    host.stage()
    host.ask(Command.LEARN, learn())
    size, crc = protocol.SNAPSHOT_OPEN_REPLY.unpack(host.ask(Command.SNAPSHOT_OPEN).payload)
    starts = list(range(0, size, 50))
    random.Random(4).shuffle(starts)
    pieces = {at: host.ask(Command.SNAPSHOT_READ, packed("IH", at, min(50, size - at))).payload for at in starts}
    whole = b"".join(pieces[at] for at in sorted(pieces))
    assert zlib.crc32(whole) == crc
    assert host.ask(Command.SNAPSHOT_READ, packed("IH", size - 1, 2)).status == Status.ARGUMENT
    assert host.ask(Command.SNAPSHOT_READ, packed("IH", 0, 257)).status == Status.ARGUMENT
    changes: list[Callable[[], Frame]] = [
        lambda: host.ask(Command.UNDO),
        lambda: host.ask(Command.CLEAR),
        lambda: host.ask(Command.SET_FALSE_ACCEPT, packed("I", 7000)),
        lambda: host.ask(Command.SET_BACKBONE, packed("HI", 0, 0)),
        lambda: host.ask(Command.LEARN, learn()),
        lambda: host.ask(Command.FORGET, b"\3mug"),
    ]
    for change in changes:
        assert host.ask(Command.SNAPSHOT_OPEN).status == Status.OK
        assert host.ask(Command.SNAPSHOT_READ, packed("IH", 0, 1)).payload == b"E"
        assert change().status == Status.OK
        assert host.ask(Command.SNAPSHOT_READ, packed("IH", 0, 1)).status == Status.STATE


def test_pieces_of_a_snapshot_may_overlap_and_never_leave_a_gap(host):
    host.stage()
    host.ask(Command.LEARN, learn())
    size, crc = protocol.SNAPSHOT_OPEN_REPLY.unpack(host.ask(Command.SNAPSHOT_OPEN).payload)
    at = range(0, size, 200)
    whole = b"".join(host.ask(Command.SNAPSHOT_READ, packed("IH", n, min(200, size - n))).payload for n in at)
    begin = packed("IIIIHHB", size, crc, 64, 8192, 0, 8, 1)

    def write(offset: int, count: int) -> int:
        reply = host.ask(Command.SNAPSHOT_WRITE, packed("I", offset) + whole[offset : offset + count])
        assert reply.status == Status.OK
        return int(protocol.SNAPSHOT_WRITE_REPLY.unpack(reply.payload)[0])

    assert host.ask(Command.SNAPSHOT_BEGIN, begin).payload == packed("I", 0)
    assert write(0, 100) == 100
    assert write(200, 50) == 100  # a gap: nothing is taken
    assert write(50, 100) == 150
    assert write(0, 150) == 150  # all known
    assert host.ask(Command.SNAPSHOT_COMMIT).status == Status.STATE
    assert host.ask(Command.SNAPSHOT_BEGIN, begin).payload == packed("I", 150)  # goes on
    assert host.ask(Command.SNAPSHOT_STATUS).payload == packed("III", size, crc, 150)
    for offset in range(150, size, 200):
        write(offset, 200)
    assert host.ask(Command.SNAPSHOT_WRITE, packed("I", size) + b"x").status == Status.ARGUMENT
    host.ask(Command.CLEAR)
    assert host.ask(Command.SNAPSHOT_COMMIT).status == Status.OK
    assert host.ask(Command.SNAPSHOT_STATUS).payload == bytes(12)
    assert host.shots() == 1


def test_a_snapshot_that_arrives_wrong_is_not_taken_and_begun_anew(host):
    wrong = bytes(200)
    begin = packed("IIIIHHB", len(wrong), zlib.crc32(wrong), 64, 8192, 0, 8, 1)
    assert host.ask(Command.SNAPSHOT_BEGIN, begin).status == Status.OK
    assert host.ask(Command.SNAPSHOT_WRITE, packed("I", 0) + wrong).status == Status.OK
    assert host.ask(Command.SNAPSHOT_COMMIT).status == Status.CORRUPT
    assert host.ask(Command.SNAPSHOT_BEGIN, begin).payload == packed("I", 0)
    assert host.ask(Command.LOAD).status == Status.STATE


def test_a_device_without_a_store_knows_no_store_commands():
    host = Host(sectors=0)
    host.ask(Command.HELLO, HELLO)
    begin = packed("IIIIHHB", 100, 0, 64, 8192, 0, 8, 1)
    commands = [(Command.SNAPSHOT_BEGIN, begin), (Command.SNAPSHOT_WRITE, bytes(5)), (Command.SNAPSHOT_STATUS, b"")]
    lacking = (Command.SNAPSHOT_COMMIT, Command.SAVE, Command.LOAD, Command.RESET, Command.RESOURCES)
    commands += [(each, b"") for each in lacking]
    for command, payload in commands:
        assert host.ask(command, payload).status == Status.COMMAND
    assert host.ask(Command.STATS).payload[:8] == bytes(8)


def test_operations_are_counted(host):
    host.stage()
    for command in (Command.LEARN, Command.LEARN):
        host.ask(command, learn())
    host.ask(Command.PREDICT, protocol.PREDICT_REQUEST.pack(CRC))
    reply = host.ask(Command.OPERATION, packed("B", protocol.Operation.LEARN))
    assert protocol.OPERATION_REPLY.unpack(reply.payload) == (2, 1, 1)
    reply = host.ask(Command.OPERATION, packed("B", protocol.Operation.PREDICT))
    assert protocol.OPERATION_REPLY.unpack(reply.payload) == (1, 1, 1)


def test_resources_are_those_of_the_program_and_what_measuring_takes(host):
    reply = host.ask(Command.RESOURCES)
    assert protocol.ResourcesReply(*protocol.RESOURCES_REPLY.unpack(reply.payload)) == (11, 22, 2048, 44, 0, 1)
    assert host.ask(Command.RESOURCES, b"x").status == Status.LENGTH


def test_reset_answers_first(host):
    assert host.ask(Command.RESET).status == Status.OK
    assert host.device.reboots == 1
    assert host.ask(Command.INFO).status == Status.SESSION


def test_the_buffer_is_as_large_as_the_header_says():
    assert CDevice(dim=64, max_payload=96).buffer_bytes == 128 + 2 * 104
    assert CDevice(dim=64, backbone_bytes=301, max_payload=256).buffer_bytes == 302 + 2 * 264
