"""`edge-imprint profile` without a port: the machine at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_imprint.cli import output
from edge_imprint.cli.common import existing_state, expand_images, size_text
from edge_imprint.errors import StorageError

if TYPE_CHECKING:
    from edge_imprint.profiling import Profile, Subject

EXCEEDED = 3


def run(
    subject: Subject, *, plot: Path | None, out: Path | None, as_json: bool, budgets: tuple[float | None, float | None],
    **settings: Any,
) -> int:  # fmt: skip
    """Profile, print, write, and compare with the budgets; the exit status."""
    from edge_imprint.profiling import exceeded, profile
    from edge_imprint.profiling.compare import check_budgets
    from edge_imprint.profiling.plot import draw
    from edge_imprint.profiling.run import STEPS

    check_budgets(*budgets)
    check_files(out, plot)
    with output.progress("Profiling", STEPS + settings["cold_starts"], quiet=as_json) as advance:
        found = profile(subject, progress=lambda step: advance(), **settings)
    if out is not None:
        found.save(out)
    if plot is not None:
        draw(found, plot)
    over = exceeded(found, *budgets)
    if as_json:
        output.write_json({**found.as_dict(), "exceeded": over})
    else:
        show(found)
        for path in filter(None, (out, plot)):
            output.write(f"Wrote {path}\n")
    for sentence in over:
        output.warn(f"Over budget: {sentence}")
    return EXCEEDED if over else 0


def check_files(out: Path | None, plot: Path | None) -> None:
    """Refuse files that cannot be written, before anything is measured."""
    if plot is not None:
        from edge_imprint.profiling.plot import check

        check(plot)
    for path in filter(None, (out, plot)):
        if not path.parent.is_dir():
            raise StorageError(f"cannot write {path}: there is no folder {path.parent}. Make it with mkdir -p")


def subject_of(
    images: list[Path], *, bundle: str | None, state: Path | None, providers: str | None, **options: Any
) -> Subject:
    """What the options name."""
    from edge_imprint.profiling.subject import Subject, listed

    return Subject(
        bundle=bundle,
        state=None if state is None else str(existing_state(state)),
        providers=providers,
        pictures=listed(expand_images(images)),
        **options,
    )


def show(found: Profile) -> None:
    """Print a profile for people."""
    machine, head = found.machine, found.head
    made_up = ", made up" if head["made_up"] else ""
    output.write_facts(
        {
            "machine": f"{said(machine['board'])}; {said(machine['cpu'])}, {machine['cores']} cores",
            "clocks": _clocks(machine["clocks"]),
            "temperature": _warmth(found.thermal),
            "throttled": _throttled(found.thermal["after"]["throttled"]),
            "power": _power(found.power),
            "backbone": f"{found.bundle['name']}, {found.bundle['file']}, {found.bundle['runtime']} "
            f"{found.bundle['runtime_version']}, dim {found.bundle['dim']}",
            "head": f"{head['method']}, {head['classes']} classes, {head['proxies']} proxies, {head['shots']} shots"
            f"{made_up}; {size_text(head['used_bytes'])} of {size_text(head['budget'])}; {found.runtimes['kernels']}",
            "camera": _camera(found.camera),
            "memory": _memory(found.memory),
            "cold start": _cold(found.cold_start),
            "measuring": f"adds {found.overhead_us:.2f} us to each run",
        }
    )
    output.write("\n")
    keys = ("p50_us", "p90_us", "p99_us", "jitter_us")
    rows = []
    for name, stage in found.stages.items():
        plain = stage.as_dict()
        rows.append((name, *(f"{plain[key] / 1000:.3f}" for key in keys), str(plain["repeats"])))
    output.write_table(("stage", "ms p50", "p90", "p99", "jitter", "runs"), rows)


def _missing(value: Any) -> str | None:
    return f"not available: {value['not_available']}" if isinstance(value, dict) and "not_available" in value else None


def said(value: Any) -> str:
    """A value, or why there is none."""
    return _missing(value) or str(value)


def _clocks(clocks: Any) -> str:
    if missing := _missing(clocks):
        return missing
    return "; ".join(
        f"{clock['policy']} {said(clock['governor'])}, {_mhz(clock['mhz'])} of {_mhz(clock['mhz_most'])} MHz"
        for clock in clocks
    )


def _mhz(value: Any) -> str:
    return _missing(value) or f"{value:.0f}"


def _warmth(thermal: dict[str, Any]) -> str:
    before, after = thermal["before"]["zones"], thermal["after"]["zones"]
    if missing := _missing(after) or _missing(before):
        return missing
    return "; ".join(f"{name} {_degrees(before.get(name))} to {_degrees(value)}" for name, value in after.items())


def _degrees(value: Any) -> str:
    return "?" if value is None else _missing(value) or f"{value:.1f} C"


def _throttled(flags: Any) -> str:
    return _missing(flags) or ", ".join(flags) or "never since boot"


def _power(power: dict[str, Any]) -> str:
    if missing := _missing(power):
        return missing.replace("not available", "not measured")
    rails = ", ".join(f"{name} {watts:.2f} W" for name, watts in power["watts"].items())
    return f"{rails} ({power['source']}, while the camera ran)"


def _camera(camera: dict[str, Any]) -> str:
    return (
        f"{camera['answered_fps']:g} answers in a second at {camera['fps']:g} frames; {camera['dropped']} of "
        f"{camera['frames']} frames dropped; {camera['latency_ms_p50']:.2f} ms from frame to answer, "
        f"p99 {camera['latency_ms_p99']:.2f}"
    )


def _memory(memory: dict[str, Any]) -> str:
    if missing := _missing(memory):
        return missing
    parts = {
        "Python": "python_bytes", "numpy": "numpy_bytes", "package": "package_bytes",
        "backbone and runtime": "backbone_and_runtime_bytes", "head": "head_arena_bytes",
        "first prediction": "first_prediction_bytes",
    }  # fmt: skip
    made_of = ", ".join(f"{name} {_mb(memory[key])}" for name, key in parts.items())
    pss = _missing(memory["pss_bytes"]) or _mb(memory["pss_bytes"])
    return f"peak {_mb(memory['peak_bytes'])}, steady {_mb(memory['steady_bytes'])}, PSS {pss} ({made_of})"


def _mb(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"


def _cold(cold: dict[str, Any]) -> str:
    return (
        f"{cold['total_ms']:.0f} ms to the first answer (import {cold['import_ms']:.0f}, construct "
        f"{cold['construct_ms']:.0f}, first prediction {cold['first_prediction_ms']:.0f})"
    )
