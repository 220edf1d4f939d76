"""`eimp_ridge.h` as a C program uses it, under sanitizers, next to the numpy head on the same course."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from cbuild import SANITIZE, SRC, build

from edge_imprint import ImprintHead, snapshot
from edge_imprint.errors import CapacityError, NotTaughtError, UnknownLabelError
from edge_imprint.head import codec, engine
from edge_imprint.head.ridge.layout import fixed_bytes

PROGRAM = Path(__file__).parent / "c" / "ridge_course.c"
OK, CAPACITY, NO_UNDO, UNKNOWN = 0, -8, -7, -5
VERDICTS = {"unknown": 0, "uncertain": 1, "known": 2}


class Course:
    """The program's own random numbers, and the numpy head."""

    def __init__(self, dim: int, budget: int, seed: int) -> None:
        self.dim, self.state = dim, seed
        self.head = ImprintHead(dim=dim, budget=budget, method="ridge")
        self.other = ImprintHead(dim=dim, budget=budget, method="ridge")

    def draw(self, below: int) -> int:
        self.state = (self.state * 1664525 + 1013904223) % (1 << 32)
        return (self.state >> 8) % below

    def shot(self, place: int) -> np.ndarray:
        row = [self.draw(2001) - 1000 + (1500 if i % 5 == place else 0) for i in range(self.dim)]
        return np.array([row], np.float32)

    def reload(self) -> int:
        parts = codec.sections(self.head, None)
        self.head = codec.head_from(ImprintHead, parts)
        return zlib.crc32(snapshot.encode(parts))

    def step(self, number: int) -> list[int]:
        what, label = self.draw(12), self.draw(5)
        said = [self.do(what, label)]
        if number % 7 == 6:
            said.append(self.reload())
        x = self.shot(self.draw(5))
        if len(self.head.classes_):
            scores = self.head.decision_function(x)[0]
            best = self.head.classes_.tolist().index(self.head.predict(x)[0])
            known = round(float(self.head.known_score(x)[0]) * (1 << 23))
            sure = round(float(self.head.confidence(x)[0]) * (1 << 16))
            said += [best, known, sure, VERDICTS[str(self.head.verdicts(x)[0])], round(float(scores[best]) * (1 << 23))]
        return said

    def do(self, what: int, label: int) -> int:
        try:
            if what < 8:
                self.head.partial_fit(self.shot(label), label)
            elif what == 8:
                self.head.undo()
            elif what == 9:
                self.head.forget(label)
            elif what == 10:
                self.other.partial_fit(self.shot(label), label)
            else:
                self.head.merge(self.other)
        except CapacityError:
            return CAPACITY
        except NotTaughtError:
            return NO_UNDO
        except UnknownLabelError:
            return UNKNOWN
        return OK


@pytest.mark.parametrize(("dim", "seed"), [(1, 1), (3, 2), (17, 3), (33, 4), (64, 5)])
def test_a_program_says_what_numpy_says(monkeypatch: pytest.MonkeyPatch, dim: int, seed: int) -> None:
    monkeypatch.setenv(engine.VARIABLE, "numpy")
    program = build("ridge_course", PROGRAM, *sorted(SRC.glob("eimp_*.c")), flags=SANITIZE)
    budget, steps = fixed_bytes(dim) + 4000 + 300 * dim, 60
    command = [str(program), str(dim), str(budget), str(steps), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    course = Course(dim, budget, seed)
    for number, line in enumerate(done.stdout.splitlines()):
        assert [int(word) for word in line.split()] == course.step(number), f"step {number}"
