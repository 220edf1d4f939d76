"""Several processes on one snapshot: the command line teaches it, some are killed, somebody reads it all the time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.context import Context
from benchmarks.machine import ROOT
from benchmarks.robustness.outcome import Outcome
from benchmarks.robustness.pictures import encoded, views
from edge_imprint.errors import EdgeImprintError
from edge_imprint.head import ImprintHead

AT_ONCE = 3
KILLED_SHARE = 0.25
LESSON_S = (0.1, 1.5)


def share(folder: Path, lessons: int, context: Context) -> list[Outcome]:
    """Lessons at once, each in a process; then the same with some of them killed at a random moment."""
    picture = folder / "cat.jpg"
    picture.write_bytes(encoded(views()["cat"][0], "JPEG"))
    peaceful = Outcome("processes teach one snapshot at once: no lesson lost")
    _teach(folder / "peaceful.eimp", picture, lessons, 0.0, peaceful, context)
    killed = Outcome("the same, and some are killed")
    _teach(folder / "killed.eimp", picture, lessons, KILLED_SHARE, killed, context)
    return [peaceful, killed]


def _teach(path: Path, picture: Path, lessons: int, share_killed: float, outcome: Outcome, context: Context) -> None:
    chance = random.Random(0)
    command = [sys.executable, "-m", "edge_imprint.cli", "learn"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    stop = threading.Event()
    torn: list[str] = []
    reader = threading.Thread(target=_read, args=(path, stop, torn, outcome))
    reader.start()
    done, uncertain = 0, 0
    try:
        for first in context.track(range(0, lessons, AT_ONCE), outcome.fault[:40]):
            running = [
                subprocess.Popen(
                    [*command, f"thing {(first + number) % 5}", str(picture), "--state", str(path), "--json"],
                    env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                )
                for number in range(AT_ONCE)
            ]  # fmt: skip
            for process in running:
                if chance.random() < share_killed:
                    time.sleep(chance.uniform(*LESSON_S))
                    process.send_signal(signal.SIGKILL)
            for process in running:
                error = process.communicate()[1].decode(errors="replace").strip()
                outcome.operations += 1
                if process.returncode == 0:
                    done += 1
                elif process.returncode == -signal.SIGKILL:
                    uncertain += 1
                else:
                    outcome.judge(f"a lesson ended with {process.returncode}: {error}")
    finally:
        stop.set()
        reader.join()
    for problem in torn:
        outcome.judge(problem, lost=path.stat().st_size)
    learnt = sum(ImprintHead.load(path).shots_per_class().values())
    # Who was killed may or may not have saved by then; who said that it worked has.
    for _ in range(done + uncertain):
        outcome.judge(None)
    if not done <= learnt <= done + uncertain:
        outcome.survived -= abs(learnt - done)
        outcome.wrong = (*outcome.wrong, f"{learnt} lessons in the snapshot; {done} done and {uncertain} killed")


def _read(path: Path, stop: threading.Event, torn: list[str], outcome: Outcome) -> None:
    while not stop.wait(0.01):
        if path.exists():
            try:
                ImprintHead.load(path)
            except EdgeImprintError as error:
                torn.append(str(error))
            outcome.operations += 1
