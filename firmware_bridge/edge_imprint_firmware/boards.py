"""The boards that a generated project knows: processor, memory map, serial line, and how qemu calls them."""

from __future__ import annotations

from dataclasses import dataclass

from edge_imprint.errors import UsageError

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
    """The head needs no FPU, so floats are left to software; Helium's registers are those of the FPU."""
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
    "cortex-m7": _core("Cortex-M7", "cortex-m7"),
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
        machine: what qemu-system-arm calls it.
        rom: start address and bytes of what programs lie in.
        ram: start address and bytes of the RAM used.
        port: the source file in `boards/` that drives its serial line.
        uart_base: address of the serial line's registers.
        uart_irq: interrupt number of its receiver.
        clock_hz: what SysTick counts.
        sector_bytes: what an erase of its flash clears.
        program_bytes: the smallest unit that its flash can write.
        flash_on_chip: whether the store has flash there when the emulator names no file.
    """

    name: str
    core: Core
    machine: str
    rom: tuple[int, int]
    ram: tuple[int, int]
    port: str
    uart_base: int
    uart_irq: int
    clock_hz: int
    sector_bytes: int = 4096
    program_bytes: int = 8
    flash_on_chip: bool = False


def _mps(
    name: str, core: str, rom: tuple[int, int], ram: tuple[int, int], uart: int, irq: int, clock_hz: int = 25_000_000
) -> Board:
    """One of Arm's FPGA boards; they share the CMSDK serial line."""
    return Board(name, CORES[core], name, rom, ram, "port_cmsdk.c", uart, irq, clock_hz)


_BOARDS = (
    _mps("mps2-an385", "cortex-m3", (0x0, 4 * MB), (0x2000_0000, 4 * MB), 0x4000_4000, 0),
    _mps("mps2-an386", "cortex-m4", (0x0, 4 * MB), (0x2000_0000, 4 * MB), 0x4000_4000, 0),
    _mps("mps2-an500", "cortex-m7", (0x0, 4 * MB), (0x2000_0000, 4 * MB), 0x4000_4000, 0),
    _mps("mps2-an505", "cortex-m33", (0x1000_0000, 4 * MB), (0x3800_0000, 2 * MB), 0x5020_0000, 32, 20_000_000),
    _mps("mps2-an521", "cortex-m33-nodsp", (0x1000_0000, 4 * MB), (0x3800_0000, 2 * MB), 0x5020_0000, 32, 20_000_000),
    _mps("mps3-an524", "cortex-m33-nodsp", (0x1000_0000, 512 * KB), (0x3000_0000, 128 * KB), 0x5130_3000, 32, 32_000_000),
    _mps("mps3-an547", "cortex-m55", (0x0, 512 * KB), (0x3100_0000, 2 * MB), 0x5930_3000, 33, 32_000_000),
    Board(
        "microbit", CORES["cortex-m0"], "microbit", (0x0, 256 * KB), (0x2000_0000, 16 * KB), "port_nrf51.c",
        0x4000_2000, 2, 16_000_000, sector_bytes=1024, program_bytes=4, flash_on_chip=True,
    ),
)  # fmt: skip
BOARDS = {board.name: board for board in _BOARDS}


def find(name: str) -> Board:
    """The board of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in BOARDS:
        raise UsageError(f"--board must be one of {', '.join(BOARDS)}, or custom for your own; got {name}")
    return BOARDS[name]
