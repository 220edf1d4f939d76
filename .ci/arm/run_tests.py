"""Test edge-imprint on emulated ARM machines: `python .ci/arm/run_tests.py [aarch64] [armv7l]`.

Roots are made where the cache lacks them; the project's wheel is cross-compiled from this checkout; pytest runs inside
each root on each of its boards. What this machine makes of the same pictures and shots is what the ARM machines compare
with.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import machine
import roots
import wheel
from roots import PROJECT, PYTHON, Root, SetupError

# What a user does, the kernels and the golden vectors, the head's on numpy and on the C library: on every board.
EVERYWHERE = [
    *(f"tests/arm/test_arm_{part}.py" for part in ("machine", "learner")),
    *(f"tests/head/test_head_{part}.py" for part in ("golden", "codec", "undo")),
]
# With --thorough, on each root's first board: what depends on the compiled code alone.
ONCE = [
    *(f"tests/head/test_head_{part}.py" for part in ("bad_input", "degenerate", "determinism", "fixed", "merge")),
    "tests/snapshot",
    "tests/arm/test_arm_identity.py",
]
# Minutes under an emulator; or about killed processes and full disks, not the processor; or the emulator fails them:
# its notes about the pages of a bare mapping of 1 GiB cost it 7 MB.
LEFT_OUT = [
    "a_claimed_gigabyte",
    "digits_taught_in_halves",  # needs scikit-learn, which the roots do not have
    "a_thousand_classes",
    "random_damage_under_right_checksums",
    "column_of_noise",
    "sigkill",
    "ctrl_c",
    "full_disk",
    "read_only_disk",
    "the_same_shot_many_times",
]
Result = TypeVar("Result")


def timed(what: str, work: Callable[[], Result]) -> Result:
    """Do something and say how long it took."""
    print(f"== {what}", flush=True)
    start = time.monotonic()
    found = work()
    print(f"== {what}: {time.monotonic() - start:.0f} s", flush=True)
    return found


def provide(root: Root, folder: Path, work: Path) -> None:
    """Fill the folder that the machine works in: the wheel, the tests, and what this machine makes of their inputs."""
    wheel.install(root, folder, work)
    for part in ("tests", "docs", "benchmarks/identity"):
        shutil.copytree(PROJECT / part, work / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "benchmarks/__init__.py"):
        shutil.copy2(PROJECT / part, work / part)
    here = [sys.executable, "-m", "benchmarks.identity.c_head", str(work / "head.so")]
    with_benchmarks = {**os.environ, "PYTHONPATH": str(PROJECT)}
    roots.run_quietly(*here, *shlex.split(wheel.compiler_for(root)), env=with_benchmarks)
    roots.run_quietly(sys.executable, str(PROJECT / "tests" / "arm" / "observe.py"), str(work / "reference.json"))


def test(root: Root, where_possible: bool, thorough: bool) -> list[str]:
    """Run the tests on each board of one root and give the boards where they failed."""
    try:
        wheel.compiler_for(root)
        folder = timed(f"{root.name}: root", lambda: roots.ready(root))
    except SetupError as error:
        if not where_possible:
            raise
        print(f"SKIPPED {root.name}: {error}", flush=True)
        return []
    unless = " or ".join(LEFT_OUT)
    pytest = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", f"not ({unless})"]
    failed = []
    with tempfile.TemporaryDirectory(prefix=f"edge-imprint-{root.name}-") as name:
        work = Path(name)
        timed(f"{root.name}: wheel and inputs", lambda: provide(root, folder, work))
        for number, (board, processor) in enumerate(root.boards.items()):
            what = f"{root.name}: tests on a {board} ({processor})"
            tests = EVERYWHERE + ONCE if thorough and not number else EVERYWHERE
            start = time.monotonic()
            print(f"== {what}", flush=True)
            status = machine.run(
                root,
                folder,
                board,
                work,
                *pytest,
                *tests,
                PYTHONPATH="/work/site:/work",
                EDGE_IMPRINT_KERNELS="native",
                EDGE_IMPRINT_C_HEAD="/work/head.so",
                EDGE_IMPRINT_ARM_REFERENCE="/work/reference.json",
                EDGE_IMPRINT_ARM_BOARD=board,
            )
            print(f"== {what}: {time.monotonic() - start:.0f} s", flush=True)
            if status != 0:
                failed.append(what)
    return failed


def main() -> int:
    """Run what was asked for; 0 when all of it passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machines", nargs="*", choices=[[], *roots.ROOTS], default=[], metavar="machine")
    parser.add_argument(
        "--where-possible", action="store_true", help="say so and go on where a root cannot be made on this machine"
    )
    parser.add_argument("--thorough", action="store_true", help="long tests as well, on the first board of each root")
    arguments = parser.parse_args()
    wanted = arguments.machines or list(roots.ROOTS)
    try:
        failed = [
            what for name in wanted for what in test(roots.ROOTS[name], arguments.where_possible, arguments.thorough)
        ]
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    for what in failed:
        print(f"FAILED {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
