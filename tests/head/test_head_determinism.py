"""The same shots give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from heads import blob, clumps, digest, reload
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_imprint import ImprintHead
from edge_imprint.head import codec

X, Y = clumps(7, classes=4, modes=4, shots=30, dim=32, noise=0.7)
WHOLE = ImprintHead(32, "4KB").partial_fit(X, Y)


@settings(max_examples=12, deadline=None)
@given(st.sets(st.integers(1, len(X) - 1), max_size=12), st.booleans())
def test_any_division_into_calls_gives_the_same_bytes(cuts, with_questions):
    head = ImprintHead(32, "4KB")
    for x, y in zip(np.split(X, sorted(cuts)), np.split(Y, sorted(cuts)), strict=True):
        head.partial_fit(x, y)
        if with_questions:
            head.predict(X[:3])
            head.verdicts(X[:3])
    assert blob(head) == blob(WHOLE)


def test_a_reload_at_any_moment_changes_nothing():
    head = ImprintHead(32, "4KB")
    for i in range(len(X)):
        head.partial_fit(X[i : i + 1], Y[i : i + 1])
        if i % 5 == 0:
            head = reload(head)
    assert blob(head) == blob(WHOLE)
    assert (head.decision_function(X) == WHOLE.decision_function(X)).all()


SCRIPT = """
import sys
sys.path.insert(0, {support!r})
from heads import ImprintHead, clumps, digest
x, y = clumps(7, classes=4, modes=4, shots=30, dim=32, noise=0.7)
print(digest(ImprintHead(32, "4KB").partial_fit(x, y)))
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_another_process_gives_the_same_bytes(threads):
    support = next(p for p in sys.path if p.endswith("support"))
    env = os.environ | {"PYTHONHASHSEED": threads, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(support=support)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == digest(WHOLE)


def test_the_type_that_carries_the_numbers_does_not_matter():
    x = np.random.default_rng(1).integers(-127, 128, (60, 24)).astype(np.int8)
    y = np.arange(60) % 3
    expected = blob(ImprintHead(24, "4KB").partial_fit(x, y))
    for kind in (np.int16, np.int32, np.int64, np.float16, np.float32, np.float64, np.longdouble):
        assert blob(ImprintHead(24, "4KB").partial_fit(x.astype(kind), y)) == expected, kind
    assert blob(ImprintHead(24, "4KB").partial_fit(x.tolist(), y.tolist())) == expected
    assert blob(ImprintHead(24, "4KB").partial_fit(np.asfortranarray(x), list(y))) == expected
    assert blob(ImprintHead(24, "4KB").partial_fit(x[::-1][::-1], tuple(y))) == expected


def test_a_shots_length_does_not_matter():
    scale = 2.0 ** np.random.default_rng(2).integers(-60, 60, (len(X), 1))
    assert blob(ImprintHead(32, "4KB").partial_fit(X * scale.astype(np.float32), Y)) == blob(WHOLE)


def test_inputs_are_not_modified():
    x, y = X.copy(), Y.copy()
    head = ImprintHead(32, "4KB").partial_fit(x, y)
    head.predict(x)
    head.decision_function(x)
    assert (x == X).all()
    assert (y == Y).all()


def test_labels_of_either_kind_give_the_same_rows():
    named = ImprintHead(32, "4KB").partial_fit(X, [f"class {k}" for k in Y])
    mine, theirs = codec.sections(named, None), codec.sections(WHOLE, None)
    assert {k for k in mine if mine[k] != theirs[k]} == {"classes"}
    assert named.predict(X).tolist() == [f"class {k}" for k in WHOLE.predict(X)]
