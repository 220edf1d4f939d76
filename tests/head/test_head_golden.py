"""The golden vectors of `tests/golden`: the same steps lead to the same bytes in every version and language."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FILES = sorted(GOLDEN.glob("head_*.json"))


def maker():
    """`tests/golden/make.py`, which knows how a step's embeddings are made and done."""
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MAKE = maker()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_step_leads_to_the_bytes_that_were_written_down(file):
    document = json.loads(file.read_text())
    steps = document["steps"]
    found = MAKE.run(document["dim"], document["budgets"], steps)
    for number, (step, expect) in enumerate(zip(steps, found, strict=True)):
        written = step["expect"]
        where = f"{file.name}, written by {document['written_by']}, step {number}: {step['do']}"
        assert expect["sha256"] == written["sha256"], where
        assert expect.get("labels") == written.get("labels"), where
        # A cosine is a quotient in double precision, rounded to float32: one unit of 2^-20 is eight of its steps.
        for mine, theirs in zip(expect.get("cosines_q20", []), written.get("cosines_q20", []), strict=True):
            assert abs(mine - theirs) <= 1, where


def test_the_vectors_cover_what_a_head_can_do():
    assert [json.loads(file.read_text())["dim"] for file in FILES] == [1024, 256, 64]
    for file in FILES:
        document = json.loads(file.read_text())
        done = Counter(step["do"] for step in document["steps"])
        assert done["learn"] > 40
        assert all(done[kind] >= 2 for kind in ("forget", "undo", "merge", "reload", "predict")), done
        assert document["written_by"].startswith("edge-imprint ")
        answers = [label for step in document["steps"] for label in step["expect"].get("labels", [])]
        assert len(set(answers)) > 3
    assert sum(file.stat().st_size for file in FILES) < 200_000


def test_the_generator_is_the_one_that_is_written_down():
    # After seed 0 the state is the increment, 0x14057B7EF767814F, whose top byte is 20.
    numbers = MAKE.Numbers(0)
    assert [numbers.next() for _ in range(6)] == [20, 26, -102, 102, 98, -113]
