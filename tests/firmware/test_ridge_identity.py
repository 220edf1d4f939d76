"""The second-moment head in C and in numpy: random courses, every answer and every byte of the snapshot equal."""

from __future__ import annotations

import numpy as np
import pytest

from edge_imprint import ImprintHead, snapshot
from edge_imprint.errors import EdgeImprintError
from edge_imprint.head import codec, engine
from edge_imprint.head.ridge.layout import fixed_bytes

pytestmark = pytest.mark.skipif(
    not engine.native_is_there(), reason="the C library was not built: apt install gcc python3-dev, pip install -e ."
)
ASKS = ("decision_function", "confidence", "known_score", "verdicts", "predict")


class Pair:
    """The same head twice."""

    def __init__(self, patch: pytest.MonkeyPatch, dim: int, budget: int) -> None:
        self.patch, self.heads = patch, []
        for name in ("numpy", "native"):
            patch.setenv(engine.VARIABLE, name)
            self.heads.append(ImprintHead(dim=dim, budget=budget, method="ridge"))
            assert self.heads[-1]._engine.name == name

    def do(self, name: str, *arguments: object) -> None:
        said = []
        for head in self.heads:
            try:
                getattr(head, name)(*arguments)
                said.append(None)
            except EdgeImprintError as error:
                said.append((type(error), str(error)))
        assert said[0] == said[1]

    def merge(self, other: Pair) -> None:
        said = []
        for head, theirs in zip(self.heads, other.heads, strict=True):
            try:
                head.merge(theirs)
                said.append(None)
            except EdgeImprintError as error:
                said.append((type(error), str(error)))
        assert said[0] == said[1]

    def reload(self) -> None:
        for place, name in enumerate(("numpy", "native")):
            self.patch.setenv(engine.VARIABLE, name)
            parts = codec.sections(self.heads[place], None)
            self.heads[place] = codec.head_from(ImprintHead, parts)

    def compare(self, x: np.ndarray) -> None:
        first, second = (snapshot.encode(codec.sections(head, None)) for head in self.heads)
        assert first == second
        if len(self.heads[0].classes_):
            for ask in ASKS:
                assert np.array_equal(*(getattr(head, ask)(x) for head in self.heads)), ask


def course(patch: pytest.MonkeyPatch, seed: int, longest: int) -> None:
    rng = np.random.default_rng(seed)
    dim, classes = int(rng.integers(1, 70)), int(rng.integers(1, 7))
    budget = fixed_bytes(dim) + int(rng.integers(2000, 30000))
    centres = rng.normal(size=(classes, dim)) * rng.uniform(0.2, 2)
    pair, live = Pair(patch, dim, budget), rng.normal(size=(7, dim)).astype(np.float32)

    def lesson(n: int) -> tuple[np.ndarray, list[str]]:
        places = rng.integers(0, classes, n)
        return (centres[places] + rng.normal(size=(n, dim))).astype(np.float32), [f"c{place}" for place in places]

    for _ in range(int(rng.integers(5, longest))):
        what = rng.choice(["learn", "learn", "learn", "learn", "undo", "forget", "merge", "load"])
        if what == "learn":
            pair.do("partial_fit", *lesson(int(rng.integers(1, 6))))
        elif what == "undo":
            pair.do("undo")
        elif what == "forget":
            pair.do("forget", f"c{rng.integers(0, classes)}")
        elif what == "load":
            pair.reload()
        else:
            other = Pair(patch, dim, budget)
            other.do("partial_fit", *lesson(8))
            pair.merge(other)
        pair.compare(live)


@pytest.mark.parametrize("seed", range(20))
def test_courses_of_short_lessons(monkeypatch, seed):
    course(monkeypatch, seed, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 150))
def test_courses_of_long_lessons(monkeypatch, seed):
    course(monkeypatch, seed, 80)


@pytest.mark.parametrize("dim", [256, 300])
def test_at_the_sizes_of_backbones(monkeypatch, dim):
    rng = np.random.default_rng(dim)
    pair = Pair(monkeypatch, dim, 1 << 20)
    centres = rng.normal(size=(5, dim))
    for number in range(12):
        pair.do("partial_fit", (centres[number % 5] + rng.normal(size=(1, dim))).astype(np.float32), f"c{number % 5}")
    pair.compare(rng.normal(size=(20, dim)).astype(np.float32))
