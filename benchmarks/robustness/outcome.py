"""What one kind of fault did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.results import Result


@dataclass
class Outcome:
    """Figures of one kind of fault.

    Attributes:
        fault: its name.
        operations: calls, saves and processes in the course of it.
        injected: faults among them.
        survived: those after which everything was as promised.
        bytes_lost: of snapshots that were neither the old nor the new one.
        wrong: what was not as promised, the first few.
    """

    fault: str
    operations: int = 0
    injected: int = 0
    survived: int = 0
    bytes_lost: int = 0
    wrong: tuple[str, ...] = ()

    def judge(self, problem: str | None, lost: int = 0) -> None:
        """Count one injected fault: None where everything was as promised."""
        self.injected += 1
        self.bytes_lost += lost
        if problem is None:
            self.survived += 1
        elif len(self.wrong) < 5:
            self.wrong = (*self.wrong, problem[:200])

    def record(self, result: Result) -> None:
        """Into the result, with what it promises."""
        for name in ("operations", "injected", "survived", "bytes_lost"):
            result.add(
                name, "bytes" if name == "bytes_lost" else "", [getattr(self, name)], {"fault": self.fault}, "max"
            )
        if self.wrong:
            result.settings.setdefault("wrong", {})[self.fault] = list(self.wrong)
        survived = self.injected > 0 and self.survived == self.injected
        result.promise(
            f"robustness: {self.fault}", "every fault survived", self.injected - self.survived,
            f"not survived of {self.injected:,}", survived,
        )  # fmt: skip
        result.promise(f"robustness: {self.fault}", "no byte lost", self.bytes_lost, "bytes", self.bytes_lost == 0)


def start(
    module: str, *arguments: object, before: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """A process of its own that runs a module of this package and reports on its standard output."""
    command = [*before, sys.executable, "-m", f"benchmarks.robustness.{module}", *map(str, arguments)]
    known = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    return subprocess.Popen(command, cwd=ROOT, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def reports(process: subprocess.Popen[str]) -> Iterator[dict[str, object]]:
    """The JSON lines that a process reports, as they come.

    Raises:
        BenchmarkError: it failed.
    """
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            yield json.loads(line)
        said = process.stderr.read().strip()
    if process.returncode != 0:
        raise BenchmarkError(f"{process.args!r} failed with status {process.returncode}: {said[-800:]}")


def report(content: dict[str, object] | Outcome) -> None:
    """Write one line for `reports`."""
    print(json.dumps(asdict(content) if isinstance(content, Outcome) else content), flush=True)
