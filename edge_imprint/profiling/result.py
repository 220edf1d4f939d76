"""A profile: what was measured, as an object and as JSON that a later version either reads or refuses by name."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from edge_imprint.atomic import replace_file, storage_errors
from edge_imprint.errors import ProfileError
from edge_imprint.profiling.sysfs import is_missing

SCHEMA = "edge-imprint/profile/1"
WHOLE = "frame to answer"
"""The stage that a camera's user waits for."""
_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Stage:
    """One step, run again and again.

    Attributes:
        samples_us: microseconds of each run that counts, in their order.
        warm_ups: runs before those.
    """

    samples_us: tuple[float, ...]
    warm_ups: int

    def percentile(self, p: float) -> float:
        """Microseconds that p % of the runs stay within, interpolated linearly."""
        return float(np.percentile(self.samples_us, p))

    @property
    def jitter_us(self) -> float:
        """By how much the slow runs exceed the usual one: the 99th percentile less the median."""
        return self.percentile(99) - self.percentile(50)

    def as_dict(self) -> dict[str, Any]:
        """Summary and samples, for JSON."""
        summary = {f"p{p}_us": round(self.percentile(p), 3) for p in _PERCENTILES}
        return {
            **summary,
            "jitter_us": round(self.jitter_us, 3),
            "warm_ups": self.warm_ups,
            "repeats": len(self.samples_us),
            "samples_us": [round(sample, 3) for sample in self.samples_us],
        }


@dataclass(frozen=True)
class Profile:
    """What `profile` found on one machine. Dictionaries are plain JSON; docs/PROFILE.md names every field.

    A value that could not be had is `{"not_available": why}`.

    Attributes:
        date: when it was made, ISO 8601 in UTC.
        machine: `machine.describe`.
        runtimes: versions, and the kernel of the head.
        bundle: the backbone: name, file, runtime, dim, digest.
        head: method, budget, bytes used, classes, proxies, shots, and whether it was made up.
        settings: what was asked for.
        stages: name to `Stage`, in the order in which a picture meets them.
        camera: frames at the rate that was asked for: seen, dropped, answered in a second.
        memory: bytes of a process of its own: peak, steady, what took them, and a timeline.
        cold_start: milliseconds from nothing to the first answer, in processes of their own.
        thermal: before and after.
        power: while the camera ran.
        overhead_us: what measuring adds to each sample.
    """

    date: str
    machine: dict[str, Any]
    runtimes: dict[str, Any]
    bundle: dict[str, Any]
    head: dict[str, Any]
    settings: dict[str, Any]
    stages: dict[str, Stage]
    camera: dict[str, Any]
    memory: dict[str, Any]
    cold_start: dict[str, Any]
    thermal: dict[str, Any]
    power: dict[str, Any]
    overhead_us: float
    schema: str = field(default=SCHEMA)

    def as_dict(self) -> dict[str, Any]:
        """The whole of it, ready for JSON."""
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {"schema": plain.pop("schema"), **plain, "stages": {n: s.as_dict() for n, s in self.stages.items()}}

    def save(self, path: Path) -> None:
        """Write it as JSON; an older file stays until the new one is whole.

        Raises:
            StorageError: the file cannot be written.
        """
        replace_file(path, (json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Profile:
        """Read a file that `save` wrote.

        Raises:
            StorageError: the file cannot be read.
            ProfileError: it is no profile of a machine, of another version, or lacks something.
        """
        return cls.from_dict(read_json(path), str(path))

    @classmethod
    def from_dict(cls, plain: Any, name: str = "the profile") -> Profile:
        """The inverse of `as_dict`; raises ProfileError as `load`."""
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if str(schema).startswith("edge-imprint/device-profile/"):
            raise ProfileError(
                f"profiles of one kind are compared; {name} is a microcontroller's ({schema}), not {SCHEMA}. Name two "
                "that edge-imprint profile made without --port"
            )
        if schema != SCHEMA:
            raise ProfileError(
                f"a profile must have the schema {SCHEMA}; {name} has {schema!r}. Make it again with this version of "
                "edge-imprint profile"
            )
        wanted = {entry.name: entry.type for entry in fields(cls)}
        for key, kind in wanted.items():
            if not isinstance(plain.get(key), _KINDS[str(kind).partition("[")[0]]):
                raise ProfileError(f"a profile must have {key!r}; in {name} it is missing or no {kind}. Make it again")
        for section, keys in _NUMBERS.items():
            for key in () if is_missing(plain[section]) else keys:
                value = plain[section].get(key)
                if not is_amount(value) and not is_missing(value):
                    raise ProfileError(
                        f"a profile must have a number of at least 0, or not_available, as {section} {key!r}; in "
                        f"{name} it is {value!r}. Make it again"
                    )
        stages = {key: _stage(value, f"{name}: stage {key!r}") for key, value in plain["stages"].items()}
        return cls(**{**{key: plain[key] for key in wanted}, "stages": stages})


_KINDS: dict[str, Any] = {"str": str, "dict": dict, "float": (int, float)}
# What comparing and budgets read.
_NUMBERS = {
    "camera": ("answered_fps", "dropped"),
    "memory": ("peak_bytes", "steady_bytes", "pss_bytes"),
    "cold_start": ("import_ms", "construct_ms", "first_prediction_ms", "total_ms"),
}


def _stage(plain: Any, name: str) -> Stage:
    samples = plain.get("samples_us") if isinstance(plain, dict) else None
    warm_ups = plain.get("warm_ups") if isinstance(plain, dict) else None
    if (
        not isinstance(samples, list)
        or not samples
        or not all(map(is_amount, samples))
        or not isinstance(warm_ups, int)
    ):
        raise ProfileError(f"a stage must have samples_us, times of at least one run, and warm_ups; {name} has not")
    return Stage(tuple(map(float, samples)), warm_ups)


def is_amount(value: Any) -> bool:
    """Whether a value of JSON is a number of at least 0: a time, a count, bytes."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def read_json(path: Path) -> Any:
    """What a profile's file holds.

    Raises:
        StorageError: the file cannot be read.
        ProfileError: it is no JSON.
    """
    with storage_errors("read", path):
        content = path.read_bytes()
    try:
        return json.loads(content)
    except ValueError as error:
        raise ProfileError(f"a profile must be JSON; {path}: {error}. Make it with: edge-imprint profile") from None


def stage(samples_ns: Sequence[int], warm_ups: int) -> Stage:
    """A stage of samples in nanoseconds."""
    return Stage(tuple(sample / 1000 for sample in samples_ns), warm_ups)
