"""What a benchmark refuses to do, each with its reason."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A benchmark cannot run or its result cannot be used; the message says why and what to do."""


class DataMissingError(BenchmarkError):
    """Pictures or a backbone are not on this machine: the suite skips with this reason."""


class TooShortError(BenchmarkError):
    """A run is too short to trust; the message names the length that would do."""
