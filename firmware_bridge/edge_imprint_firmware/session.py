"""A device on its port: opened, described, stored, restarted."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edge_imprint.errors import ValueRangeError
from edge_imprint.head import Label, Thresholds
from edge_imprint.head.options import false_accept_ppm
from edge_imprint_firmware import protocol
from edge_imprint_firmware.commands import read_backbone, write_backbone
from edge_imprint_firmware.errors import DeviceRestartedError
from edge_imprint_firmware.link import Link
from edge_imprint_firmware.protocol import Command
from edge_imprint_firmware.reports import (
    DeviceInfo,
    DeviceResources,
    DeviceStats,
    read_info,
    read_resources,
    read_stats,
)
from edge_imprint_firmware.transport import open_port

if TYPE_CHECKING:
    from typing_extensions import Self


class DeviceSession:
    """What `Device` can do without teaching or asking."""

    def __init__(self, link: Link, emulator: Any = None) -> None:
        self._link = link
        self._emulator = emulator
        self._known_labels: list[Label] | None = None
        self._staged: int | None = None

    @classmethod
    def open(cls, port: str, *, timeout_s: float = 10.0, baud: int = 115200) -> Self:
        """Say hello to a device.

        Args:
            port: such as /dev/ttyACM0, or any URL of pyserial, such as socket://localhost:5555.
            timeout_s: seconds without any answer after which the device is given up, here and in every call.
            baud: bits per second of a real serial line.

        Raises:
            LinkError: no such port, or it is in use.
            LinkTimeoutError: nothing there answers as a device does.
            ProtocolVersionError: device and host are of different versions.
        """
        if not timeout_s > 0:
            raise ValueRangeError(f"timeout_s must be above 0; got {timeout_s}")
        transport = open_port(port, timeout_s, baud)
        try:
            return cls(Link(transport, timeout_s))
        except BaseException:
            transport.close()
            raise

    @classmethod
    def emulate(
        cls,
        board: str = "mps2-an386",
        dim: int = 64,
        budget: int | str = "16KB",
        *,
        timeout_s: float = 30.0,
        **options: Any,
    ) -> Self:
        """Build the firmware for a board, start it in the emulator and say hello.

        Args:
            board: one of the boards that `edge-imprint firmware generate` knows.
            dim: length of an embedding.
            budget: bytes that the head may use.
            timeout_s: as in `open`; an emulator beside a busy process is slow.
            options: of `edge_imprint_firmware.emulator.start`.

        Raises:
            EdgeImprintError: no compiler, no emulator, or no such board; the message names what to install.
        """
        from edge_imprint_firmware import emulator

        machine = emulator.start(board, dim, budget, **options)
        try:
            transport = open_port(machine.url, timeout_s)
            try:
                return cls(Link(transport, timeout_s), machine)
            except BaseException:
                transport.close()
                raise
        except BaseException:
            machine.close()
            raise

    def close(self) -> None:
        """Give the port back, and stop the emulator when there is one. What is not stored is lost with its power."""
        self._link.close()
        if self._emulator is not None:
            self._emulator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._link.device.dim

    @property
    def budget(self) -> int:
        """Bytes that the head may use."""
        return self.info().budget

    @property
    def nbytes(self) -> int:
        """Bytes of the budget in use now."""
        return self.info().used_bytes

    @property
    def max_proxies(self) -> int:
        """Proxies that one class may have, its mean included."""
        return self.info().max_proxies

    @property
    def shrinkage(self) -> int:
        """How many shots the class mean weighs at most in each proxy."""
        return self.info().shrinkage

    @property
    def false_accept_rate(self) -> float:
        """Share of pictures of never-shown things that may pass as known. May be set at any time."""
        return self.info().false_accept_rate

    @false_accept_rate.setter
    def false_accept_rate(self, value: float) -> None:
        payload = protocol.SET_FALSE_ACCEPT_REQUEST.pack(false_accept_ppm(value))
        self._link.request(Command.SET_FALSE_ACCEPT, payload)

    def thresholds(self) -> Thresholds | None:
        """Cosines from which a prediction is known and below which unknown; None before two classes are taught."""
        info = self.info()
        return None if info.known is None or info.unknown is None else Thresholds(info.known, info.unknown)

    @property
    def backbone(self) -> str | None:
        """What makes the embeddings, kept in snapshots. May be set, None removes it."""
        return read_backbone(self._link)

    @backbone.setter
    def backbone(self, name: str | None) -> None:
        self._staged = None
        write_backbone(self._link, name)

    def persist(self) -> None:
        """Save the head into the device's flash: from there it comes back after a power cut."""
        self._link.request(Command.SAVE, action="save into its flash")

    def restore(self) -> None:
        """Load the head from the device's flash."""
        self._known_labels = None
        self._link.request(Command.LOAD, action="load from its flash")

    def reset(self) -> None:
        """Restart the device: it begins with what is in its flash."""
        self._known_labels = self._staged = None
        with contextlib.suppress(DeviceRestartedError):  # the first reply was lost, and it is done
            self._link.request(Command.RESET)
        self._link.hello()

    def info(self) -> DeviceInfo:
        """What the device is and what its head holds."""
        return read_info(self._link)

    def stats(self) -> DeviceStats:
        """What running has cost: stack, counts per operation, damaged frames."""
        return read_stats(self._link)

    def resources(self) -> DeviceResources | None:
        """What the program takes of the board; None where the device cannot say, as all before protocol 1.1."""
        return read_resources(self._link)
