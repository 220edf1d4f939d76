"""The C library against numpy: random courses and the golden vectors, equal in every answer and every byte."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.identity.c_head import CError, CHead
from benchmarks.identity.courses import Tally, play
from edge_imprint.head import engine

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: apt-get install gcc")


@pytest.fixture(autouse=True)
def numpy_reference(monkeypatch):
    monkeypatch.setenv(engine.VARIABLE, "numpy")


@pytest.mark.parametrize(("dim", "courses"), [(1, 30), (6, 40), (64, 60), (256, 15), (1024, 4)])
def test_random_courses_agree(dim, courses):
    tally = Tally()
    for seed in range(courses):
        play(1_000_000 + seed, dim, 30, tally)
    assert all(tally.operations.values())
    assert tally.refused > 0


@pytest.mark.parametrize(("dim", "courses"), [(1, 30), (6, 60), (33, 20), (64, 10), (130, 2)])
def test_random_courses_with_a_second_moment_agree(dim, courses):
    tally = Tally()
    for seed in range(courses):
        play(3_000_000 + seed, dim, 30, tally, "ridge")
    assert all(tally.operations.values())
    assert tally.refused > 0


@pytest.mark.slow
@pytest.mark.parametrize(("dim", "courses"), [(1, 600), (16, 600), (64, 200), (256, 20)])
def test_many_more_random_courses_with_a_second_moment_agree(dim, courses):
    tally = Tally()
    for seed in range(courses):
        play(4_000_000 + seed, dim, 30, tally, "ridge")
    assert sum(tally.operations.values()) == 30 * courses


@pytest.mark.slow
@pytest.mark.parametrize(("dim", "courses"), [(64, 1200), (256, 500), (1024, 150)])
def test_many_more_random_courses_agree(dim, courses):
    tally = Tally()
    for seed in range(courses):
        play(2_000_000 + seed, dim, 30, tally)
    assert sum(tally.operations.values()) == 30 * courses


def golden_maker():
    """`tests/golden/make.py`, which knows how a step's embeddings are made."""
    spec = importlib.util.spec_from_file_location("golden_make_for_c", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("head_*.json")), ids=lambda file: file.stem)
def test_the_golden_vectors_come_out_of_the_c_library(file):
    import hashlib

    make, document = golden_maker(), json.loads(file.read_text())
    dim = document["dim"]
    heads = [CHead(dim, budget, document["max_proxies"]) for budget in document["budgets"]]
    for number, step in enumerate(document["steps"]):
        head, expect = heads[step["head"]], step["expect"]
        where = f"{file.name}, step {number}: {step['do']}"
        if step["do"] == "learn":
            head.learn(make.shots(dim, step), step["label"])
        elif step["do"] == "forget":
            head.forget(step["label"])
        elif step["do"] == "undo":
            head.undo()
        elif step["do"] == "merge":
            head.merge(heads[1 - step["head"]])
        elif step["do"] == "reload":
            head.load(head.snapshot())
        else:
            answers = head.predict(make.shots(dim, step))
            assert [label for label, _, _ in answers] == expect["labels"], where
            for (_, cosine, _), written in zip(answers, expect["cosines_q20"], strict=True):
                assert abs(cosine / 8 - written) <= 1, where
        assert hashlib.sha256(head.snapshot()).hexdigest() == expect["sha256"], where
        head.check_guard()


def test_what_is_refused_changes_nothing():
    head = CHead(8, 2000)
    rows = np.random.default_rng(0).integers(-99, 99, (3, 8)).astype(np.int16)
    head.learn(rows[:1], "mug")
    before = head.snapshot()
    for code, call in {
        -2: lambda: head.learn(np.zeros((1, 8), np.int16), "mug"),
        -5: lambda: head.forget("plate"),
        -1: lambda: head.merge(head),
        -8: lambda: head.set_backbone("x" * 257),
    }.items():
        with pytest.raises(CError) as refused:
            call()
        assert refused.value.code == code
        assert head.snapshot() == before
    head.undo()
    with pytest.raises(CError) as refused:
        head.undo()
    assert refused.value.code == -7
    with pytest.raises(CError) as refused:
        head.predict(rows)
    assert refused.value.code == -6


def test_int16_of_every_size_means_the_same_as_python_makes_of_it():
    """-32,768, ties in rounding, and single components."""
    from edge_imprint import ImprintHead, snapshot
    from edge_imprint.head import codec

    rng = np.random.default_rng(3)
    rows = np.concatenate(
        [
            rng.integers(-32768, 32768, (20, 16)),
            rng.integers(-2, 3, (20, 16)),
            np.eye(16)[:4] * -32768,
            [[2, 1] * 8, [4, 1] * 8, [32767, -32768] * 8],
        ]
    ).astype(np.int16)
    rows = rows[np.abs(rows.astype(int)).max(axis=1) > 0]
    python, c = ImprintHead(16, "8KB"), CHead(16, 8192)
    for number, row in enumerate(rows):
        python.partial_fit(row[None], number % 5)
        c.learn(row[None], number % 5)
        assert snapshot.encode(codec.sections(python, None)) == c.snapshot(), row
