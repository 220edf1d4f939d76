"""The C device, compiled for this machine and driven in this process over a line that can be faulty."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Sequence
from pathlib import Path

import cbuild
import numpy as np

from edge_imprint import ImprintHead
from edge_imprint.errors import EdgeImprintError
from edge_imprint_firmware.device import Device
from edge_imprint_firmware.link import Link

HARNESS = Path(__file__).resolve().parents[1] / "firmware" / "c" / "device_in_process.c"


def sources() -> list[Path]:
    """Every C source of the library, and the device around it."""
    return [*sorted(cbuild.SRC.glob("eimp_*.c")), HARNESS]


def library() -> ctypes.CDLL:
    lib = cbuild.shared_library("device", *sources())
    lib.device_new.restype = ctypes.c_void_p
    lib.device_new.argtypes = (
        [ctypes.c_uint32] * 2
        + [ctypes.c_uint16, ctypes.c_uint8]
        + [ctypes.c_uint16] * 2
        + [ctypes.c_uint32, ctypes.c_uint8]
    )
    for name in ("device_free", "device_power_cycle"):
        getattr(lib, name).argtypes = [ctypes.c_void_p]
        getattr(lib, name).restype = None
    lib.device_receive.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    lib.device_receive.restype = None
    lib.device_take.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    lib.device_take.restype = ctypes.c_size_t
    lib.device_break_flash.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.device_break_flash.restype = None
    lib.device_reboots.argtypes = [ctypes.c_void_p]
    lib.device_buffer_bytes.argtypes = [ctypes.c_void_p]
    lib.device_buffer_bytes.restype = ctypes.c_size_t
    return lib


class CDevice:
    """The device. `receive` gives it bytes, `take` gives back what it sent."""

    def __init__(
        self,
        dim: int = 64,
        budget: int = 8192,
        *,
        max_proxies: int = 8,
        undo: int = 2,
        backbone_bytes: int = 0,
        max_payload: int = 256,
        sectors: int = 4,
        ridge: bool = False,
    ) -> None:
        self._lib = library()
        self._device = self._lib.device_new(
            dim, budget, max_proxies, undo, backbone_bytes, max_payload, sectors, int(ridge)
        )
        assert self._device, "no head can have that config"
        self._out = ctypes.create_string_buffer(1 << 16)

    def receive(self, data: bytes) -> None:
        self._lib.device_receive(self._device, data, len(data))

    def take(self) -> bytes:
        taken = bytearray()
        while count := self._lib.device_take(self._device, self._out, len(self._out)):
            taken += self._out.raw[:count]
        return bytes(taken)

    def power_cycle(self) -> None:
        self._lib.device_power_cycle(self._device)

    def break_flash(self, broken: bool) -> None:
        self._lib.device_break_flash(self._device, int(broken))

    @property
    def reboots(self) -> int:
        return int(self._lib.device_reboots(self._device))

    @property
    def buffer_bytes(self) -> int:
        return int(self._lib.device_buffer_bytes(self._device))

    def free(self) -> None:
        self._lib.device_free(self._device)


class Line:
    """A transport to a `CDevice` on which each byte is lost, doubled or flipped with the probability `faults`.

    Time is counted, not waited for: a read with nothing to read lets its time pass at once.
    """

    def __init__(
        self, device: CDevice, faults: float = 0.0, seed: int = 0, kinds: Sequence[str] = ("lost", "doubled", "flipped")
    ) -> None:
        self.name = "in-process"
        self._kinds = kinds
        self.device = device
        self.faults = faults
        self.now_s = 0.0
        self.damaged_bytes = 0
        self.bytes = 0
        self._random = random.Random(seed)
        self._closed = False

    def clock(self) -> float:
        return self.now_s

    def write(self, data: bytes, timeout_s: float) -> None:
        assert not self._closed
        self.device.receive(self._through(data))

    def read(self, timeout_s: float) -> bytes:
        assert not self._closed
        came = self._through(self.device.take())
        self.now_s += 0.0001 * len(came) if came else timeout_s
        return came

    def close(self) -> None:
        self._closed = True

    def _through(self, data: bytes) -> bytes:
        self.bytes += len(data)
        if not self.faults:
            return data
        out = bytearray()
        for byte in data:
            if self._random.random() >= self.faults:
                out.append(byte)
                continue
            self.damaged_bytes += 1
            what = self._random.choice(self._kinds)
            if what == "doubled":
                out += bytes([byte, byte])
            elif what == "flipped":
                out.append(byte ^ (1 << self._random.randrange(8)))
        return bytes(out)


def connect(faults: float = 0.0, seed: int = 0, timeout_s: float = 10.0, **options: int) -> tuple[Device, Line]:
    """A new device and a session with it."""
    line = Line(CDevice(**options), faults, seed)
    return Device(Link(line, timeout_s, line.clock)), line


def teach(head: ImprintHead | Device, seed: int, commands: int) -> list[object]:
    """A course of random commands; what each gave, errors included."""
    numbers = random.Random(seed)
    rows = np.random.default_rng(seed)
    given: list[object] = []
    for _ in range(commands):
        x = rows.normal(size=(1, head.dim)).astype(np.float32)
        label, what = f"class {numbers.randrange(12)}", numbers.random()
        try:
            if what < 0.6:
                head.partial_fit(x, label)
            elif what < 0.75:
                given.append(head.predict(x).tolist())
            elif what < 0.8:
                given.append(head.verdicts(x).tolist())
            elif what < 0.88:
                head.undo()
            elif what < 0.96:
                head.forget(label)
            else:
                head.false_accept_rate = round(0.01 + 0.4 * numbers.random(), 3)
        except EdgeImprintError as error:
            given.append(type(error))
    return given
