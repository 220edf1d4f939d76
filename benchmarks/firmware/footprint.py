"""What the C library takes on a microcontroller: flash of each part, RAM, and stack along its calls."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT

SRC = ROOT / "firmware_bridge" / "c" / "src"
GCC, SIZE = "arm-none-eabi-gcc", "arm-none-eabi-size"
INSTALL = "apt-get install gcc-arm-none-eabi"
FLAGS = ("-std=c99", "-mcpu=cortex-m4", "-mthumb", "-Os", "-ffunction-sections", "-fcallgraph-info=su")
# Which part a file belongs to, by what its name begins with; the head is everything else.
PARTS = {
    "store": r"eimp_store",
    "protocol": r"eimp_(rpc|frame)",
    "snapshot": r"eimp_(snapshot|crc)",
    "second moment's arena": r"eimp_ridge_(arena|method)",
    "second moment": r"eimp_(ridge|moment)",
    "head": r"eimp_",
}


def missing_tool() -> str | None:
    """How to install the compiler, where it is missing."""
    return None if shutil.which(GCC) and shutil.which(SIZE) else f"no {GCC}; on Debian: {INSTALL}"


def compile_library(folder: Path) -> None:
    """Objects of every source, and what the compiler says of their calls, into a folder.

    Raises:
        BenchmarkError: a source does not compile.
    """
    # The boards' own headers of a C library: the compiler's package brings none.
    headers = ROOT / "firmware_bridge" / "boards" / "freestanding"
    command = [GCC, *FLAGS, f"-I{SRC}", "-isystem", str(headers), "-c", *map(str, sorted(SRC.glob("*.c")))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"the C library does not compile: {done.stderr.strip()[:500]}")


def flash(folder: Path) -> dict[str, int]:
    """Bytes of code and constants of each part, before a linker drops what a program does not use.

    Raises:
        BenchmarkError: an object has variables of its own, which the library must not have.
    """
    names = sorted(file.name for file in folder.glob("*.o"))
    done = subprocess.run([SIZE, *names], cwd=folder, capture_output=True, text=True, check=True)
    parts = dict.fromkeys(PARTS, 0)
    for text, data, bss, *_, name in (line.split() for line in done.stdout.splitlines()[1:]):
        if (data, bss) != ("0", "0"):
            raise BenchmarkError(f"the library has no variables; {name} has {data} + {bss} bytes")
        parts[next(part for part, pattern in PARTS.items() if re.match(pattern, name))] += int(text)
    return parts


def stack(folder: Path) -> dict[str, int]:
    """The most bytes of stack that each function takes with all that it calls; commands of the protocol included.

    What callbacks take (`send`, flash) belongs to whoever wrote them and comes on top.

    Raises:
        BenchmarkError: a recursion.
    """
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = defaultdict(set)
    for file in folder.glob("*.ci"):
        graph = file.read_text()
        for title, size in re.findall(r'node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(static\)', graph):
            frames[title] = int(size)
        for caller, callee in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', graph):
            calls[caller].add(callee)
    # Commands are entered through a table.
    calls["eimp_rpc_receive"] |= {function for function in frames if function.startswith("eimp_do_")}

    def deepest(function: str, above: tuple[str, ...] = ()) -> int:
        if function in above:
            raise BenchmarkError(f"recursion: {' > '.join([*above, function])}")
        below = (deepest(callee, (*above, function)) for callee in calls[function])
        return frames.get(function, 0) + max(below, default=0)

    return {function: deepest(function) for function in list(frames)}
