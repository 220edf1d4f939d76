"""A suite's result, one JSON file: measurements with raw samples, targets, and where they were measured."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from benchmarks import machine
from benchmarks.errors import BenchmarkError

SCHEMA = 1
FOLDER = Path(__file__).resolve().parent / "results"
Param = str | int | float | bool
Summary = Literal["mean", "median", "max"]


@dataclass(frozen=True)
class Measurement:
    """One number with its origin.

    `value` is the `summary` of `samples`; `spread` is the standard error for a mean (null for one sample)
    and the two quartiles for a median. `kind` is how the number came about: `measured`, or `emulated`, an
    emulator's count.
    """

    name: str
    params: dict[str, Param]
    unit: str
    summary: Summary
    value: float
    spread: dict[str, float | None]
    samples: list[float]
    kind: str = "measured"


@dataclass(frozen=True)
class Target:
    """What the project promises: `value` against `limit`, and whether it holds."""

    name: str
    rule: str
    value: float
    unit: str
    holds: bool


@dataclass
class Result:
    """Everything that one run of one suite found."""

    suite: str
    quick: bool
    seeds: int
    date: str = ""
    commit: str = ""
    wall_s: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    schema: int = SCHEMA

    def add(
        self,
        name: str,
        unit: str,
        samples: Sequence[float],
        where: Mapping[str, Param],
        summary: Summary = "mean",
        kind: str = "measured",
    ) -> Measurement:
        """Summarise raw samples, measured or emulated where these parameters say, and keep both."""
        raw = [float(sample) for sample in samples]
        value, spread = summarise(raw, summary)
        found = Measurement(name, dict(where), unit, summary, value, spread, raw, kind)
        self.measurements.append(found)
        return found

    def promise(self, name: str, rule: str, value: float, unit: str, holds: bool) -> None:
        """Record a target of the project and whether this run reached it."""
        self.targets.append(Target(name, rule, float(value), unit, bool(holds)))

    def skip(self, reason: str) -> None:
        """Note why something was not measured, once."""
        if reason not in self.skipped:
            self.skipped.append(reason)

    def select(self, name: str, **params: Param) -> Iterator[Measurement]:
        """Measurements of that name whose parameters include the given ones, in the order they were made."""
        for found in self.measurements:
            if found.name == name and all(found.params.get(key) == value for key, value in params.items()):
                yield found

    def one(self, name: str, **params: Param) -> Measurement:
        """The only measurement that fits.

        Raises:
            BenchmarkError: none or several fit.
        """
        found = list(self.select(name, **params))
        if len(found) != 1:
            raise BenchmarkError(f"{self.suite}: expected one {name} with {params}; found {len(found)}")
        return found[0]


def summarise(samples: Sequence[float], summary: Summary) -> tuple[float, dict[str, float | None]]:
    """Value and spread of raw samples (at least one)."""
    if summary == "mean":
        several = len(samples) > 1
        error = statistics.stdev(samples) / math.sqrt(len(samples)) if several else None
        return statistics.fmean(samples), {"standard_error": error}
    if summary == "median":
        low, high = _quartiles(samples)
        return statistics.median(samples), {"quartile_1": low, "quartile_3": high}
    return max(samples), {}


def _quartiles(samples: Sequence[float]) -> tuple[float, float]:
    if len(samples) < 2:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


class Stopwatch:
    """Fills a result's head (machine, versions, date) on entry and its wall time on exit."""

    def __init__(self, result: Result) -> None:
        self.result = result

    def __enter__(self) -> Result:
        self.result.machine = machine.describe()
        self.result.versions = machine.versions()
        self.result.commit = machine.commit()
        self.result.date = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._start = time.perf_counter()
        return self.result

    def __exit__(self, *_: object) -> None:
        self.result.wall_s = round(time.perf_counter() - self._start, 2)


def save(result: Result, folder: Path = FOLDER) -> Path:
    """Write `<suite>.json` by way of a temporary file, one measurement a line so that a diff can be read."""
    folder.mkdir(parents=True, exist_ok=True)
    content = dataclasses.asdict(result)
    rows = {key: content.pop(key) for key in ("targets", "measurements")}
    head = json.dumps({"schema": content.pop("schema"), **content}, indent=1)
    parts = [head[: head.rindex("\n")]]
    for key, items in rows.items():
        lines = ",\n".join("  " + json.dumps(_short(item)) for item in items)
        parts.append(f',\n "{key}": [\n{lines}\n ]' if items else f',\n "{key}": []')
    path = folder / f"{result.suite}.json"
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text("".join(parts) + "\n}\n", encoding="utf-8")
    temporary.replace(path)
    return path


def load(suite: str, folder: Path = FOLDER) -> Result:
    """Read a result back.

    Raises:
        BenchmarkError: missing, not JSON, or of another schema version.
    """
    path = folder / f"{suite}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchmarkError(f"no result {path.name}; make it with: python -m benchmarks run {suite}") from None
    except ValueError as error:
        raise BenchmarkError(f"{path.name} is not JSON ({error}); run the suite again") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        version = content.get("schema") if isinstance(content, dict) else None
        raise BenchmarkError(f"{path.name} has schema {version}; this version reads {SCHEMA}. Run the suite again")
    try:
        content["targets"] = [Target(**item) for item in content["targets"]]
        content["measurements"] = [Measurement(**item) for item in content["measurements"]]
        return Result(**content)
    except (KeyError, TypeError) as error:
        raise BenchmarkError(f"{path.name} lacks or adds a field ({error}); run the suite again") from None


def _short(item: Any) -> Any:
    """The same with floats of 9 significant digits: more than any clock here resolves, half the bytes."""
    if isinstance(item, float):
        return float(f"{item:.9g}")
    if isinstance(item, dict):
        return {key: _short(value) for key, value in item.items()}
    if isinstance(item, list):
        return [_short(value) for value in item]
    return item
