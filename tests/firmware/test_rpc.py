"""Sessions, sequence numbers and frames: the device's side of the protocol."""

from __future__ import annotations

import pytest
from raw_host import HELLO, Host, greeted, learn

from edge_imprint_firmware import protocol, protocol_generator
from edge_imprint_firmware.frames import Frame, encode
from edge_imprint_firmware.protocol import Command, Status

SPEC = protocol_generator.parse(protocol_generator.SOURCE.read_text())


@pytest.fixture
def host() -> Host:
    return greeted()


def test_hello_says_what_the_device_is():
    reply = Host(dim=64, max_payload=200).ask(Command.HELLO, HELLO)
    fields = protocol.HelloReply(*protocol.HELLO_REPLY.unpack_from(reply.payload))
    assert fields == (*protocol.PROTOCOL_VERSION, 77, 0b111111, 200, 64, protocol.CounterUnit.INSTRUCTIONS)
    assert reply.payload[protocol.HELLO_REPLY.size :] == b"in process"


def test_a_device_without_anything_around_it_says_so():
    fields = Host(sectors=0).ask(Command.HELLO, HELLO).payload
    assert protocol.HelloReply(*protocol.HELLO_REPLY.unpack_from(fields)).capabilities == 0


def test_another_major_version_is_refused_with_the_devices_own():
    host = Host()
    major, minor = protocol.PROTOCOL_VERSION
    reply = host.ask(Command.HELLO, protocol.HELLO_REQUEST.pack(major + 1, 0, 1))
    assert reply.status == Status.VERSION
    assert tuple(reply.payload[:2]) == (major, minor)
    assert host.ask(Command.INFO).status == Status.SESSION
    assert host.ask(Command.HELLO, protocol.HELLO_REQUEST.pack(major, minor + 9, 1)).status == Status.OK


@pytest.mark.parametrize("command", [command for command in Command if command != Command.HELLO])
def test_nothing_is_done_before_hello(command):
    fields = next(each.request for each in SPEC.commands if each.id == command)
    host = Host()
    assert host.ask(command, bytes(protocol_generator.size_of(fields))).status == Status.SESSION
    assert host.device.reboots == 0


@pytest.mark.parametrize("command", SPEC.commands, ids=lambda command: command.name)
def test_every_wrong_length_is_refused(host, command):
    size = protocol_generator.size_of(command.request)
    lengths = [*range(size), *([] if command.request_tail else [size + 1, size + 100])]
    for length in lengths:
        assert host.ask(command.id, bytes(length)).status == Status.LENGTH
    assert host.device.reboots == 0


@pytest.mark.parametrize("command", [0, len(Command) + 1, 100, 127])
def test_an_unknown_command_is_refused(host, command):
    reply = host.ask(command)
    assert (reply.status, reply.payload) == (Status.COMMAND, b"")


def test_a_repeated_request_is_answered_again_and_done_once(host):
    host.stage()
    first = host.ask(Command.LEARN, learn())
    assert first.status == Status.OK
    for _ in range(5):
        assert host.ask(Command.LEARN, learn(), sequence=host.sequence) == first
    assert host.shots() == 1
    assert host.ask(Command.LEARN, learn()).status == Status.OK
    assert host.shots() == 2


def test_what_a_repeat_gives_back_survives_noise_in_between(host):
    host.stage()
    first = host.ask(Command.LEARN, learn())
    assert host.raw(b"\0noise\0") == [Frame(protocol.FRAME_DAMAGED, 0, Status.CORRUPT, b"")]
    assert host.ask(Command.INFO, sequence=host.sequence - 1).status == Status.STATE
    assert host.ask(Command.LEARN, learn(), sequence=host.sequence + 1) == first


def test_a_refusal_is_repeated_too(host):
    first = host.ask(Command.FORGET, b"\3mug")
    assert first.status == Status.UNKNOWN_LABEL
    host.raw(encode(Frame(Command.FORGET, host.sequence, 0, b"\3mug")))
    assert host.ask(Command.FORGET, b"\3mug", sequence=host.sequence) == first


def test_the_same_number_for_another_request_is_refused(host):
    host.stage()
    host.ask(Command.LEARN, learn())
    assert host.ask(Command.LEARN, learn(b"\5plate"), sequence=host.sequence).status == Status.STATE
    assert host.shots() == 1


@pytest.mark.parametrize("late", [1, 2, 100, 0x8000])
def test_a_request_from_the_past_is_refused(host, late):
    host.stage()
    now = host.sequence
    assert host.ask(Command.LEARN, learn(), sequence=(now - late) & 0xFFFF).status == Status.STATE
    assert host.ask(Command.LEARN, learn(), sequence=(now + 0x7FFF) & 0xFFFF).status == Status.OK
    assert host.shots() == 1


def test_sequence_numbers_go_round(host):
    host.ask(Command.HELLO, HELLO, sequence=0xFFFD)
    for number in (0xFFFE, 0xFFFF, 0, 1):
        assert host.ask(Command.INFO, sequence=number).status == Status.OK


def test_a_new_session_is_not_taken_for_the_old_one(host):
    host.stage()
    first = host.ask(Command.LEARN, learn())
    again = Command.HELLO, protocol.HELLO_REQUEST.pack(*protocol.PROTOCOL_VERSION, 78)
    assert host.ask(*again, sequence=first.sequence - 1).status == Status.OK
    assert host.ask(Command.LEARN, learn(), sequence=first.sequence).payload != b""
    assert host.shots() == 2


def test_after_a_restart_the_device_waits_for_hello(host):
    host.device.power_cycle()
    assert host.ask(Command.INFO).status == Status.SESSION
    assert host.ask(Command.HELLO, HELLO).status == Status.OK
    assert host.ask(Command.INFO).status == Status.OK


def test_replies_are_not_answered(host):
    for command in (*Command, 0, 127):
        assert host.raw(encode(Frame(command | 128, 5, 0, b"\1\2\3"))) == []
