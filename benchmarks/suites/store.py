"""The flash store under power cuts: every operation interrupted, again after the first cut, and every bit flipped.

The sweep is the C program of the tests, built with ASan and UBSan; here it goes through all geometries.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from itertools import product
from pathlib import Path

from benchmarks.context import Context
from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.markdown import table
from benchmarks.results import Result

SOURCES = ROOT / "firmware_bridge" / "c" / "src"
TESTS = ROOT / "tests" / "firmware" / "c"
STORE_FILES = ("eimp_store.c", "eimp_store_flash.c", "eimp_store_scan.c", "eimp_crc.c")
TEST_FILES = ("flash_sim.c", "store_sweep.c")
FLAGS = ("-std=c99", "-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
PROGRAM_BYTES, ERASE_VALUES, ECC = (1, 2, 4, 8, 16, 32, 64), (0xFF, 0x00), (0, 1)
Geometry = tuple[int, int, int, int, int, int, int]  # the program's arguments, in their order


def geometries(quick: bool) -> list[Geometry]:
    """Two cuts in a row on every kind of flash; one on a larger slot, three on a smaller one."""
    every: list[Geometry] = [
        (unit, erased, 768, 1, 100, ecc, 2) for unit, erased, ecc in product(PROGRAM_BYTES, ERASE_VALUES, ECC)
    ]
    if quick:
        return every[:2]
    for erased in ERASE_VALUES:
        every += [(4, erased, 512, 3, 1100, 0, 2), (1, erased, 1024, 4, 3700, 1, 1), (8, erased, 512, 1, 80, 1, 3)]
    return every


def run(context: Context, result: Result) -> None:
    """Build the sweep once and run it for each geometry; it ends at the first broken promise."""
    compiler = shutil.which("cc")
    if compiler is None:
        result.skip("no C compiler; on Debian: apt-get install gcc")
        return
    result.settings = {"flags": list(FLAGS), "parts_done": ["nothing", "first half", "last half", "scattered", "all"]}
    with tempfile.TemporaryDirectory(prefix="eimp-store-") as folder:
        program = Path(folder) / "store_sweep"
        files = [*(SOURCES / name for name in STORE_FILES), *(TESTS / name for name in TEST_FILES)]
        command = [compiler, *FLAGS, f"-I{SOURCES}", f"-I{TESTS}", *map(str, files), "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError(f"the sweep does not compile: {done.stderr.strip()}")
        for geometry in context.track(geometries(context.quick), "store"):
            sweep(program, geometry, result)
    for name, rule, done, right in (
        ("power cuts", "the old or the new snapshot every time", "cuts", "old_or_new"),
        ("bit rot", "every flipped bit is detected, or is in no snapshot", "bits_flipped", "bits_right"),
    ):
        tried, held = (sum(found.value for found in result.select(kind)) for kind in (done, right))
        result.promise(f"flash store: {name}", rule, tried - held, f"wrong of {tried:,.0f}", tried == held)


def sweep(program: Path, geometry: Geometry, result: Result) -> None:
    """One geometry.

    Raises:
        BenchmarkError: a promise was broken; the text says where.
    """
    done = subprocess.run([program, *map(str, geometry)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"store_sweep {' '.join(map(str, geometry))}: {done.stdout.strip()} {done.stderr.strip()}")
    counts = json.loads(done.stdout)
    unit, erased, sector_bytes, sectors, snapshot_bytes, ecc, cuts = geometry
    where = {
        "program_bytes": unit,
        "erase_value": erased,
        "sector_bytes": sector_bytes,
        "sectors_per_slot": sectors,
        "snapshot_bytes": snapshot_bytes,
        "ecc": bool(ecc),
        "cuts_in_a_row": cuts,
    }
    for name, value in (
        ("operations", counts["operations"]),
        ("cuts", counts["cuts"]),
        ("old_or_new", counts["old"] + counts["new"]),
        ("bits_flipped", counts["bits_flipped"]),
        ("bits_right", counts["bits_detected"] + counts["bits_harmless"]),
        ("bits_detected", counts["bits_detected"]),
    ):
        result.add(name, "", [value], where, "max")


def tables(result: Result) -> dict[str, str]:
    """One table: a row for every kind of run, summed over erase values, units and kinds of flash."""
    rows = []
    kinds = {
        (cuts.params["cuts_in_a_row"], cuts.params["snapshot_bytes"]): None for cuts in result.select("cuts")
    }  # in the order of the runs
    for cuts_in_a_row, snapshot_bytes in kinds:
        where = {"cuts_in_a_row": cuts_in_a_row, "snapshot_bytes": snapshot_bytes}

        def total(name: str, where: dict[str, str | int | float | bool] = where) -> float:
            return sum(found.value for found in result.select(name, **where))

        operations = [found.value for found in result.select("operations", **where)]
        span = f"{min(operations):.0f} to {max(operations):.0f}" if len(set(operations)) > 1 else f"{operations[0]:.0f}"
        rows.append(
            [
                f"{snapshot_bytes} bytes, {cuts_in_a_row} cut{'s' if cuts_in_a_row != 1 else ''} in a row",
                f"{len(operations)}",
                span,
                f"{total('cuts'):,.0f}",
                f"{total('old_or_new'):,.0f}",
                f"{total('bits_flipped'):,.0f}",
                f"{total('bits_right'):,.0f}",
            ]
        )
    head = ["snapshot", "kinds of flash", "operations", "cuts", "old or new found", "bits flipped", "right"]
    return {"store": table(head, rows)}
