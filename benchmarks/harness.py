"""Fair timing: contestants interleaved in one process, warm-ups declared, runs too short to trust refused."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from benchmarks.errors import TooShortError
from edge_imprint.profiling.stages import collector_off

MIN_REPEATS = 5
MIN_SAMPLE_NS = 200_000
"""A sample shorter than this is mostly clock and cache noise; several calls share one sample instead."""


def calls_per_sample(
    contestant: Callable[[], object], sample_ns: int, before: Callable[[], object] | None = None
) -> int:
    """How often a contestant must be called for one sample to last at least `sample_ns`; `before`: see `interleave`."""
    calls = 1
    while True:
        if before is not None:
            before()
        elapsed = _time(contestant, calls)
        if elapsed >= sample_ns:
            return calls
        calls = max(calls * 2, int(calls * sample_ns / max(elapsed, 1)))


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warmups: int,
    sample_ns: int = 2_000_000,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, list[float]]:
    """Time each contestant in turn, A B A B ..., so that a slow minute of the machine hits all of them alike.

    Args:
        contestants: name to call without arguments.
        repeats: samples per contestant, at least 5.
        warmups: untimed samples per contestant beforehand.
        sample_ns: least duration of one sample; calls are repeated inside a sample to reach it.
        before: of contestants whose calls change them: what brings them back, untimed, before each sample.

    Returns:
        Name to `repeats` samples, each in nanoseconds per call.

    Raises:
        TooShortError: fewer than 5 repeats, or samples under 0.2 ms.
    """
    if repeats < MIN_REPEATS:
        raise TooShortError(f"at least {MIN_REPEATS} repeats are needed for quartiles; got {repeats}")
    if sample_ns < MIN_SAMPLE_NS:
        raise TooShortError(f"a sample must last at least {MIN_SAMPLE_NS} ns; got {sample_ns}")
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    before = before or {}

    def sample(name: str) -> float:
        if name in before:
            before[name]()
        return _time(contestants[name], calls[name]) / calls[name]

    with collector_off():
        calls = {name: calls_per_sample(call, sample_ns, before.get(name)) for name, call in contestants.items()}
        for name in contestants:
            for _ in range(warmups):
                sample(name)
        for _ in range(repeats):
            for name in contestants:
                samples[name].append(sample(name))
    return samples


def ratio(samples: Mapping[str, list[float]], of: str, to: str) -> float:
    """Median of the ratios of samples that were taken in the same turn: a slow minute of the machine is in both."""
    return statistics.median(a / b for a, b in zip(samples[of], samples[to], strict=True))


def _time(contestant: Callable[[], object], calls: int) -> int:
    start = time.perf_counter_ns()
    for _ in range(calls):
        contestant()
    return time.perf_counter_ns() - start
