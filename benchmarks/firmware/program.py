"""Build a program for a board of `edge_imprint_firmware.boards`, with the project's start-up code, and run it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from edge_imprint_firmware.boards import Board

FIRMWARE = ROOT / "firmware_bridge"
SRC = FIRMWARE / "c" / "src"
HERE = Path(__file__).resolve().parent / "c"
STARTUP = tuple(FIRMWARE / "boards" / name for name in ("vectors.S", "startup.c", "memory.c", "maths.c"))
TEMPLATES = FIRMWARE / "edge_imprint_firmware" / "templates"
COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
TIMEOUT_S = 120.0


def missing_tools() -> str:
    """What has to be installed before anything can be built and run here; empty when nothing has."""
    needed = {COMPILER: "gcc-arm-none-eabi", EMULATOR: "qemu-system-arm"}
    absent = [package for tool, package in needed.items() if shutil.which(tool) is None]
    return f"apt-get install {' '.join(absent)}" if absent else ""


def build(
    board: Board,
    target: Path,
    sources: Sequence[Path],
    flags: Sequence[str] = ("-O2",),
    stack_bytes: int = 2048,
) -> Path:
    """Compile and link against no library but libgcc; a warning is an error.

    Args:
        board: what to build for.
        target: the ELF file; the linker script is written beside it.
        sources: C files, `main` among them. Start-up code and `bare.c` are added.
        flags: of the compiler, optimisation included.
        stack_bytes: reserved for the stack.

    Returns:
        `target`.

    Raises:
        BenchmarkError: it does not compile or does not fit.
    """
    script = target.with_suffix(".ld")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined)
    script.write_text(
        environment.get_template("board.ld.j2").render(
            name=board.name, rom=board.rom, ram=board.ram, kept_bytes=0, stack_bytes=stack_bytes
        ),
        encoding="utf-8",
    )
    includes = [f"-I{folder}" for folder in (SRC, HERE, FIRMWARE / "boards", FIRMWARE / "boards" / "freestanding")]
    command = [
        COMPILER, *board.core.gcc.split(), *STRICT, "-ffreestanding", "-ffunction-sections", *flags, *includes,
        *map(str, (*STARTUP, HERE / "bare.c", *sources)),
        "-nostdlib", f"-T{script}", "-Wl,--gc-sections", "-lgcc", "-o", str(target),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{board.name}: {' '.join(command)}\n{done.stderr.strip()}")
    return target


@dataclass(frozen=True)
class Run:
    """How a program ended: its exit status and what it printed."""

    status: int
    text: str


def run(board: Board, program: Path, options: Sequence[str] = ()) -> Run:
    """Run until the program exits; a board that restarts, as it does after a fault, ends as well.

    Raises:
        BenchmarkError: it did not end in two minutes.
    """
    command = [
        EMULATOR, "-machine", board.machine, "-display", "none", "-serial", "none", "-monitor", "none", "-no-reboot",
        "-semihosting-config", "enable=on,target=native", "-kernel", str(program), *options,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{board.name}: {program.name} did not end in {TIMEOUT_S:g} s") from None
    return Run(done.returncode, done.stderr)
