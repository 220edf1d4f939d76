"""The packed matrix: sums are taken back exactly, factor and solution are those of numpy.linalg in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_imprint.head import moment

FLOOR = np.float32(0.25)
EPSILON = 2.0**-24
"""Half the distance from 1 to the next single-precision number: the largest relative error of one rounding."""


def scatter_of(shots: NDArray[np.int16]) -> NDArray[np.int32]:
    scatter = np.zeros(moment.packed_size(shots.shape[1]), np.int32)
    for shot in shots:
        moment.add(scatter, shot, 1)
    return scatter


def full(scatter: NDArray[np.int32]) -> NDArray[np.float64]:
    dim = moment.dim_of(scatter)
    lower = np.zeros((dim, dim))
    lower[np.tril_indices(dim)] = scatter * 2.0**-16
    return lower + np.tril(lower, -1).T


def well_conditioned(dim: int) -> NDArray[np.int32]:
    rng = np.random.default_rng(dim)
    return scatter_of(rng.normal(0, 8192, (3 * dim + 20, dim)).clip(-32767, 32767).astype(np.int16))


@pytest.mark.parametrize("dim", [1, 2, 64, 1280, 4096])
def test_size_and_dimension_are_each_others_inverse(dim: int) -> None:
    size = moment.packed_size(dim)
    assert size == len(np.tril_indices(dim)[0]) if dim < 2000 else size == 4096 * 4097 // 2
    assert moment.dim_of(np.broadcast_to(np.int32(0), size)) == dim
    assert moment.diagonal(dim)[-1] == size - 1


shot_lists = st.integers(1, 12).flatmap(
    lambda dim: st.lists(
        st.lists(st.integers(-32767, 32767), min_size=dim, max_size=dim), min_size=1, max_size=8
    )
)  # fmt: skip


@given(shot_lists, st.integers(-(2**28), 2**28), st.randoms(use_true_random=False))
def test_what_was_added_is_taken_away_exactly_in_any_order(rows: list[list[int]], start: int, random) -> None:
    shots = np.array(rows, np.int16)
    scatter = np.full(moment.packed_size(shots.shape[1]), start, np.int32)
    before = scatter.copy()
    for shot in shots:
        moment.add(scatter, shot, 1)
    order = list(range(len(shots)))
    random.shuffle(order)
    for place in order:
        moment.add(scatter, shots[place], -1)
    np.testing.assert_array_equal(scatter, before)


@given(shot_lists)
def test_a_sum_is_that_of_exact_products_each_rounded_once(rows: list[list[int]]) -> None:
    scatter = scatter_of(np.array(rows, np.int16))
    exact = [
        sum((row[i] * row[j] * 2 + 1024) // 2048 for row in rows) for i in range(len(rows[0])) for j in range(i + 1)
    ]
    assert scatter.tolist() == exact


@given(st.lists(st.integers(-32767, 32767), min_size=1, max_size=8), st.integers(-(2**20), 2**20))
def test_with_room_no_sum_passes_the_most(shot: list[int], below: int) -> None:
    row = np.array(shot, np.int16)
    scatter = np.zeros(moment.packed_size(len(row)), np.int32)
    scatter[moment.diagonal(len(row))] = min(moment.MOST, moment.MOST - below)
    fits = all(int(scatter[-1]) + (value * value + 512) // 1024 <= moment.MOST for value in shot)
    assert moment.has_room(scatter, row) is fits


@pytest.mark.parametrize("dim", [1, 2, 3, 16, 65, 256])
def test_factor_is_that_of_double_precision(dim: int) -> None:
    scatter = well_conditioned(dim)
    out = np.empty(len(scatter), np.float32)
    moment.factor(scatter, out, FLOOR)
    lower = np.zeros((dim, dim))
    lower[np.tril_indices(dim)] = out
    # Backward error of Cholesky (Higham, Accuracy and Stability of Numerical Algorithms, theorem 10.3), and one
    # rounding of the input: |L L' - A| is at most (dim + 2) roundings of |L| |L'|, element by element.
    allowed = (dim + 2) * EPSILON / (1 - (dim + 2) * EPSILON) * (np.abs(lower) @ np.abs(lower).T)
    assert (np.abs(lower @ lower.T - full(scatter)) <= allowed).all()
    assert np.abs(lower - np.linalg.cholesky(full(scatter))).max() < 1e-4 * np.abs(lower).max()


@pytest.mark.parametrize("dim", [1, 2, 3, 16, 65, 256])
def test_solution_is_that_of_double_precision(dim: int) -> None:
    scatter = well_conditioned(dim)
    factors = np.empty(len(scatter), np.float32)
    moment.factor(scatter, factors, FLOOR)
    sides = np.random.default_rng(1).normal(0, 1, (dim, 17)).astype(np.float32)
    x = sides.copy()
    moment.solve(factors, x)
    a = full(scatter)
    exact = np.linalg.solve(a, sides.astype(np.float64))
    # The bound of theorem 10.4 is 4 dim (3 dim + 1) roundings times the condition number; measured errors are below
    # the first power of dim.
    allowed = 4 * (dim + 1) * EPSILON * np.linalg.cond(a)
    assert np.linalg.norm(x - exact, axis=0).max() <= allowed * np.linalg.norm(exact, axis=0).max()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_singular_matrix_gets_the_floor_and_no_nan(count: int) -> None:
    shots = np.random.default_rng(count).integers(-3000, 3000, (count, 24)).astype(np.int16)
    scatter = scatter_of(shots) if count else np.zeros(moment.packed_size(24), np.int32)
    factors = np.empty(len(scatter), np.float32)
    moment.factor(scatter, factors, FLOOR)
    assert (factors[moment.diagonal(24)] >= np.sqrt(FLOOR)).all()
    assert (factors[moment.diagonal(24)] == np.sqrt(FLOOR)).sum() >= 24 - 2 * count
    x = np.ones((24, 3), np.float32)
    moment.solve(factors, x)
    assert np.isfinite(x).all()


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(-140, 120), st.integers(0, 2**31))
def test_rows_are_about_their_images_times_their_scales(dim: int, exponent: int, seed: int) -> None:
    rows = np.ldexp(np.random.default_rng(seed).normal(0, 1, (4, dim)), exponent).astype(np.float32)
    rows[3] = 0
    images, scales = moment.quantise(rows)
    assert (images[3] == 0).all()
    assert scales[3] == 0
    for row, image, scale in zip(rows, images, scales, strict=True):
        largest = float(np.abs(row).max())
        if largest < 1e-30:
            assert scale == 0
            assert not image.any()
        else:
            assert np.abs(image).max() == 127
            # Half a step, and the roundings of scale, factor and product.
            assert np.abs(row - image * float(scale)).max() <= float(scale) * (0.5 + 127 * 4 * EPSILON)


def test_halves_go_to_the_even_number() -> None:
    images, scales = moment.quantise(np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5]], np.float32))
    assert images.tolist() == [[127, 0, 2, 2, 0, -2]]
    assert scales.tolist() == [1]
