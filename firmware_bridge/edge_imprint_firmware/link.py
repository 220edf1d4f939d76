"""Requests and replies over a line that loses, doubles and flips bytes: each is done once, or an error says not."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_imprint_firmware import protocol
from edge_imprint_firmware.errors import DeviceError, LinkTimeoutError, ProtocolVersionError, refusal
from edge_imprint_firmware.frames import Frame, FrameParser, encode
from edge_imprint_firmware.protocol import Command, HelloReply, Status
from edge_imprint_firmware.transport import Transport

__all__ = ["Link", "LinkCounts"]

LEAST_PIECE = 16
FIRST_WAIT_S = 0.5
LEAST_WAIT_S = 0.05
MOST_WAIT_S = 2.0
AFTER_DAMAGE_S = 0.002


@dataclass
class LinkCounts:
    """What it took so far: requests done, frames sent again, frames that came damaged."""

    requests: int = 0
    retries: int = 0
    damaged: int = 0


class Link:
    """One session with a device.

    Args:
        transport: an open port. Closed by `close`.
        timeout_s: seconds after which a device that has not answered is given up.
        clock: seconds, from any start.

    Raises:
        LinkError: the port broke, or nothing answered in time.
        ProtocolVersionError: the device speaks another version.
    """

    def __init__(self, transport: Transport, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.port = transport.name
        self.timeout_s = timeout_s
        self.counts = LinkCounts()
        self._transport = transport
        self._clock = clock
        self._parser = FrameParser()
        self._received = 0
        self._sequence = secrets.randbelow(1 << 16)
        self._smooth_s: float | None = None
        self._spread_s = 0.0
        self._slow_down = 1.0
        self.hello()

    def hello(self) -> None:
        """Begin a session; needed again after the device was restarted."""
        self.limit = protocol.FRAME_MIN_PAYLOAD
        self._piece = self.limit
        session = secrets.randbits(32)
        ours = protocol.PROTOCOL_VERSION
        reply = self._ask(Command.HELLO, protocol.HELLO_REQUEST.pack(*ours, session), "say hello")
        if reply.status not in (Status.OK, Status.VERSION):
            raise refusal(reply.status, self.port, "say hello")
        if len(reply.payload) < 2:
            raise self._nonsense(Command.HELLO, reply.payload)
        major, minor = reply.payload[:2]
        if reply.status == Status.VERSION or major != ours[0]:
            raise ProtocolVersionError(
                f"host and device must speak one major version of the protocol; {self.port} speaks {major}.{minor}, "
                f"this host {ours[0]}.{ours[1]}. Update the older one"
            )
        payload = self._checked(Command.HELLO, reply, protocol.HELLO_REPLY.size, "say hello")
        self.device = HelloReply(*protocol.HELLO_REPLY.unpack_from(payload))
        self.name = payload[protocol.HELLO_REPLY.size :].decode(errors="replace")
        if self.device.session != session or not 0 < self.device.dim <= protocol.MAX_DIM:
            raise self._nonsense(Command.HELLO, payload)
        self.limit = max(self.device.max_payload, protocol.FRAME_MIN_PAYLOAD)
        self._piece = self.limit

    def close(self) -> None:
        """Give the port back."""
        self._transport.close()

    def request(self, command: Command, payload: bytes = b"", *, reply_bytes: int = 0, action: str = "") -> bytes:
        """Have one command done, exactly once however often its frames are lost.

        Args:
            command: which.
            payload: its payload, as docs/PROTOCOL.md says.
            reply_bytes: a reply has at least so many bytes.
            action: what is asked, in words, for the error.

        Returns:
            The reply's payload.

        Raises:
            LinkError: the port broke or the device was silent; whether the command was done is then not known.
            EdgeImprintError: what the device's status stands for; it has changed nothing.
        """
        what = action or command.name.lower().replace("_", " ")
        reply = self._ask(command, payload, what)
        return self._checked(command, reply, reply_bytes, what)

    def piece(
        self,
        command: Command,
        offset: int,
        want: int,
        request: Callable[[int, int], bytes],
        *,
        overhead: int,
        reply_bytes: int = 0,
        action: str = "",
    ) -> tuple[int, bytes]:
        """Move one piece of something long. A piece that is lost is tried again smaller, and after one that arrives the
        next is larger: with 1 % of bytes damaged whole frames hardly ever arrive, short ones mostly do.

        Args:
            command: must do no harm when it is done twice.
            offset: where the piece begins.
            want: bytes that are left, at least 1.
            request: payload of the request for (offset, size).
            overhead: bytes of a payload beside the piece.
            reply_bytes: a reply has at least so many bytes.
            action: what is asked, in words, for the error.

        Returns:
            The size that was moved, 1 to `want`, and the reply's payload.

        Raises:
            LinkError, EdgeImprintError: as `request`.
        """
        what = action or command.name.lower().replace("_", " ")
        end, attempt = self._clock() + self.timeout_s, 0
        while True:
            size = min(self._piece, self.limit - overhead, want)
            reply = self._attempt(self._next(command, request(offset, size)), attempt, end)
            if reply is not None:
                self.counts.requests += 1
                self._piece = min(self._piece * 2, self.limit)
                return size, self._checked(command, reply, reply_bytes, what)
            if self._clock() >= end:
                raise self._late(what)
            attempt += 1
            self.counts.retries += 1
            self._piece = max(size // 2, LEAST_PIECE)

    def _next(self, command: Command, payload: bytes) -> Frame:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return Frame(command, self._sequence, 0, payload)

    def _ask(self, command: Command, payload: bytes, action: str) -> Frame:
        frame = self._next(command, payload)
        end, attempt = self._clock() + self.timeout_s, 0
        while (reply := self._attempt(frame, attempt, end)) is None:
            if self._clock() >= end:
                raise self._late(action)
            attempt += 1
            self.counts.retries += 1
        self.counts.requests += 1
        return reply

    def _attempt(self, frame: Frame, attempt: int, end: float) -> Frame | None:
        """Send a request once and wait for its reply, less long after something damaged has come."""
        sent, damaged = self._clock(), False
        deadline = min(sent + self._wait_s(), end)
        self._transport.write(encode(frame), max(end - sent, LEAST_WAIT_S))
        while (left := deadline - self._clock()) > 0:
            data = self._transport.read(left)
            self._received += len(data)
            for came in self._parser.feed(data):
                if came is None or came.command == protocol.FRAME_DAMAGED:
                    # The reply may still come, but most likely this was it. Babble must not make us babble as well.
                    self.counts.damaged += 1
                    damaged = True
                    pause = AFTER_DAMAGE_S * 2 ** min(attempt, 9)
                    deadline = min(deadline, self._clock() + pause)
                elif (came.command, came.sequence) == (frame.command | protocol.FRAME_REPLY_BIT, frame.sequence):
                    if attempt == 0:
                        self._measured(self._clock() - sent)
                    return came
        if not damaged:
            self._slow_down = min(self._slow_down * 1.5, 8.0)
        return None

    def _measured(self, round_trip_s: float) -> None:
        """Learn how long an answer takes, as TCP does (RFC 6298)."""
        self._slow_down = 1.0
        if self._smooth_s is None:
            self._smooth_s, self._spread_s = round_trip_s, round_trip_s / 2
        else:
            self._spread_s += (abs(self._smooth_s - round_trip_s) - self._spread_s) / 4
            self._smooth_s += (round_trip_s - self._smooth_s) / 8

    def _wait_s(self) -> float:
        known = FIRST_WAIT_S if self._smooth_s is None else self._smooth_s + 4 * self._spread_s
        return min(max(known, LEAST_WAIT_S) * self._slow_down, MOST_WAIT_S)

    def _checked(self, command: Command, reply: Frame, reply_bytes: int, action: str) -> bytes:
        if reply.status != Status.OK:
            raise refusal(reply.status, self.port, action)
        if len(reply.payload) < reply_bytes:
            raise self._nonsense(command, reply.payload)
        return reply.payload

    def _nonsense(self, command: Command, payload: bytes) -> DeviceError:
        return DeviceError(
            f"{self.port} answered {command.name.lower()} with {len(payload)} bytes that this host cannot read. "
            "Update the device or edge-imprint"
        )

    def _late(self, action: str) -> LinkTimeoutError:
        came = f"{self._received} bytes came, none of them an answer" if self._received else "nothing came"
        return LinkTimeoutError(
            f"the device at {self.port} must answer within {self.timeout_s:g} s; asked to {action}, {came}. "
            "Check that it is this port, the cable, the power and the baud rate"
        )
