"""The boards that a generated project knows: processor, memory map, serial line, and how qemu calls them."""

from __future__ import annotations

from dataclasses import dataclass

from edge_imprint.errors import EdgeImprintError, UsageError
from edge_imprint.head import parse_budget

KB, MB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Core:
    """A processor and the options that make a compiler build for it.

    Attributes:
        name: for people, such as "Cortex-M4".
        gcc: options of arm-none-eabi-gcc.
        zig: options of `zig cc`.
    """

    name: str
    gcc: str
    zig: str


def _core(name: str, cpu: str, gcc: str = "", zig: str = "", *, hard: bool = False) -> Core:
    """Proxies need no FPU, so floats are left to software; Helium's registers are those of the FPU."""
    floats = "hard" if hard else "soft"
    abi = "eabihf" if hard else "eabi"
    return Core(
        name,
        f"-mcpu={cpu}{gcc} -mthumb -mfloat-abi={floats}",
        f"-target thumb-freestanding-{abi} -mcpu={cpu.replace('-', '_')}{zig} -mfloat-abi={floats}",
    )


CORES = {
    "cortex-m0": _core("Cortex-M0", "cortex-m0"),
    "cortex-m0plus": _core("Cortex-M0+", "cortex-m0plus"),
    "cortex-m3": _core("Cortex-M3", "cortex-m3"),
    "cortex-m4": _core("Cortex-M4", "cortex-m4"),
    "cortex-m4f": _core("Cortex-M4F", "cortex-m4", " -mfpu=fpv4-sp-d16", hard=True),
    "cortex-m7": _core("Cortex-M7", "cortex-m7"),
    "cortex-m7f": _core("Cortex-M7F", "cortex-m7", " -mfpu=fpv5-sp-d16", hard=True),
    "cortex-m23": _core("Cortex-M23", "cortex-m23"),
    "cortex-m33": _core("Cortex-M33 with DSP", "cortex-m33", "", "+dsp"),
    "cortex-m33-nodsp": _core("Cortex-M33 without DSP", "cortex-m33", "+nodsp", "-dsp"),
    "cortex-m55": _core("Cortex-M55 with Helium", "cortex-m55", "", "+mve+mve_fp", hard=True),
}


@dataclass(frozen=True)
class Board:
    """A board that start-up code, linker script and port exist for.

    Attributes:
        name: as in `--board`.
        core: the processor.
        machine: what qemu-system-arm calls it; empty for a board that it does not know.
        rom: start address and bytes of what programs lie in.
        ram: start address and bytes of the RAM used.
        port: the source file in `boards/` that drives its serial line.
        uart_base: address of the serial line's registers; None where the port has them itself.
        uart_irq: interrupt number of its receiver; None likewise.
        clock_hz: what SysTick counts.
        sector_bytes: what an erase of its flash clears.
        program_bytes: the smallest unit that its flash can write.
        flash_on_chip: whether the store has flash there when the emulator names no file.
        float_core: the processor with its registers for floating point, where it has some that proxies do not use.
    """

    name: str
    core: Core
    machine: str
    rom: tuple[int, int]
    ram: tuple[int, int]
    port: str
    uart_base: int | None
    uart_irq: int | None
    clock_hz: int
    sector_bytes: int = 4096
    program_bytes: int = 8
    flash_on_chip: bool = False
    float_core: Core | None = None


def _mps(
    name: str,
    core: str,
    rom: tuple[int, int],
    ram: tuple[int, int],
    uart: int,
    irq: int,
    clock_hz: int,
    float_core: str | None = None,
) -> Board:
    """One of Arm's FPGA boards; they share the CMSDK serial line."""
    floats = None if float_core is None else CORES[float_core]
    return Board(name, CORES[core], name, rom, ram, "port_cmsdk.c", uart, irq, clock_hz, float_core=floats)


# Memory for programs and for data, as qemu has it.
_MPS2 = ((0x0, 4 * MB), (0x2000_0000, 4 * MB))
_MPS2_M33 = ((0x1000_0000, 4 * MB), (0x3800_0000, 2 * MB))
_AN524 = ((0x1000_0000, 512 * KB), (0x3000_0000, 128 * KB))
_AN547 = ((0x0, 512 * KB), (0x3100_0000, 2 * MB))
_BOARDS = (
    _mps("mps2-an385", "cortex-m3", *_MPS2, 0x4000_4000, 0, 25_000_000),
    _mps("mps2-an386", "cortex-m4", *_MPS2, 0x4000_4000, 0, 25_000_000, "cortex-m4f"),
    _mps("mps2-an500", "cortex-m7", *_MPS2, 0x4000_4000, 0, 25_000_000, "cortex-m7f"),
    _mps("mps2-an505", "cortex-m33", *_MPS2_M33, 0x5020_0000, 32, 20_000_000),
    _mps("mps2-an521", "cortex-m33-nodsp", *_MPS2_M33, 0x5020_0000, 32, 20_000_000),
    _mps("mps3-an524", "cortex-m33-nodsp", *_AN524, 0x5130_3000, 32, 32_000_000),
    _mps("mps3-an547", "cortex-m55", *_AN547, 0x5930_3000, 33, 32_000_000),
    Board(
        name="microbit",
        core=CORES["cortex-m0"],
        machine="microbit",
        rom=(0x0, 256 * KB),
        ram=(0x2000_0000, 16 * KB),
        port="port_nrf51.c",
        uart_base=0x4000_2000,
        uart_irq=2,
        clock_hz=16_000_000,
        sector_bytes=1024,
        program_bytes=4,
        flash_on_chip=True,
    ),
)
BOARDS = {board.name: board for board in _BOARDS}


def find(name: str) -> Board:
    """The board of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in BOARDS:
        raise UsageError(f"--board must be one of {', '.join(BOARDS)}, or custom for your own; got {name}")
    return BOARDS[name]


def custom(core: str | None, rom: str | None, ram: str | None, clock_hz: int | None) -> Board:
    """A board of the user's own: everything but the port is generated.

    Args:
        core: one of `CORES`.
        rom: start and size of the flash that programs lie in, such as "0x08000000:512KB".
        ram: likewise.
        clock_hz: what drives SysTick, which is the processor's clock.

    Raises:
        UsageError: one is missing or cannot be read.

    >>> custom("cortex-m4", "0x08000000:512KB", "0x20000000:128KB", 16_000_000).ram
    (536870912, 131072)
    """
    missing = [
        name
        for name, value in (("--core", core), ("--rom", rom), ("--ram", ram), ("--clock-hz", clock_hz))
        if value is None
    ]
    if core is None or rom is None or ram is None or clock_hz is None:
        raise UsageError(f"--board custom needs {', '.join(missing)} as well, such as --rom 0x08000000:512KB")
    if core not in CORES:
        raise UsageError(f"--core must be one of {', '.join(CORES)}; got {core}")
    if not 1_000 <= clock_hz < 1 << 32:
        raise UsageError(f"--clock-hz must be the processor's clock, such as 16000000; got {clock_hz}")
    return Board(
        "custom", CORES[core], "", _memory("--rom", rom), _memory("--ram", ram), "port_custom.c", None, None, clock_hz
    )


def _memory(option: str, text: str) -> tuple[int, int]:
    """Start and size from "0x20000000:128KB"."""
    start, _, size = text.partition(":")
    try:
        memory = int(start, 0), parse_budget(size)
    except (ValueError, EdgeImprintError):
        memory = (-1, 0)
    if memory[0] < 0 or memory[0] % 8 or memory[0] + memory[1] > 1 << 32:
        raise UsageError(f"{option} must be START:SIZE, such as 0x20000000:128KB; got {text}")
    return memory
