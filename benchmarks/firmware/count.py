"""Instructions that a function executes, what it calls included: exact, and the same in every run.

The emulator executes one instruction at a time and logs where each one lies. A count is not a time: an instruction of a
real processor takes one cycle or several.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.firmware.program import run
from edge_imprint_firmware.boards import Board

PLACE = re.compile(r"^Trace \d+: \S+ \[\w+/(\w+)/")


def count(board: Board, program: Path, *functions: str) -> list[list[int]]:
    """Instructions of each call of each function, in the order of the calls.

    Args:
        board: what the program was built for.
        program: its ELF file, with symbols.
        functions: names in it, of functions that are called by BL or BLX and do not call themselves.

    Raises:
        BenchmarkError: no such function, one was never called or did not return, or the program failed.
    """
    entries = [address(program, function) for function in functions]
    start, size = board.rom
    found = []
    with tempfile.TemporaryDirectory(prefix="eimp-count-") as folder:
        log = Path(folder) / "log"
        trace = ["-singlestep", "-d", "exec,nochain", "-dfilter", f"{start:#x}+{size:#x}", "-D", str(log)]
        done = run(board, program, trace)
        if done.status != 0:
            raise BenchmarkError(f"{board.name}: {program.name} ended with {done.status}: {done.text.strip()}")
        for function, entry in zip(functions, entries, strict=True):
            with log.open(encoding="ascii") as lines:
                found.append(list(calls(places(lines), entry)))
            if not found[-1]:
                raise BenchmarkError(f"{board.name}: {program.name} never calls {function}")
    return found


def address(program: Path, function: str) -> int:
    """Where a function starts."""
    names = subprocess.run(["arm-none-eabi-nm", str(program)], capture_output=True, text=True, check=True).stdout
    for line in names.splitlines():
        value, kind, name = line.rsplit(maxsplit=2)
        if name == function and kind in "tT":
            return int(value, 16) & ~1
    raise BenchmarkError(f"{program.name} has no function {function}")


def places(log: Iterable[str]) -> Iterator[int]:
    """The address of every instruction executed."""
    for line in log:
        found = PLACE.match(line)
        if found is not None:
            yield int(found[1], 16)


def calls(executed: Iterable[int], entry: int) -> Iterator[int]:
    """Instructions of each call of what starts at `entry`: from there to behind the BL or BLX that led there."""
    counted = 0
    behind: tuple[int, ...] = ()
    before = 0
    for place in executed:
        if not behind and place == entry:
            behind = (before + 2, before + 4)
        elif place in behind:
            yield counted
            counted, behind = 0, ()
        if behind:
            counted += 1
        before = place
    if behind:
        raise BenchmarkError(f"the function at {entry:#x} was called and did not return")
