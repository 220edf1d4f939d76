"""Bytes to and from a port: a socket, or whatever pyserial opens."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from typing import Protocol
from urllib.parse import urlsplit

import serial

from edge_imprint_firmware.errors import LinkError

__all__ = ["SerialPort", "SocketPort", "Transport", "open_port"]

_CHUNK = 4096


class Transport(Protocol):
    """What a link needs of a port. Every method may raise LinkError; none waits longer than it is told."""

    name: str

    def write(self, data: bytes, timeout_s: float) -> None:
        """Send all of `data`."""

    def read(self, timeout_s: float) -> bytes:
        """What has come, at least one byte; empty when nothing has within the time."""

    def close(self) -> None:
        """Give the port back. May be called again."""


def open_port(port: str, timeout_s: float, baud: int = 115200) -> Transport:
    """Open a port.

    Args:
        port: a device such as /dev/ttyACM0, socket://host:port, or any other URL of pyserial.
        timeout_s: seconds that connecting to a socket may take.
        baud: bits per second; a socket and USB ignore it.

    Raises:
        LinkError: there is no such port, it is in use, or nobody listens.
    """
    if port.startswith("socket://"):
        return SocketPort(port, timeout_s)
    return SerialPort(port, baud)


class SocketPort:
    """A TCP connection. pyserial's own would wait 5 s for it whatever the time limit, and for ever for a babbler."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.name = url
        try:
            parts = urlsplit(url)
            if not parts.hostname or parts.port is None:
                raise ValueError("a socket is socket://HOST:PORT")
            self._socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, ValueError) as error:
            raise _cannot_open(url, error) from error

    def write(self, data: bytes, timeout_s: float) -> None:
        """Send all of `data`."""
        try:
            self._socket.settimeout(timeout_s)
            self._socket.sendall(data)
        except OSError as error:
            raise _broke(self.name, error) from error

    def read(self, timeout_s: float) -> bytes:
        """What has come, at least one byte; empty when nothing has within the time."""
        try:
            if not select.select([self._socket], [], [], max(timeout_s, 0))[0]:
                return b""
            data = self._socket.recv(_CHUNK)
        except (OSError, ValueError) as error:
            raise _broke(self.name, error) from error
        if not data:
            raise _broke(self.name, "the other end closed it")
        return data

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


class SerialPort:
    """A serial port, or another URL that pyserial knows."""

    def __init__(self, port: str, baud: int) -> None:
        self.name = port
        try:
            # One user at a time: two hosts on one line would take each other's replies.
            options = {} if "://" in port else {"exclusive": True}
            self._serial = serial.serial_for_url(port, baudrate=baud, timeout=0, **options)
        except (OSError, ValueError) as error:
            raise _cannot_open(port, error) from error

    def write(self, data: bytes, timeout_s: float) -> None:
        """Send all of `data`."""
        try:
            self._serial.write_timeout = timeout_s
            self._serial.write(data)
        except (OSError, ValueError) as error:
            raise _broke(self.name, error) from error

    def read(self, timeout_s: float) -> bytes:
        """What has come, at least one byte; empty when nothing has within the time."""
        deadline = time.monotonic() + timeout_s
        try:
            self._serial.timeout = max(timeout_s, 0)
            first: bytes = self._serial.read(1)
            if not first or time.monotonic() >= deadline:
                return first
            self._serial.timeout = 0
            return first + bytes(self._serial.read(_CHUNK))
        except (OSError, ValueError, TypeError) as error:  # TypeError: closed by another thread meanwhile
            raise _broke(self.name, error) from error

    def close(self) -> None:
        """Give the port back."""
        with contextlib.suppress(OSError):
            self._serial.close()


def _cannot_open(port: str, error: Exception) -> LinkError:
    way_out = "Check the name, the cable, and who else uses it"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        way_out = "Its group may use it: sudo usermod -aG dialout $USER, then log in again (`ls -l` names the group)"
    return LinkError(f"cannot open the port {port}: {error}. {way_out}")


def _broke(port: str, what: object) -> LinkError:
    return LinkError(f"the port {port} broke: {what}. Check the cable and the device, then open it again")
