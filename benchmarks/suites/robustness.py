"""A day of mixed operations, and faults injected for real: threads, processes, disks, clocks, frames, kills."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.context import Context
from benchmarks.markdown import table
from benchmarks.results import Result
from benchmarks.robustness import clocks, day, frames, processes, threads
from benchmarks.robustness.operations import SHARES
from benchmarks.robustness.outcome import Outcome, reports, start
from edge_imprint.atomic import scratch_folder

LESSONS, QUICK_LESSONS = 400, 40
PROCESS_LESSONS, QUICK_PROCESS_LESSONS = 24, 3
KILLS, QUICK_KILLS = 500, 40
DISK_STEPS, QUICK_DISK_STEPS = 60, 6
FRAMES, QUICK_FRAMES = 100, 6
CLOCK_OPERATIONS, QUICK_CLOCK_OPERATIONS = 20_000, 500
OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private")


def run(context: Context, result: Result) -> None:
    """Every kind of fault, then the soak."""
    quick = context.quick
    result.settings = {
        "shares_of_operations": SHARES,
        "heads": [shape._asdict() for shape in _shapes()],
        "disks": "tmpfs of their own in a mount namespace; RLIMIT_FSIZE; another user's rights",
        "kills": "SIGKILL at a random moment of one of the saves that follow each other without a pause",
        "clock": "LD_PRELOAD: each look at the wall clock is up to 20 years before or after the last one",
        "threads": f"{threads.TEACHERS} teach, {threads.ASKERS} ask, one saves; changing places every 10 µs",
    }
    day.measure(context, result)
    with scratch_folder() as folder:
        outcomes = threads.share(folder, QUICK_LESSONS if quick else LESSONS)
        outcomes += processes.share(folder, QUICK_PROCESS_LESSONS if quick else PROCESS_LESSONS, context)
        outcomes += _in_a_process("kills", folder, QUICK_KILLS if quick else KILLS)
        outcomes += _disks(folder, QUICK_DISK_STEPS if quick else DISK_STEPS, result)
        outcomes += clocks.jump(folder, QUICK_CLOCK_OPERATIONS if quick else CLOCK_OPERATIONS, result)
    outcomes += frames.corrupt(QUICK_FRAMES if quick else FRAMES)
    for outcome in outcomes:
        outcome.record(result)


def _shapes() -> tuple[object, ...]:
    from benchmarks.robustness.soak import SHAPES

    return SHAPES


def _in_a_process(module: str, folder: Path, *arguments: object, before: tuple[str, ...] = ()) -> list[Outcome]:
    own = folder / module
    own.mkdir()
    return [Outcome(**found) for found in reports(start(module, own, *arguments, before=before))]  # type: ignore[arg-type]


def _disks(folder: Path, steps: int, result: Result) -> list[Outcome]:
    allowed = os.geteuid() == 0 and shutil.which("unshare") is not None
    if allowed:
        allowed = subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0
    if not allowed:
        result.skip("full and read-only disks are mounted: run as root, where a mount namespace may be made")
        return []
    return _in_a_process("disks", folder, steps, before=OWN_MOUNTS)


def tables(result: Result) -> dict[str, str]:
    """A row a fault; memory over the soak below."""
    rows = []
    for found in result.select("injected"):
        fault = found.params["fault"]
        done, survived, lost = (
            result.one(name, fault=fault).value for name in ("operations", "survived", "bytes_lost")
        )
        rows.append([str(fault), f"{done:,.0f}", f"{found.value:,.0f}", f"{survived:,.0f}", f"{lost:,.0f}"])
    head = ["fault", "operations", "faults injected", "survived", "bytes lost"]
    low, value, high = (result.one(f"anonymous_growth{name}").value / 1024 for name in ("_low", "", "_high"))
    soak = result.one("anonymous_growth")
    a_second = result.one("per_second_of_a_day").value
    memory = (
        f"{soak.params['operations']:,} mixed operations, {a_second:.1f} a second for a day, in one process: memory "
        f"grew by {value:+.0f} KB in all (95 % interval {low:+.0f} to {high:+.0f})."
    )
    skipped = "".join(f" Not tried: {'; '.join(result.skipped)}." for _ in result.skipped[:1])
    return {"robustness": f"{table(head, rows)}\n\n{memory}{skipped}"}
