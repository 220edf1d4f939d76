"""The soak, watched: does memory grow, does the model hold, does the other engine agree bit for bit?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.context import Context
from benchmarks.errors import BenchmarkError
from benchmarks.results import Result
from benchmarks.robustness.operations import SHARES
from benchmarks.robustness.outcome import Outcome, reports, start
from benchmarks.scaling.fit import slope
from edge_imprint.atomic import scratch_folder
from edge_imprint.head.engine import VARIABLE, native_is_there

OPERATIONS, QUICK_OPERATIONS = 1_000_000, 12_000
PER_SEGMENT, QUICK_PER_SEGMENT = 2_000, 500
REPLAYED_EVERY, QUICK_REPLAYED_EVERY = 25, 5
"""No multiple of the number of heads that take turns, so that every one of them is replayed."""
SETTLED = 0.1
MOST_BYTES_AN_OPERATION = 1
"""The allocator takes a step of some 0.3 MB now and then; whatever an operation leaked would be more than a byte."""
DAY_S = 86_400


def measure(context: Context, result: Result) -> None:
    """Do the operations, then a share of them again."""
    per_segment = QUICK_PER_SEGMENT if context.quick else PER_SEGMENT
    segments = (QUICK_OPERATIONS if context.quick else OPERATIONS) // per_segment
    every = QUICK_REPLAYED_EVERY if context.quick else REPLAYED_EVERY
    with scratch_folder() as folder:
        seen = _soak(folder, segments, per_segment, every, context)
        _memory(seen, per_segment, result)
        replayed = Outcome("the other engine does a share again", operations=per_segment * len(seen[::every]))
        if seen[0]["engine"] == "native" and native_is_there():
            _replay(folder, seen[::every], per_segment, replayed, context)
            replayed.record(result)
        else:
            result.skip("the C library was not built: there is no second engine to compare with")


def _soak(folder: Path, segments: int, per_segment: int, every: int, context: Context) -> list[dict[str, Any]]:
    said = reports(start("soak", "run", folder, segments, per_segment, every))
    return [next(said) for _ in context.track(range(segments), f"{segments * per_segment:,} operations")]


def _memory(seen: list[dict[str, Any]], per_segment: int, result: Result) -> None:
    soak = Outcome("mixed operations, bad inputs among them", operations=per_segment * len(seen))
    last = {segment["segment"] % 4: segment for segment in seen}
    # A course that ends has met every bad input without harm: otherwise it had stopped with what went wrong.
    soak.injected = soak.survived = sum(segment["did_bad"] for segment in seen)
    soak.record(result)
    for name in SHARES:
        result.add("did", "operations", [sum(segment[f"did_{name}"] for segment in seen)], {"operation": name}, "max")
    result.add("capacity_refused", "", [sum(segment["refused"] for segment in last.values())], {}, "max")
    settled = seen[int(len(seen) * SETTLED) :]
    done = [float(per_segment * (segment["segment"] + 1)) for segment in settled]
    memory = [float(segment["anonymous_bytes"]) for segment in settled]
    result.add("anonymous", "bytes", memory, {"operations": soak.operations}, "max")
    growth = [value * soak.operations for value in slope(done, memory)]
    for name, value in zip(("", "_low", "_high"), growth, strict=True):
        result.add(f"anonymous_growth{name}", "bytes", [value], {"operations": soak.operations})
    result.promise(
        "robustness: memory of the soak",
        f"memory grows by nothing within its 95 % interval, or by under {MOST_BYTES_AN_OPERATION} byte an operation",
        growth[0] / soak.operations, "bytes",
        growth[1] <= 0 or growth[2] <= MOST_BYTES_AN_OPERATION * soak.operations,
    )  # fmt: skip
    result.add("per_second_of_a_day", "1/s", [soak.operations / DAY_S], {})


def _replay(folder: Path, kept: list[dict[str, Any]], per_segment: int, replayed: Outcome, context: Context) -> None:
    numbers = [segment["segment"] for segment in kept]
    process = start("soak", "replay", folder, per_segment, *numbers, environment={VARIABLE: "numpy"})
    said = reports(process)
    for segment in context.track(kept, "again, with numpy"):
        again: dict[str, Any] = next(said)
        if again["segment"] != segment["segment"] or again["engine"] != "numpy":
            raise BenchmarkError(f"the replay did {again}, not segment {segment['segment']} with numpy")
        same = again["digest"] == segment["digest"]
        replayed.judge(
            None if same else f"segment {segment['segment']} ended differently", 0 if same else again["bytes"]
        )
