"""Real ports: a device behind a socket and a pseudo-terminal, and everything there that is not a device."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import serial
from device_in_process import CDevice

from edge_imprint import ImprintHead
from edge_imprint.errors import ValueRangeError
from edge_imprint_firmware import Device
from edge_imprint_firmware.errors import DeviceError, LinkError, LinkTimeoutError, ProtocolVersionError
from edge_imprint_firmware.frames import Frame, FrameParser, encode
from edge_imprint_firmware.protocol import HELLO_REPLY, Command, Status
from edge_imprint_firmware.snapshots import blob_of

TIMEOUT_S = 0.4
# Beyond the timeout: one busy machine's scheduling.
GRACE_S = 2.0

Peer = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(peer: Peer) -> Iterator[str]:
    """A port on this machine on which `peer` serves one connection."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection:
                peer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)
        assert not thread.is_alive()


def a_device(connection: socket.socket) -> None:
    device = CDevice()
    while data := connection.recv(4096):
        device.receive(data)
        connection.sendall(device.take())


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def closing(connection: socket.socket) -> None:
    connection.recv(1)


def babbling(connection: socket.socket) -> None:
    """As fast as the line takes it."""
    numbers = np.random.default_rng(0)
    while True:
        connection.sendall(numbers.bytes(4096))


def echoing(connection: socket.socket) -> None:
    while data := connection.recv(4096):
        connection.sendall(data)


def talking(connection: socket.socket) -> None:
    """A console that prints lines of text."""
    while True:
        connection.sendall(b"[  1.0] usb: new device found\r\n")
        time.sleep(0.01)


def deaf(connection: socket.socket) -> None:
    """Takes nothing: what is written stays in the way."""
    time.sleep(TIMEOUT_S + 1)


def of_the_next_century(connection: socket.socket) -> None:
    parser = FrameParser()
    while data := connection.recv(4096):
        for frame in parser.feed(data):
            assert frame is not None
            payload = bytes([9, 3]) + b"what nobody here can read"
            connection.sendall(encode(Frame(frame.command | 128, frame.sequence, Status.VERSION, payload)))


def confused(connection: socket.socket) -> None:
    """Says hello to somebody else."""
    parser = FrameParser()
    while data := connection.recv(4096):
        for frame in parser.feed(data):
            assert frame is not None
            payload = HELLO_REPLY.pack(1, 0, 12345, 0, 256, 64, 0)
            connection.sendall(encode(Frame(Command.HELLO | 128, frame.sequence, 0, payload)))


def refused_in_time(port: str, error: type[Exception], words: str, timeout_s: float = TIMEOUT_S) -> None:
    begun = time.monotonic()
    with pytest.raises(error, match=words) as caught:
        Device.open(port, timeout_s=timeout_s)
    assert time.monotonic() - begun < timeout_s + GRACE_S
    assert port in str(caught.value)


@pytest.mark.parametrize(
    ("peer", "error", "words"),
    [
        (silent, LinkTimeoutError, r"must answer within 0\.4 s; asked to say hello, nothing came"),
        (closing, LinkError, "broke"),
        (babbling, LinkTimeoutError, r"\d+ bytes came, none of them an answer"),
        (echoing, LinkTimeoutError, r"\d+ bytes came, none of them an answer"),
        (talking, LinkTimeoutError, r"\d+ bytes came, none of them an answer"),
        (deaf, LinkTimeoutError, "nothing came"),
        (of_the_next_century, ProtocolVersionError, r"speaks 9\.3, this host 1\.1"),
        (confused, DeviceError, "that this host cannot read"),
    ],
)
def test_what_is_no_device_is_an_error_in_time_that_names_the_port(peer, error, words):
    with listening(peer) as port:
        refused_in_time(port, error, words)


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
    refused_in_time(port, LinkError, "cannot open the port")


@pytest.mark.parametrize("port", ["socket://127.0.0.1", "socket://", "socket://127.0.0.1:99999", "nonsense://x", ""])
def test_an_impossible_name(port):
    refused_in_time(port, LinkError, "cannot open the port")


def test_a_file_that_is_no_port(tmp_path):
    (tmp_path / "file").write_text("not a port")
    refused_in_time(str(tmp_path / "file"), LinkError, "cannot open the port")
    refused_in_time(str(tmp_path / "missing"), LinkError, "cannot open the port")


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_timeout_is_above_zero(timeout_s):
    with pytest.raises(ValueRangeError, match="above 0"):
        Device.open("socket://127.0.0.1:1", timeout_s=timeout_s)


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 64)).astype(np.float32)


def test_a_device_behind_a_socket(tmp_path):
    head = ImprintHead(64, 8192, max_proxies=8).partial_fit(rows(30), "mug")
    with listening(a_device) as port, Device.open(port) as device:
        device.partial_fit(rows(30), "mug")
        device.save(tmp_path / "a.eimp")
    assert (tmp_path / "a.eimp").read_bytes() == blob_of(head)
    with pytest.raises(LinkError, match="broke"):
        device.undo()


def test_a_device_that_goes_away(tmp_path):
    def dying(connection: socket.socket) -> None:
        device = CDevice()
        for _ in range(20):
            device.receive(connection.recv(4096))
            connection.sendall(device.take())

    with listening(dying) as port:
        device = Device.open(port, timeout_s=TIMEOUT_S)
        with pytest.raises(LinkError, match=r"broke.*shots, \d+ were learnt before") as caught:
            device.partial_fit(rows(30), "mug")
        assert port in str(caught.value)
        device.close()


@contextlib.contextmanager
def terminal(device: CDevice | None) -> Iterator[tuple[str, Callable[[], None]]]:
    """A pseudo-terminal with a device at its other end, or nothing; and how to unplug it."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    name = os.ttyname(theirs)
    unplugged = threading.Event()

    def serve() -> None:
        while not unplugged.is_set():
            try:
                data = os.read(ours, 4096)
            except OSError:
                return
            if device and not unplugged.is_set():
                device.receive(data)
                os.write(ours, device.take())

    def unplug() -> None:
        if not unplugged.is_set():
            unplugged.set()
            os.write(theirs, b"x")  # wakes the thread
            thread.join(10)
            os.close(ours)
            os.close(theirs)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield name, unplug
    finally:
        unplug()


def test_a_device_at_a_serial_port():
    head = ImprintHead(64, 8192, max_proxies=8).partial_fit(rows(20), "mug")
    with terminal(CDevice()) as (port, _), Device.open(port) as device:
        device.partial_fit(rows(20), "mug")
        assert blob_of(device.to_head()) == blob_of(head)
        # Two hosts would take each other's replies.
        with pytest.raises(LinkError, match="cannot open the port"):
            Device.open(port)


def test_a_serial_port_that_is_silent():
    with terminal(None) as (port, _):
        refused_in_time(port, LinkTimeoutError, "nothing came")


# Everything is imported before the rights go: the interpreter's own folder may be root's.
OPEN_AS_NOBODY = """
import os, sys
import serial
from edge_imprint_firmware import Device, link, session, transport
if os.getuid() == 0:  # root may use every port
    os.setuid(65534)
Device.open(sys.argv[1])
"""


def test_a_port_that_one_may_not_use_names_the_group():
    with terminal(None) as (port, _):
        Path(port).chmod(0)
        command = [sys.executable, "-c", OPEN_AS_NOBODY, port]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr
    assert f"cannot open the port {port}" in said
    assert "usermod -aG dialout" in said


def test_an_unplugged_cable_is_an_error_in_time():
    with terminal(CDevice()) as (port, unplug):
        device = Device.open(port, timeout_s=TIMEOUT_S)
        device.partial_fit(rows(2), "mug")
        unplug()
        begun = time.monotonic()
        with pytest.raises(LinkError, match="broke") as caught:
            device.predict(rows(1))
        assert time.monotonic() - begun < TIMEOUT_S + GRACE_S
        assert port in str(caught.value)
        device.close()
        device.close()


def test_any_url_of_pyserial():
    # A loop gives back what was sent: it is no device.
    assert serial.serial_for_url("loop://", timeout=0).read(1) == b""
    refused_in_time("loop://", LinkTimeoutError, "none of them an answer")
