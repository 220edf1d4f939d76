"""Two runs side by side: what differs, and whether the ratios that README and docs/RESULTS.md state agree.

A time depends on the day and on the machine; a ratio of two times that took turns should not. So only ratios decide:
targets in "x", and measurements whose name says that they are one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.errors import BenchmarkError
from benchmarks.results import Measurement, Result

TIMES = ("ns", "us", "ms", "s", "GB/s", "GMAC/s")
DISAGREE = 1


@dataclass(frozen=True)
class Row:
    """One number in two runs.

    Attributes:
        suite: it is of.
        what: its name and parameters.
        unit: of both values.
        first: value of the first run.
        second: of the second.
        ratio: second to first; None where the first is 0.
        decides: whether it is a ratio that a page may state.
    """

    suite: str
    what: str
    unit: str
    first: float
    second: float
    decides: bool

    @property
    def ratio(self) -> float | None:
        return self.second / self.first if self.first else None

    def agrees(self, limit: float) -> bool:
        """Whether the larger is at most `limit`, such as 0.1, above the smaller."""
        low, high = sorted((abs(self.first), abs(self.second)))
        return self.first == self.second or (self.first * self.second > 0 and high <= low * (1 + limit))


def is_ratio(found: Measurement) -> bool:
    """Whether a measurement is a ratio of two others."""
    return found.unit == "x" or found.name == "ratio" or found.name.endswith("_ratio")


def rows(first: Result, second: Result) -> Iterator[Row]:
    """Numbers that both runs have, ratios and times; the order is the first's."""
    theirs = {_key(found): found for found in second.measurements}
    for found in first.measurements:
        other = theirs.get(_key(found))
        if other is not None and other.unit == found.unit and (is_ratio(found) or found.unit in TIMES):
            what = " ".join([found.name, *(f"{key}={value}" for key, value in found.params.items())])
            yield Row(first.suite, what, found.unit, found.value, other.value, is_ratio(found))
    targets = {(target.name, target.rule): target for target in second.targets}
    for target in first.targets:
        twin = targets.get((target.name, target.rule))
        if target.unit == "x" and twin is not None:
            yield Row(first.suite, f"{target.name}: {target.rule}", "x", target.value, twin.value, True)


def _key(found: Measurement) -> tuple[str, str]:
    return found.name, json.dumps(found.params, sort_keys=True)


def pairs(first: Path, second: Path) -> list[tuple[Result, Result]]:
    """Results of the suites that two folders both have, or of two files.

    Raises:
        BenchmarkError: a path is neither, a result is of another schema, of another suite or quick, or none is in both.
    """
    if first.is_file() and second.is_file():
        names = [(first.stem, second.stem)]
        folders = first.parent, second.parent
    elif first.is_dir() and second.is_dir():
        folders = first, second
        names = [(path.stem, path.stem) for path in sorted(first.glob("*.json")) if (second / path.name).is_file()]
    else:
        wrong = next((path for path in (first, second) if not path.exists()), None)
        problem = f"{wrong} does not exist" if wrong else f"{first} and {second} are of two kinds"
        raise BenchmarkError(f"compare takes two result files or two folders of them; {problem}")
    if not names:
        raise BenchmarkError(f"no suite has a result in both {first} and {second}; run one twice, with --out")
    found = [(results.load(one, folders[0]), results.load(other, folders[1])) for one, other in names]
    for a, b in found:
        if a.suite != b.suite:
            raise BenchmarkError(f"only results of one suite can be compared; got {a.suite} and {b.suite}")
        for result in (a, b):
            if result.quick:
                raise BenchmarkError(f"a quick run of {result.suite} is a smoke test; run it without --quick")
    return found


def main(first: Path, second: Path, *, percent: float, as_json: bool, console: Console) -> int:
    """Print the comparison; 1 when a ratio differs by more than `percent`, else 0."""
    limit = percent / 100
    found = [row for a, b in pairs(first, second) for row in rows(a, b)]
    deciding = [row for row in found if row.decides]
    apart = [row for row in deciding if not row.agrees(limit)]
    if as_json:
        listed = [{**asdict(row), "ratio": row.ratio, "agrees": row.agrees(limit)} for row in found]
        print(json.dumps({"limit_percent": percent, "ratios": len(deciding), "apart": len(apart), "rows": listed}))
        return DISAGREE if apart else 0
    table = Table(box=None, pad_edge=False)
    for title in ("suite", "what"):
        table.add_column(title, overflow="fold")
    for title in ("first", "second", "ratio", ""):
        table.add_column(title, justify="right")
    for row in found:
        if row.agrees(limit):
            continue
        shown = "" if row.ratio is None else f"{row.ratio:.2f}"
        mark = "ratio, apart" if row.decides else "time"
        table.add_row(row.suite, row.what, f"{row.first:.4g}", f"{row.second:.4g}", shown, mark)
    if table.row_count:
        console.print(table)
    console.print(
        f"{len(deciding) - len(apart)} of {len(deciding)} ratios agree within {percent:g} %; "
        f"{sum(not row.agrees(limit) for row in found if not row.decides)} of "
        f"{sum(not row.decides for row in found)} times differ by more",
        soft_wrap=True,
    )
    return DISAGREE if apart else 0
