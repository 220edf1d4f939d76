"""SIGKILL at random moments of a save; the snapshot must be the old one or the new one. Run as `kills FOLDER COUNT`."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.robustness.operations import state
from benchmarks.robustness.outcome import Outcome, report
from edge_imprint.errors import EdgeImprintError
from edge_imprint.head import ImprintHead

DIM, BUDGET = 256, "64KB"
TEMPORARY = ".edge-imprint-*.tmp"


def kill(folder: Path, count: int) -> Outcome:
    """Processes that save two heads in turns, killed one after the other."""
    outcome = Outcome("kill -9 while saving")
    path = folder / "head.eimp"
    heads = [_head(seed) for seed in (0, 1)]
    states = {state(head) for head in heads}
    heads[0].save(path)
    chance = random.Random(0)
    took = _seconds_of_a_save(heads[1], path)
    halfway = 0
    for _ in range(count):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    for head in heads:
                        head.save(path)
            finally:
                os._exit(1)
        time.sleep(chance.uniform(2, 5) * took)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        halfway += len(list(folder.glob(TEMPORARY)))
        try:
            whole = state(ImprintHead.load(path)) in states
        except EdgeImprintError as error:
            outcome.judge(str(error), lost=max(map(len, states)))
            continue
        outcome.judge(None if whole else "neither of the two heads", lost=0 if whole else max(map(len, states)))
        outcome.operations += 1
    heads[0].save(path)
    left = list(folder.glob(TEMPORARY))
    if left:
        outcome.judge(f"{len(left)} temporary files were not swept away")
    if halfway < count // 20:
        raise BenchmarkError(f"only {halfway} of {count} kills came in the middle of a save: too few to show anything")
    return outcome


def _head(seed: int) -> ImprintHead:
    rng = np.random.default_rng(seed)
    return ImprintHead(DIM, BUDGET).partial_fit(rng.normal(size=(100, DIM)), [f"thing {n % 50}" for n in range(100)])


def _seconds_of_a_save(head: ImprintHead, path: Path) -> float:
    taken = []
    for _ in range(7):
        start = time.perf_counter()
        head.save(path)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[3]


if __name__ == "__main__":
    report(kill(Path(sys.argv[1]), int(sys.argv[2])))
