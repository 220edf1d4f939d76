"""Disks that are full, read-only, forbidden or limited. Run as `disks FOLDER STEPS` in a mount namespace of its own.

Whatever is mounted here goes with the process: nobody else sees it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.robustness.operations import state
from benchmarks.robustness.outcome import Outcome, report
from edge_imprint.errors import StorageError
from edge_imprint.head import ImprintHead

DIM = 256
PAGE = 4096
NOBODY = 65534


def _head(classes: int) -> ImprintHead:
    shots = np.random.default_rng(classes).normal(size=(classes, DIM))
    return ImprintHead(DIM, "256KB").partial_fit(shots, [f"thing {number}" for number in range(classes)])


def _try(outcome: Outcome, path: Path, old: ImprintHead, new: ImprintHead, what: str) -> None:
    """Save where it must fail: a StorageError, the old snapshot whole, nothing left beside it."""
    before = {entry.name for entry in path.parent.iterdir()}
    outcome.operations += 1
    try:
        new.save(path)
    except StorageError:
        problem = None
    else:
        problem = f"{what}: the save says that it worked"
    kept = path.read_bytes() == state(old)
    if not kept:
        problem = f"{what}: the old snapshot is gone"
    elif {entry.name for entry in path.parent.iterdir()} != before:
        problem = f"{what}: something was left behind"
    outcome.judge(problem, lost=0 if kept else len(state(old)))


def full(folder: Path, steps: int) -> Outcome:
    """A disk with less room than the new snapshot needs, from none to one page too little; then with enough."""
    outcome = Outcome("disk full")
    old, new = _head(20), _head(200)
    path, ballast = folder / "head.eimp", folder / "ballast"
    need = -(-len(state(new)) // PAGE)
    # A page for the ballast itself; what is free is then exactly what is meant.
    _mount(folder, f"size={(need + 40) * PAGE}")
    old.save(path)
    for free in np.unique(np.linspace(0, need - 1, steps).astype(int)).tolist():
        _fill(ballast, free)
        _try(outcome, path, old, new, f"{free} pages free of {need} needed")
        ballast.unlink()
    new.save(path)
    outcome.operations += 1
    if path.read_bytes() != state(new):
        outcome.judge("with room again the save does not work", lost=len(state(new)))
    return outcome


def read_only(folder: Path) -> Outcome:
    """A read-only disk, a folder without permission, no folder, a device in place of a file."""
    outcome = Outcome("read-only disk or folder, no folder, no file")
    old, new = _head(20), _head(200)
    path = folder / "head.eimp"
    _mount(folder, "size=1m")
    old.save(path)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    _try(outcome, path, old, new, "read-only disk")
    with tempfile.TemporaryDirectory() as other:
        forbidden = Path(other) / "head.eimp"
        old.save(forbidden)
        Path(other).chmod(0o555)
        os.seteuid(NOBODY)
        try:
            _try(outcome, forbidden, old, new, "folder without permission")
        finally:
            os.seteuid(0)
    for target in ("/nowhere/head.eimp", "/dev/full", str(folder), f"{path}/head.eimp"):
        outcome.operations += 1
        try:
            new.save(target)
        except StorageError:
            outcome.judge(None)
        else:
            outcome.judge(f"{target}: the save says that it worked")
    return outcome


def limited(folder: Path, steps: int) -> Outcome:
    """A limit on the size of files: the write stops half-way, at every place."""
    outcome = Outcome("file size limit, the write stops half-way")
    old, new = _head(20), _head(200)
    path = folder / "limited.eimp"
    old.save(path)
    for limit in np.linspace(0, len(state(new)) - 1, steps).astype(int).tolist():
        with _file_size(limit):
            _try(outcome, path, old, new, f"limit of {limit} bytes")
    return outcome


@contextlib.contextmanager
def _file_size(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _mount(folder: Path, options: str) -> None:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"a small disk cannot be mounted: {done.stderr.strip()}")


def _fill(ballast: Path, pages: int) -> None:
    """Fill the disk but for so many pages."""
    status = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        file.write(bytes((status.f_bavail - pages) * status.f_frsize))
    free = os.statvfs(ballast.parent).f_bavail
    if free != pages:
        raise BenchmarkError(f"{pages} pages should be free on the small disk; there are {free}")


if __name__ == "__main__":
    root, steps = Path(sys.argv[1]), int(sys.argv[2])
    report(limited(root, steps))
    if os.geteuid() == 0:
        report(full(root / "full", steps))
        report(read_only(root / "read_only"))
