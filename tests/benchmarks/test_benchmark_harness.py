"""Timing: contestants take turns, and a run too short to trust is refused."""

from __future__ import annotations

import gc
import time

import pytest

from benchmarks.errors import TooShortError
from benchmarks.harness import interleave, ratio


def test_contestants_take_turns_and_a_slower_one_is_slower() -> None:
    calls: list[str] = []

    def quick() -> None:
        calls.append("quick")
        time.sleep(0.001)

    def slow() -> None:
        calls.append("slow")
        time.sleep(0.004)

    samples = interleave({"quick": quick, "slow": slow}, repeats=6, warmups=1, sample_ns=200_000)
    assert {name: len(values) for name, values in samples.items()} == {"quick": 6, "slow": 6}
    assert calls[-12:] == ["quick", "slow"] * 6
    assert min(samples["slow"]) >= 4_000_000
    assert ratio(samples, "slow", "quick") > 1


def test_fast_calls_share_a_sample_and_are_reported_per_call() -> None:
    calls = 0

    def fast() -> None:
        nonlocal calls
        calls += 1

    started = time.perf_counter_ns()
    samples = interleave({"fast": fast}, repeats=5, warmups=1, sample_ns=1_000_000)["fast"]
    elapsed = time.perf_counter_ns() - started
    assert calls > 1_000
    # All samples together lasted several milliseconds, so a value near that would be a sample, not a call.
    assert max(samples) < elapsed / 1_000


def test_too_few_repeats_and_too_short_samples_are_refused() -> None:
    with pytest.raises(TooShortError, match="at least 5 repeats"):
        interleave({"a": list}, repeats=4, warmups=0)
    with pytest.raises(TooShortError, match="at least 200000 ns"):
        interleave({"a": list}, repeats=5, warmups=0, sample_ns=1_000)


def test_the_garbage_collector_is_off_while_timing_and_on_again_after_an_error() -> None:
    def fail() -> None:
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError):
        interleave({"a": fail}, repeats=5, warmups=0)
    assert gc.isenabled()
