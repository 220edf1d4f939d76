"""A wall clock that jumps by years at every look: the same operations must end in the same bytes.

Run as `clocks FOLDER OPERATIONS` it does the operations and reports how they ended and how often the clock went back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.results import Result
from benchmarks.robustness.operations import Course
from benchmarks.robustness.outcome import Outcome, report, reports, start
from benchmarks.robustness.pictures import encoded, views
from edge_imprint.head import ImprintHead

LOOKS = 1_000
SOURCE = Path(__file__).with_name("jumping_clock.c")


def jump(folder: Path, operations: int, result: Result) -> list[Outcome]:
    """The same course with and without jumps; then lessons and answers of the command line."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        result.skip("clock jumps need Linux and a C compiler; on Debian: apt-get install gcc")
        return []
    library = folder / "jumping_clock.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(library)], check=True)
    jumping = {**os.environ, "LD_PRELOAD": str(library)}
    outcome = Outcome("the wall clock jumps by years")
    calm, wild = (next(reports(start("clocks", folder, operations, environment=known))) for known in ({}, jumping))
    if calm["went_back"] or not wild["went_back"]:
        raise BenchmarkError(f"the clock should jump in one of two processes; it went back {calm} and {wild}")
    same = calm["digest"] == wild["digest"]
    outcome.operations += 2 * operations
    outcome.judge(None if same else "operations ended differently", 0 if same else 1)
    picture = folder / "cup.jpg"
    picture.write_bytes(encoded(views()["cup"][0], "JPEG"))
    answers = [_command_line(folder / f"{name}.eimp", picture, known, outcome)
               for name, known in (("calm", {**os.environ}), ("wild", jumping))]  # fmt: skip
    outcome.judge(None if answers[0] == answers[1] else "the command line answers differently")
    return [outcome]


def _command_line(path: Path, picture: Path, environment: dict[str, str], outcome: Outcome) -> tuple[bytes, bytes]:
    """What learn leaves and what predict says."""
    known = {**environment, "PYTHONPATH": str(ROOT)}
    said = b""
    for words in (("learn", "cup"), ("predict",)):
        command = [sys.executable, "-m", "edge_imprint.cli", *words, str(picture), "--state", str(path), "--json"]
        done = subprocess.run(command, env=known, capture_output=True, check=False)
        outcome.operations += 1
        outcome.judge(None if done.returncode == 0 else done.stderr.decode(errors="replace"))
        said = done.stdout
    return path.read_bytes() if path.exists() else b"", said


def _report(folder: Path, operations: int) -> None:
    before, went_back = time.time(), 0
    for _ in range(LOOKS):
        now = time.time()
        went_back += now < before
        before = now
    head = ImprintHead(64, "8KB", undo=True)
    content: dict[str, Any] = {"digest": Course(head, folder / "clock.eimp", 0).run((1,), operations)}
    report({**content, "went_back": went_back})


if __name__ == "__main__":
    _report(Path(sys.argv[1]), int(sys.argv[2]))
