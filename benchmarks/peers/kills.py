"""SIGKILL at random moments while a contestant saves over an existing file; then the file is opened.

In processes of their own, `python -m benchmarks.peers.kills COUNT`: nothing but the contestant runs in what is killed
and in what opens the file, which a broken one may crash. A kill ends a process, not the machine: what the disk does at
a loss of power is another question.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.context import Context, Draw
from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.peers.measuring import taught
from benchmarks.peers.peer import Entry, Peer, Setting
from benchmarks.peers.registry import installed
from benchmarks.results import Result

DIM, CLASSES, SHOTS = 256, 50, 5
OPEN_S = 20
OUTCOMES = ("old or new", "neither", "does not open", "crashes")
"""What was found: one of the two states; an answer that is none of them; an exception; a signal or an exit."""


def measure(context: Context, result: Result, count: int) -> None:
    """Try every contestant `count` times, in a process of their own, and keep how often each outcome came.

    Raises:
        BenchmarkError: that process failed; the text is the end of what it said.
    """
    with context.console.status(f"kill -9 while saving, {count} times each"):
        command = [sys.executable, "-m", "benchmarks.peers.kills", str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"the process that kills saves failed: {done.stderr.strip()[-500:]}")
    for name, outcomes in json.loads(done.stdout.splitlines()[-1]).items():
        for outcome, times in outcomes.items():
            result.add("kills", "", [times], {"peer": name, "outcome": outcome}, "max")


def kill(entry: Entry, folder: Path, count: int) -> dict[str, int]:
    """Outcomes of `count` kills."""
    path = folder / "state.bin"
    rng = np.random.default_rng(0)
    queries = _unit(rng.normal(size=(60, DIM)))
    peers = [taught(entry, _lesson(seed), None) for seed in (1, 2)]
    answers = [peer.predict(queries).tolist() for peer in peers]
    if answers[0] == answers[1]:
        raise BenchmarkError(f"{entry.title}: the two states answer alike, so they cannot be told apart")
    peers[0].save(path)
    took_s = _seconds_of_a_save(peers, path)
    if (whole := _open(entry, path, queries, answers)) != OUTCOMES[0]:
        raise BenchmarkError(f"{entry.title}: a file that nobody disturbed: {whole}")
    chance = random.Random(0)
    found = dict.fromkeys(OUTCOMES, 0)
    for _ in range(count):
        child = os.fork()
        if child == 0:
            _save_for_ever(peers, path)
        time.sleep(chance.uniform(2, 5) * took_s)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found[_open(entry, path, queries, answers)] += 1
        peers[0].save(path)
    return found


def _lesson(seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    labels = np.array([f"thing {at % CLASSES:02}" for at in range(CLASSES * SHOTS)])
    return Draw(_unit(rng.normal(size=(len(labels), DIM))), labels)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _seconds_of_a_save(peers: list[Peer], path: Path) -> float:
    taken = []
    for turn in range(7):
        start = time.perf_counter()
        peers[1 - turn % 2].save(path)
        taken.append(time.perf_counter() - start)
    peers[0].save(path)
    return sorted(taken)[3]


def _save_for_ever(peers: list[Peer], path: Path) -> None:
    try:
        while True:
            for peer in reversed(peers):
                peer.save(path)
    finally:
        os._exit(1)


def _open(entry: Entry, path: Path, queries: NDArray[np.float32], answers: list[list[str]]) -> str:
    """Open the file in a process of its own and ask."""
    child = os.fork()
    if child == 0:
        code = len(OUTCOMES) - 1
        try:
            signal.alarm(OPEN_S)
            os.close(2)  # libraries write of broken files there
            peer = entry.make(Setting(DIM, [f"thing {at:02}" for at in range(CLASSES)]))
            peer.restore(path)
            peer.settle()
            code = int(peer.predict(queries).tolist() not in answers)
        except Exception:
            code = 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return OUTCOMES[os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else len(OUTCOMES) - 1]


def main(count: int) -> None:
    """Try every contestant and print what was found as JSON."""
    found = {}
    for name, entry in installed(Result("peers", quick=True, seeds=1)).items():
        with tempfile.TemporaryDirectory(prefix="eimp-kills-") as folder, threadpool_limits(1):
            found[name] = kill(entry, Path(folder), count)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
