"""Instructions that a function executes, what it calls included: exact, and the same in every run.

The emulator executes one instruction at a time and logs where each one lies. A count is not a time: an instruction of a
real processor takes one cycle or several.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.firmware.program import Run, run
from edge_imprint_firmware.boards import Board


def count(board: Board, program: Path, *functions: str) -> list[list[int]]:
    """Instructions of each call of each function, in the order of the calls.

    Args:
        board: what the program was built for.
        program: its ELF file, with symbols.
        functions: names in it, of functions that are called by BL or BLX and do not call themselves.

    Raises:
        BenchmarkError: no such function, one was never called or did not return, or the program failed.
    """
    meters = [Meter(address(program, function)) for function in functions]
    for place in execute(board, program):
        for meter in meters:
            meter.step(place)
    for function, meter in zip(functions, meters, strict=True):
        if meter.inside or not meter.calls:
            raise BenchmarkError(
                f"{board.name}: {program.name} {'does not return from' if meter.inside else 'never calls'} {function}"
            )
    return [meter.calls for meter in meters]


def address(program: Path, function: str) -> int:
    """Where a function starts."""
    names = subprocess.run(["arm-none-eabi-nm", str(program)], capture_output=True, text=True, check=True).stdout
    for line in names.splitlines():
        value, kind, name = line.rsplit(maxsplit=2)
        if name == function and kind in "tT":
            return int(value, 16) & ~1
    raise BenchmarkError(f"{program.name} has no function {function}")


def execute(board: Board, program: Path) -> Iterator[int]:
    """Run a program; the address of every instruction, as it is executed.

    Raises:
        BenchmarkError: the program ended with another status than 0; after the last instruction.
    """
    start, size = board.rom
    with tempfile.TemporaryDirectory(prefix="eimp-count-") as folder, ThreadPoolExecutor(1) as aside:
        log = Path(folder) / "log"
        os.mkfifo(log)  # millions of lines, none of which is kept
        reading = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        writing = os.open(log, os.O_WRONLY)
        os.set_blocking(reading, True)

        def emulate() -> Run:
            try:
                trace = ["-singlestep", "-d", "exec,nochain", "-dfilter", f"{start:#x}+{size:#x}", "-D", str(log)]
                return run(board, program, trace)
            finally:
                os.close(writing)  # the end of the log, also where the emulator has not opened it

        ended = aside.submit(emulate)
        with os.fdopen(reading, encoding="ascii") as lines:
            yield from places(lines)
        done = ended.result()
    if done.status != 0:
        raise BenchmarkError(f"{board.name}: {program.name} ended with {done.status}: {done.text.strip()}")


def places(log: Iterable[str]) -> Iterator[int]:
    """Addresses in lines such as `Trace 0: 0x7f1c [00000000/00000130/01000110/ff000000] name`."""
    for line in log:
        if line.startswith("Trace "):
            yield int(line.split("/", 2)[1], 16)


class Meter:
    """Counts the calls of what starts at `entry`: from there to behind the BL or BLX that led there.

    Attributes:
        calls: the instructions of each call so far.
        inside: whether a call has not returned yet.
    """

    def __init__(self, entry: int) -> None:
        self.calls: list[int] = []
        self._entry = entry
        self._behind: tuple[int, ...] = ()
        self._before = self._counted = 0

    @property
    def inside(self) -> bool:
        return bool(self._behind)

    def step(self, place: int) -> None:
        """One instruction was executed."""
        if not self._behind:
            if place == self._entry:
                self._behind = (self._before + 2, self._before + 4)
                self._counted = 1
        elif place in self._behind:
            self.calls.append(self._counted)
            self._behind = ()
        else:
            self._counted += 1
        self._before = place
