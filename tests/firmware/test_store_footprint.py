"""What the flash store costs on a Cortex-M4: RAM, stack and flash, as its header and the issue promise."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from cbuild import SRC, STRICT, compiler

SOURCES = ("eimp_store", "eimp_store_flash", "eimp_store_scan", "eimp_store_head", "eimp_crc")
M4 = ("-mcpu=cortex-m4", "-mthumb", "-Os", "-ffunction-sections", "-fdata-sections")
SNAPSHOT_STACK_BYTES = 160  # room for eimp_snapshot_open / _read / _load below the store's own frames


def arm_gcc() -> str:
    try:
        return compiler("arm-none-eabi-gcc")
    except pytest.skip.Exception:
        pytest.skip("no arm-none-eabi-gcc here; on Debian: apt-get install gcc-arm-none-eabi")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store-m4")
    for name in SOURCES:
        command = [arm_gcc(), *STRICT, *M4, "-fcallgraph-info=su", "-c", f"{SRC / name}.c", "-o", f"{name}.o"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


def test_flash_of_the_store(objects: Path) -> None:
    done = subprocess.run(
        [compiler("arm-none-eabi-size"), *(f"{name}.o" for name in SOURCES)],
        cwd=objects, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [[int(number) for number in line.split()[:3]] for line in done.stdout.splitlines()[1:]]
    text, data, bss = (sum(column) for column in zip(*rows, strict=True))
    assert data == 0
    assert bss == 0
    assert text <= 2600


def test_stack_of_every_call(objects: Path) -> None:
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = defaultdict(set)
    for name in SOURCES:
        graph = (objects / f"{name}.ci").read_text()
        for title, size in re.findall(r'node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(static\)', graph):
            frames[title] = int(size)
        for caller, callee in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', graph):
            calls[caller].add(callee)

    def deepest(function: str) -> int:
        if function.startswith("eimp_snapshot"):
            return SNAPSHOT_STACK_BYTES
        return frames.get(function, 0) + max(map(deepest, calls[function]), default=0)

    depth = {function: deepest(function) for function in frames}
    assert depth["eimp_store_save"] > frames["eimp_store_save"] > 0
    assert max(depth.values()) <= 512, depth


def test_ram_of_a_store(objects: Path) -> None:
    source = '#include "eimp_store.h"\ntypedef char at_most_128_bytes[sizeof(eimp_store) <= 128 ? 1 : -1];\n'
    for command in ([arm_gcc(), *M4], [compiler()]):
        done = subprocess.run(
            [*command, *STRICT, f"-I{SRC}", "-x", "c", "-fsyntax-only", "-"],
            input=source, cwd=objects, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
