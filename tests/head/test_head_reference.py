"""The head's means, coefficients and answers against float64."""

from __future__ import annotations

import numpy as np
import pytest
from heads import clumps, row, row8, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_imprint import ImprintHead
from edge_imprint.head import fixed, scoring


@pytest.mark.parametrize("shots", [1, 10, 1000])
@pytest.mark.parametrize("dim", [16, 256])
def test_the_class_mean_is_the_mean_of_the_unit_vectors(shots, dim):
    rng = np.random.default_rng(shots)
    x = (rng.normal(size=dim) + rng.normal(size=(shots, dim))).astype(np.float32)
    head = ImprintHead(dim, "256KB").partial_fit(x, "a")
    error = row(head, 0) - unit(x).mean(axis=0)
    # A shot enters within 0.51 units of 2^-14 and loses as much again to its int16 image. Each step then rounds the
    # row by at most half a unit of 2^-14, of which (n - 1) / n survives the next: (n + 1) / 4 units at worst, and
    # like a random walk, sqrt(n / 36) units, where nothing conspires (three of those allowed).
    entry = 1.1 * 2.0**-14
    assert np.abs(error).max() <= entry + (shots + 1) / 4 * 2.0**-14
    assert np.sqrt((error**2).mean()) <= entry + 3 * np.sqrt(shots / 36) * 2.0**-14
    assert head.shots_per_class() == {"a": shots}


@pytest.fixture(scope="module", params=[(5, 0.6, 20), (5, 0.3, 20), (40, 1.0, 4095)], ids=["messy", "clear", "scarce"])
def taught(request) -> ImprintHead:
    """Three classes of several clumps each, so that every class has centres."""
    modes, noise, shrinkage = request.param
    x, y = clumps(1, classes=3, modes=modes, shots=120, dim=64, noise=noise)
    head = ImprintHead(64, "32KB", shrinkage=shrinkage).partial_fit(x, y)
    assert min(head.proxies_per_class().values()) >= 4
    return head


def mean_weight(head: ImprintHead, index: int) -> int:
    """Kappa as `scoring` documents it, from the int16 rows, in float64 but for its whole value."""
    arena, m = head._arena, row(head, index)
    centres = arena.centres_of(index).tolist()
    n = np.array([int(arena.count[slot]) for slot in centres])
    if n.sum() < 2 * len(n):
        return head.shrinkage
    lengths = sum(count * (row(head, slot) ** 2).sum() for count, slot in zip(n, centres, strict=True))
    sigma2 = (n.sum() - lengths) / (n.sum() - len(n))
    tau2 = lengths / n.sum() - m @ m - (len(n) - 1) * sigma2 / n.sum()
    return int(np.clip(5 * sigma2 // tau2, 1, head.shrinkage)) if tau2 > 0 else head.shrinkage


def documented_proxies(head: ImprintHead, rows) -> tuple[np.ndarray, np.ndarray]:
    """L2(min(n_j, s) c_j + kappa m) for every centre, m for every mean, and the classes they belong to."""
    arena = head._arena
    cls = arena.cls[: arena.n_slots].astype(int)
    proxies = [rows(head, slot) for slot in range(arena.n_slots)]
    kappa = [mean_weight(head, index) for index in range(arena.n_classes)]
    for slot in range(arena.n_classes, arena.n_slots):
        weight = min(int(arena.count[slot]), head.shrinkage)
        proxies[slot] = weight * proxies[slot] + kappa[cls[slot]] * proxies[cls[slot]]
    return unit(np.array(proxies)), cls


def test_coefficients_give_the_cosine_of_the_shrunk_proxy(taught):
    arena = taught._arena
    rng = np.random.default_rng(2)
    queries = fixed.queries(fixed.quantize(rng.normal(size=(50, 64)).astype(np.float32)))
    taught._engine.refresh()
    found = np.array([scoring.slot_scores(arena, q) for q in queries]) / 2.0**28
    found /= np.linalg.norm(queries.astype(np.float64), axis=1)[:, None]
    # n_j and kappa enter with 12 bits, so that their ratio, and with it the angle, is off by at most 2^-11.
    exact = unit(queries) @ documented_proxies(taught, row8)[0].T
    assert np.abs(found - exact).max() <= 2.0**-11
    # Against the int16 rows: the int8 row's step is 1/64 to 1/127 of the largest component, half a step is lost in
    # each of 64 components, independently: 0.29 steps times 8, against a length of about 3 times the largest.
    full = unit(queries) @ documented_proxies(taught, row)[0].T
    assert np.abs(found - full).max() <= 0.29 * 8 / (64 * 3)


def test_decision_function_is_the_best_cosine_of_each_class(taught):
    x = np.random.default_rng(3).normal(size=(300, 64)).astype(np.float32)
    proxies, cls = documented_proxies(taught, row8)
    cosines = unit(fixed.queries(fixed.quantize(x))) @ proxies.T
    exact = np.stack([cosines[:, cls == k].max(axis=1) for k in range(3)], axis=1)
    found = taught.decision_function(x)
    assert found.dtype == np.float32
    assert np.abs(found).max() <= 1
    assert np.abs(found - exact).max() <= 2.0**-11


def test_the_score_of_a_taught_shot_reaches_but_never_exceeds_one():
    x = np.random.default_rng(4).normal(size=(40, 100)).astype(np.float32)
    head = ImprintHead(100, "64KB").partial_fit(x, np.arange(40))
    scores = head.decision_function(np.concatenate([x, -x]))
    assert np.abs(scores).max() <= 1
    # Row and query are both rounded to int8: 1 - cosine is about the square of 0.29 / 40.
    assert np.diag(scores[:40]).min() > 1 - 4e-4
    assert (head.predict(x) == np.arange(40)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 12), st.booleans())
def test_predict_is_the_argmax_of_decision_function_in_every_batch_size(seed, classes, dim, coarse):
    rng = np.random.default_rng(seed)
    # Few small whole numbers make exact ties common.
    draw = (lambda n: rng.integers(-1, 3, (n, dim))) if coarse else (lambda n: rng.normal(size=(n, dim)))
    x, queries = (v[np.abs(v).max(axis=1) > 0] for v in (draw(60), draw(40)))
    if not len(x) or not len(queries):
        return
    head = ImprintHead(dim, "16KB").partial_fit(x, rng.integers(classes, size=len(x)))
    batch = head.predict(queries)
    assert batch.tolist() == [head.predict(q[None])[0] for q in queries]
    scores = head.decision_function(queries)
    columns = np.searchsorted(head.classes_, batch, sorter=np.argsort(head.classes_))
    mine = scores[np.arange(len(queries)), np.argsort(head.classes_)[columns]]
    assert (mine == scores.max(axis=1)).all()


def test_decision_function_of_one_row_equals_that_row_of_a_batch(taught):
    x = np.random.default_rng(5).normal(size=(600, 64)).astype(np.float32)
    batch = taught.decision_function(x)
    assert all((taught.decision_function(x[i : i + 1])[0] == batch[i]).all() for i in range(0, 600, 37))
    assert taught.verdicts(x)[::37].tolist() == [taught.verdicts(x[i : i + 1])[0] for i in range(0, 600, 37)]
