"""`edge-imprint profile --port`: what teaching and asking cost on a microcontroller, asked over its serial line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_imprint.atomic import replace_file
from edge_imprint.cli import output
from edge_imprint.cli.common import size_text
from edge_imprint.cli.profile_host import EXCEEDED, check_files
from edge_imprint.errors import EdgeImprintError

if TYPE_CHECKING:
    from edge_imprint_firmware import Device
    from edge_imprint_firmware.profile import DeviceProfile, DeviceStage

_PERCENTILES = (50, 90, 99)


def run(
    port: str, *, repeats: int, warmups: int, saves: int, timeout_s: float, baud: int, as_json: bool,
    out: Path | None = None, plot: Path | None = None, budget_ms: float | None = None,
    budget_bytes: float | None = None,
) -> int:  # fmt: skip
    """Profile the device at a port, print what was found, write and draw it, and compare it with the budgets.

    Returns:
        The exit status.

    Raises:
        MissingRuntimeError: the packages of a port, or of a plot, are not installed; the message names the extra.
        UsageError: too few repeats.
        ProfileError: a budget for what this device does not measure; nothing was measured.
        EdgeImprintError: no such port, no permission, nothing answers, a device of another version; or, after what was
            measured until then was printed, a line that broke.
    """
    from edge_imprint.profiling.device import DeviceDocument, exceeded_by
    from edge_imprint_firmware import Device
    from edge_imprint_firmware.profile import STAGES, profile_device

    check_files(out, plot)
    settings = {"repeats": repeats, "warmups": warmups, "saves": saves}
    with Device.open(port, timeout_s=timeout_s, baud=baud) as device:
        _refuse_budgets(device, budget_ms, budget_bytes)
        with output.progress(f"Profiling {port}", len(STAGES), quiet=as_json) as advance:
            profile = profile_device(device, **settings, progress=lambda stage: advance())
    plain = document_of(profile, settings)
    found = DeviceDocument.from_dict(plain)
    over = [] if profile.broken else exceeded_by(found, budget_ms, budget_bytes)
    if as_json:
        output.write_json({**plain, "exceeded": over})
    else:
        show(plain)
    if profile.broken:
        raise EdgeImprintError(f"{profile.broken}. What was measured until then is shown")
    if out is not None:
        replace_file(out, (json.dumps(plain, indent=1) + "\n").encode())
    if plot is not None:
        from edge_imprint.profiling.plot_device import draw

        draw(found, plot)
    for path in filter(None, (out, plot)):
        if not as_json:
            output.write(f"Wrote {path}\n")
    for sentence in over:
        output.warn(f"Over budget: {sentence}")
    return EXCEEDED if over else 0


def _refuse_budgets(device: Device, budget_ms: float | None, budget_bytes: float | None) -> None:
    """Ask the device what it knows, and refuse a budget for anything else."""
    if (budget_ms, budget_bytes) == (None, None):
        return
    from edge_imprint.profiling.device import refuse_budgets

    stats, known = device.stats(), device.resources()
    knows_ram = stats.stack_bytes is not None and known is not None and known.variables_bytes is not None
    refuse_budgets(stats.counter_unit, None if known is None else known.counter_hz, knows_ram, budget_ms, budget_bytes)


def document_of(profile: DeviceProfile, settings: dict[str, int]) -> dict[str, Any]:
    """The JSON object of a profile; raw samples included, so that anything can be computed from it again."""
    from edge_imprint.profiling.device import SCHEMA

    found, measured, known = profile.found, profile.measured, profile.resources
    counter_hz = None if known is None else known.counter_hz
    head = {name: getattr(measured, name) for name in ("dim", "budget", "used_bytes", "classes", "proxies", "shots")}
    return {
        "schema": SCHEMA,
        "device": {
            "name": found.name,
            "port": found.port,
            "protocol": ".".join(map(str, found.protocol_version)),
            "capabilities": list(found.capabilities),
        },
        "head": {**head, "made_up": not found.classes},
        "settings": settings,
        "counter_unit": profile.counter_unit,
        "origin": _origin(profile.counter_unit, counter_hz),
        "stages": {name: _stage(stage) for name, stage in profile.stages.items()},
        "bytes": _bytes(profile),
        "overhead": None if known is None else known.counter_overhead,
        "counter_hz": counter_hz,
        "line": asdict(profile.host),
        "unchanged": profile.unchanged,
        "broken": profile.broken,
    }


def show(document: dict[str, Any]) -> None:
    """Print a profile for people."""
    device, head, line = document["device"], document["head"], document["line"]
    shots = f"{head['shots']} {'made-up ' if head['made_up'] else ''}shots"
    output.write_facts(
        {
            "device": f"{device['name']} at {device['port']}, protocol {device['protocol']}",
            "head": f"{head['classes']} classes, {head['proxies']} proxies, {shots}, dim {head['dim']}, "
            f"{size_text(head['used_bytes'])} of {size_text(head['budget'])} used",
            "counts": document["origin"],
            "measuring": _overhead(document),
            "round trips": "by this machine's clock: what is sent, the operation, the answer",
            "line": f"{line['requests']} requests, {line['retries']} retries, {line['damaged']} damaged frames",
            "head now": _UNCHANGED[document["unchanged"]],
        }
    )
    unit = document["counter_unit"] or "counts"
    columns = ("operation", f"{unit} p50", "p90", "p99", "jitter", "ms p50", "p90", "p99", "jitter", "")
    output.write("\n")
    output.write_table(columns, [_row(name, stage) for name, stage in document["stages"].items()])
    output.write("\n")
    sizes = {name: entry["bytes"] for name, entry in document["bytes"].items()}
    rows = [(n, "" if size is None else f"{size:,}", document["bytes"][n]["missing"]) for n, size in sizes.items()]
    output.write_table(("bytes", "", ""), rows)


_UNCHANGED = {
    True: "as it was, byte for byte",
    False: "not as it was",
    None: "not known; `edge-imprint firmware talk classes` names what it holds",
}


def _origin(unit: str | None, counter_hz: int | None) -> str:
    if unit is None:
        return "not available: the device has no counter"
    if unit == "instructions":
        return "emulated: instruction counts, never cycles or milliseconds; round trips are the emulator's speed"
    of = f" of {counter_hz:,} Hz" if unit == "cycles" and counter_hz else ""
    return f"measured on the device, in {unit}{of}"


def _overhead(document: dict[str, Any]) -> str:
    if document["overhead"] is None or document["counter_unit"] is None:
        return "not available"
    return f"takes {document['overhead']} {document['counter_unit']} of each count"


def _stage(stage: DeviceStage) -> dict[str, Any]:
    return {
        "counts": _summary(stage.counts),
        "round_trip_us": _summary([ns / 1000 for ns in stage.round_trips_ns]),
        "missing": stage.missing,
    }


def _summary(samples: Sequence[float]) -> dict[str, Any] | None:
    """p50, p90, p99, jitter (p99 less p50) and the samples themselves; None for none."""
    import numpy as np

    if not samples:
        return None
    percentiles = {f"p{p}": float(np.percentile(samples, p)) for p in _PERCENTILES}
    return {**percentiles, "jitter": percentiles["p99"] - percentiles["p50"], "samples": list(samples)}


def _row(name: str, stage: dict[str, Any]) -> tuple[str, ...]:
    keys = ("p50", "p90", "p99", "jitter")
    counts, trips = stage["counts"], stage["round_trip_us"]
    cells = [f"{counts[key]:,.0f}" if counts else "" for key in keys]
    cells += [f"{trips[key] / 1000:.3f}" if trips else "" for key in keys]
    return (name, *cells, _missing(stage["missing"]) if stage["missing"] else "")


def _bytes(profile: DeviceProfile) -> dict[str, dict[str, Any]]:
    from edge_imprint.profiling.device import STACK, VARIABLES

    known = profile.resources
    version = profile.found.protocol_version
    why = profile.broken or "the device does not know it"
    if known is None and version < (1, 1):
        why = f"the device speaks protocol {version[0]}.{version[1]}, and this came with 1.1"
    sizes: dict[str, int | None] = {
        "head's budget": profile.found.budget,
        "arena": None if known is None else known.arena_bytes,
        VARIABLES: None if known is None else known.variables_bytes,
        STACK: profile.stack_bytes,
        "stack, set aside": None if known is None else known.stack_room,
        "program in flash": None if known is None else known.image_bytes,
    }
    return {name: {"bytes": size, "missing": _missing(why) if size is None else ""} for name, size in sizes.items()}


def _missing(why: str) -> str:
    return f"not available: {why}"
