"""The serial protocol on bad lines: does a course of 1,000 commands end as on a perfect one, and at what cost?

The device is the C library compiled for this machine, driven in this process: time is counted, not waited for.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from typing import Any

from benchmarks.context import Context
from benchmarks.machine import ROOT
from benchmarks.markdown import table
from benchmarks.results import Result

COMMANDS, QUICK_COMMANDS = 1000, 50
DIM, BUDGET, MAX_PROXIES = 64, 8192, 8
FAULTS = 0.01
LINES: dict[str, tuple[float, tuple[str, ...]]] = {
    "perfect": (0.0, ("lost",)),
    "lost": (FAULTS, ("lost",)),
    "doubled": (FAULTS, ("doubled",)),
    "flipped": (FAULTS, ("flipped",)),
    "mixed": (FAULTS, ("lost", "doubled", "flipped")),
}


def run(context: Context, result: Result) -> None:
    """Each kind of line, each seed: the course on a device behind it, and on a head of numpy."""
    if shutil.which("cc") is None:
        result.skip("no C compiler; on Debian: apt-get install gcc")
        return
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    try:
        support = importlib.import_module("device_in_process")
    finally:
        sys.path.pop(0)
    commands = QUICK_COMMANDS if context.quick else COMMANDS
    result.settings = {"commands": commands, "dim": DIM, "budget": BUDGET, "fault_rate": FAULTS}
    for name, (rate, kinds) in context.track(list(LINES.items()), "serial"):
        runs = [_course(support, rate, kinds, seed, commands) for seed in range(context.seeds)]
        for what in runs[0]:
            result.add(what, "", [float(each[what]) for each in runs], {"line": name})
        wrong = sum(1 - each["equal"] for each in runs)
        rule = f"{commands:,} commands end with the answers and the state of an error-free line"
        result.promise(f"serial: {name}", rule, wrong, f"wrong of {len(runs)} courses", wrong == 0)


def _course(support: Any, rate: float, kinds: tuple[str, ...], seed: int, commands: int) -> dict[str, float]:
    """One course; what it took, and whether every answer and every byte of the snapshot is the head's."""
    from edge_imprint import ImprintHead
    from edge_imprint_firmware.device import Device
    from edge_imprint_firmware.link import Link
    from edge_imprint_firmware.snapshots import blob_of, read_snapshot

    head = ImprintHead(DIM, BUDGET, max_proxies=MAX_PROXIES)
    line = support.Line(support.CDevice(DIM, BUDGET, max_proxies=MAX_PROXIES), rate, seed, kinds)
    device = Device(Link(line, 60.0, line.clock))
    same = support.teach(device, seed, commands) == support.teach(head, seed, commands)
    stats = device.stats()
    counts = {
        "frames": stats.host.requests + stats.host.retries,
        "retries": stats.host.retries,
        "repeated": stats.repeated_requests,
        "damaged_bytes": line.damaged_bytes,
        "bytes": line.bytes,
    }
    same = same and read_snapshot(device._link) == blob_of(head)
    line.device.free()
    return {"equal": float(same), **{name: float(count) for name, count in counts.items()}}


def tables(result: Result) -> dict[str, str]:
    """One row for each kind of line."""
    rows = []
    for equal in result.select("equal"):
        mean = {name: result.one(name, **equal.params).value for name in ("frames", "retries", "repeated", "bytes")}
        damaged = result.one("damaged_bytes", **equal.params).value
        rows.append(
            [
                str(equal.params["line"]),
                f"{sum(equal.samples):.0f} of {len(equal.samples)}",
                f"{mean['frames']:,.0f}",
                f"{mean['retries']:,.0f}",
                f"{mean['repeated']:,.0f}",
                f"{damaged:,.0f} of {mean['bytes']:,.0f}",
            ]
        )
    head = ["bytes are", "courses equal", "frames sent", "retries", "answered again, not done again", "damaged bytes"]
    return {"serial": table(head, rows)}
