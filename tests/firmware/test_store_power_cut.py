"""Power cuts and bit rot: each test runs a C program under ASan and UBSan that goes through all of them."""

from __future__ import annotations

import json
import subprocess

import pytest
from cbuild import SANITIZE, build
from store_sim import C_TESTS, STORE_SOURCES

SOURCES = (*STORE_SOURCES, C_TESTS / "flash_sim.c", C_TESTS / "store_sweep.c")


def sweep(*arguments: int) -> dict[str, int]:
    """Run the program; it ends with 1 and names place and state when a promise is broken."""
    program = build("store_sweep", *SOURCES, flags=(*SANITIZE, f"-I{C_TESTS}"))
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def check(counts: dict[str, int], at_least_operations: int) -> None:
    assert counts["operations"] >= at_least_operations
    assert counts["old"] + counts["new"] == counts["cuts"]
    assert counts["new"] > 0, "no cut fell behind the commit record: the sweep ended too early"
    assert counts["bits_detected"] > 0


@pytest.mark.parametrize("erase_value", [0xFF, 0x00])
@pytest.mark.parametrize("program_bytes", [1, 2, 4, 8, 16, 32])
def test_two_cuts_anywhere_leave_the_old_or_the_new_snapshot(program_bytes: int, erase_value: int) -> None:
    ecc = int(program_bytes >= 8)
    check(sweep(program_bytes, erase_value, 512, 1, 130, ecc, 2), 8)


@pytest.mark.parametrize("ecc", [0, 1], ids=["plain", "ecc"])
@pytest.mark.parametrize("erase_value", [0xFF, 0x00])
def test_units_of_64_bytes(erase_value: int, ecc: int) -> None:
    check(sweep(64, erase_value, 768, 1, 100, ecc, 2), 7)


def test_slots_of_several_sectors() -> None:
    check(sweep(8, 0xFF, 192, 3, 240, 0, 2), 13)


def test_a_snapshot_that_fills_its_slot_to_the_last_byte() -> None:
    check(sweep(4, 0xFF, 512, 1, 192, 0, 1), 8)


@pytest.mark.slow
@pytest.mark.parametrize("erase_value", [0xFF, 0x00])
def test_three_cuts_in_a_row(erase_value: int) -> None:
    check(sweep(8, erase_value, 512, 1, 80, 1, 3), 7)


@pytest.mark.slow
def test_a_slot_of_three_kilobytes() -> None:
    check(sweep(1, 0xFF, 1024, 3, 2700, 0, 1), 45)
