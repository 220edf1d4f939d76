"""A million mixed operations in a process of their own: memory, a model beside it, and another engine that agrees.

As many as a device does in a day at 11.6 a second. Run as a module: `run FOLDER SEGMENTS OPERATIONS EVERY` does them
and keeps the start of every so many segments; `replay FOLDER OPERATIONS SEGMENT...` does those again, with the engine
that the environment names.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.robustness.operations import SHARES, Course, state
from benchmarks.robustness.outcome import report
from benchmarks.suites.memory_child import anonymous_bytes
from edge_imprint.head import ImprintHead


class Shape(NamedTuple):
    """A head that takes its turn in the course."""

    dim: int
    budget: str
    method: str


SHAPES = (
    Shape(64, "8KB", "proxies"),
    Shape(16, "16KB", "ridge"),
    Shape(256, "32KB", "proxies"),
    Shape(32, "4KB", "proxies"),
)


def run(folder: Path, segments: int, operations: int, every: int) -> None:
    """Go round the heads, a segment each; report memory after each, and the digests that a replay must reach."""
    courses = []
    for number, shape in enumerate(SHAPES):
        head = ImprintHead(shape.dim, shape.budget, method=shape.method, undo=True)
        courses.append(Course(head, folder / f"{number}.eimp", number))
    for segment in range(segments):
        course = courses[segment % len(courses)]
        # Every segment starts from a file, as its replay does: what a file does not hold, such as drift, is dropped.
        course.head.save(course.file)
        if segment % every == 0:
            (folder / f"start-{segment}.eimp").write_bytes(course.file.read_bytes())
        course = courses[segment % len(courses)] = Course(
            ImprintHead.load(course.file), course.file, segment % len(courses)
        )
        digest = course.run((segment, 1), operations)
        gc.collect()
        report(
            {
                "segment": segment,
                "operations": operations,
                "anonymous_bytes": anonymous_bytes()[0],
                "refused": course.refused,
                "engine": course.head._engine.name,
                "digest": digest,
                **{f"did_{name}": course.counts[name] for name in SHARES},
            }
        )


def replay(folder: Path, segment: int, operations: int) -> None:
    """Do a segment again from where it started; report the digest."""
    number = segment % len(SHAPES)
    file = folder / f"replay-{segment}.eimp"
    head = ImprintHead.load(folder / f"start-{segment}.eimp")
    digest = Course(head, file, number).run((segment, 1), operations)
    report({"segment": segment, "engine": head._engine.name, "digest": digest, "bytes": len(state(head))})


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(sys.argv[2]), *(int(argument) for argument in sys.argv[3:6]))
    else:
        for each in sys.argv[4:]:
            replay(Path(sys.argv[2]), int(each), int(sys.argv[3]))
