"""Every rounding rule of `fixed.py` against exact integers and fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor, isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_imprint.errors import ShapeError, ValueRangeError
from edge_imprint.head import fixed

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
VECTORS = st.lists(FLOATS, min_size=1, max_size=40).filter(any)
QUANTISED = st.lists(st.integers(-32767, 32767), max_size=40).flatmap(
    lambda rest: st.sampled_from([[*rest, 32767], [-32767, *rest]])
)


@given(VECTORS)
def test_quantize_is_the_exact_quotient_rounded_half_to_even(values):
    largest = max(abs(Fraction(v)) for v in values)
    expected = [round(Fraction(v) * 32767 / largest) for v in values]
    assert fixed.quantize(np.array([values], np.float32)).tolist() == [expected]


def test_quantize_takes_ties_to_the_even_neighbour():
    # A largest magnitude of 32767 makes the scale 1, so that halves are exact.
    rows = np.array([[32767, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5]], np.float32)
    assert fixed.quantize(rows).tolist() == [[32767, 0, 2, 2, 0, -2, -2]]


@given(VECTORS.filter(lambda v: 1e-20 < max(map(abs, v)) < 1e20), st.integers(-40, 40))
def test_quantize_does_not_see_a_power_of_two(values, exponent):
    rows = np.array([values], np.float64)
    rows[np.abs(rows) < 1e-24] = 0  # what would become subnormal loses bits before it is quantised
    if rows.any():
        one, other = rows.astype(np.float32), (rows * 2.0**exponent).astype(np.float32)
        assert fixed.quantize(one).tolist() == fixed.quantize(other).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_quantize_names_the_row_that_is_not_finite(bad):
    with pytest.raises(ValueRangeError, match="row 2"):
        fixed.quantize(np.array([[1, 2], [3, 4], [5, bad]], np.float32))


def test_queries_are_e_times_127_over_32767_rounded():
    e16 = np.arange(-32767, 32768)
    found = fixed.queries(e16)
    exact = [Fraction(int(e) * 127, 32767) for e in e16]
    # 32513 / 2^23 is off by 9.3e-10, which e = 32767 makes 3.1e-5: so near a half either neighbour may come out.
    slack = Fraction(1, 2) + Fraction(31, 1_000_000)
    assert all(abs(int(q) - x) <= slack for q, x in zip(found, exact, strict=True))
    assert (found.min(), found.max(), found.dtype) == (-127, 127, np.int8)
    assert (found == -found[::-1]).all()


@given(QUANTISED)
def test_a_shot_is_within_half_a_unit_of_the_exact_unit_vector(e16):
    point = fixed.shot(np.array(e16))
    square = sum(e * e for e in e16)
    # The two integer square roots and quotients are off by at most 2^-23 each, which is 2^-8 units of 2^-14.
    allowed = Fraction(1, 2) + Fraction(1, 256)
    scale = 1 << 60
    for value, e in zip(point.values.tolist(), e16, strict=True):
        exact = Fraction(e * (1 << 14) * scale, isqrt(square * scale * scale))
        assert abs(value - exact) <= allowed
    query = fixed.queries(np.array(e16)).tolist()
    assert point.query.tolist() == query
    assert point.query_scale == isqrt(sum(q * q for q in query) << 16)
    assert (point.shift, point.weight, point.square) == (0, 1, 1 << 20)


@given(st.lists(st.integers(-32639, 32639), min_size=1, max_size=20), st.integers(0, 14), st.integers(0, 14))
def test_fit_row_keeps_the_value_and_fills_the_range(values, shift, finer):
    finer = min(finer, 14 - shift)
    given_values, given_shift = np.array(values) << finer, shift + finer
    row, fitted = fixed.fit_row(given_values.copy(), given_shift)
    largest = int(np.abs(row).max())
    assert 0 <= fitted <= 14
    assert largest <= 32639
    assert largest >= 16320 or fitted == 14 or largest == 0
    # The row can always be written exactly at the coarser scale that it came from, so fit_row loses nothing.
    assert [Fraction(int(v), 1 << fitted) for v in row] == [Fraction(v, 1 << shift) for v in values]


@given(st.lists(st.integers(-(2**28), 2**28), min_size=1, max_size=20))
def test_fit_row_rounds_each_halving_up_at_halves(values):
    row, shift = fixed.fit_row(np.array(values), 14)
    expected = values
    for _ in range(14 - shift):
        expected = [floor(Fraction(v + 1, 2)) for v in expected]
    assert row.tolist() == expected


def test_split_and_join_are_inverse_for_every_row_value():
    values = np.arange(-fixed.ROW_MAX, fixed.ROW_MAX + 1)
    high, low = fixed.split(values)
    assert high.dtype == low.dtype == np.int8
    assert (high.min(), high.max()) == (-127, 127)
    assert (fixed.join(high, low) == values).all()
    assert (np.abs(values - 256 * high.astype(np.int64)) <= 128).all()


@pytest.mark.parametrize("dim", [1, 64, 256, 1040, 1041, 4096])
def test_dot_products_are_exact_at_the_extremes(dim):
    rng = np.random.default_rng(dim)
    rows = np.concatenate(
        [np.full((2, dim), 127), np.full((1, dim), -127), rng.choice([-127, 127, 126], (5, dim))]
    ).astype(np.int8)
    wide = rows.astype(object)
    expected = wide @ wide.T
    assert fixed.products(rows, rows).tolist() == expected.tolist()
    assert fixed.dots(rows, rows[0]).tolist() == expected[:, 0].tolist()
    assert fixed.length2(rows[2]) == 127 * 127 * dim


@settings(max_examples=50)
@given(st.integers(-(2**60), 2**60), st.integers(1, 2**40))
def test_rounded_is_nearest_with_halves_up(value, divisor):
    assert fixed.rounded(value, divisor) == floor(Fraction(value, divisor) + Fraction(1, 2))


def test_check_embeddings_does_not_copy_float32():
    x = np.ones((3, 4), np.float32)
    assert fixed.check_embeddings(x, 4) is x
    with pytest.raises(ShapeError, match=r"Use x\[None\]"):
        fixed.check_embeddings(x[0], 4)
