"""NC1 and VCI in closed form, and against the formulas written out with explicit matrices."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from edge_imprint.errors import LabelError, NotTaughtError, ShapeError, ValueRangeError
from edge_imprint.imprint import nc1, vci


def crosses(radius: float, spread: float, offset: float) -> tuple[np.ndarray, list[str]]:
    """Two classes at offset +- radius on the first axis, each a cross of size `spread` in the plane."""
    cross = spread * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    shift = np.array([radius, 0])
    X = np.concatenate([cross + shift, cross - shift]) + offset
    return X.astype(np.float32), ["a"] * 4 + ["b"] * 4


@pytest.mark.parametrize("offset", [0.0, 7.0])
def test_closed_form_tells_the_right_within_class_covariance_from_the_wrong_ones(offset: float) -> None:
    radius, spread = 2.0, 1.0
    X, y = crosses(radius, spread, offset)
    within = spread**2 / 2  # of each component, about the class's own mean
    between = radius**2
    assert nc1(X, y) == pytest.approx(within / between / 2, rel=1e-6)
    assert vci(X, y) == pytest.approx(1 - between / (between + within), rel=1e-6)
    # Centred on the global mean, S_W would hold radius^2 as well; centred on class mean minus global mean, as
    # one public implementation does, offset^2. Both are far from the truth here.
    about_global_mean = (within + radius**2) / between / 2
    assert nc1(X, y) != pytest.approx(about_global_mean, rel=0.5)
    if offset:
        about_shifted_mean = (within + offset**2) / between / 2
        assert nc1(X, y) != pytest.approx(about_shifted_mean, rel=0.5)


def test_every_class_weighs_the_same_however_many_shots_it_has() -> None:
    X = np.array([[3.0], [1.0], [-1.0], [-3.0], [-1.0], [-3.0]])
    assert nc1(X, list("aabbbb")) == pytest.approx(nc1(X[:4], list("aabb")))
    # Unequal spreads: S_W = (1 + 9) / 2, S_B = 100 with unequal numbers of shots.
    X = np.array([[11.0], [9.0], [-7.0], [-13.0], [-7.0], [-13.0], [-7.0], [-13.0]])
    assert nc1(X, list("aabbbbbb")) == pytest.approx(5 / 100 / 2)
    assert vci(X, list("aabbbbbb")) == pytest.approx(1 - 100 / 105)


def explicit(X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    X = X.astype(np.float64)
    labels = np.unique(y)
    means = np.stack([X[y == c].mean(axis=0) for c in labels])
    within = np.mean([np.cov(X[y == c].T, bias=True) for c in labels], axis=0)
    between = np.cov(means.T, bias=True)
    first = np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / len(labels)
    total = np.linalg.pinv(within + between, rcond=1e-12)
    rank = np.linalg.matrix_rank(between, tol=1e-9)
    return first, 1 - np.trace(between @ total) / rank


def test_matches_explicit_matrices_on_digits() -> None:
    data = load_digits()
    first, second = explicit(data.data, data.target)
    assert nc1(data.data, data.target) == pytest.approx(first, rel=1e-6)
    assert vci(data.data, data.target) == pytest.approx(second, rel=1e-6)


def test_more_components_than_shots_and_means_on_a_line() -> None:
    rng = np.random.default_rng(0)
    line = rng.normal(size=200)
    noise = 0.1 * rng.normal(size=(3, 6, 200))
    noise -= noise.mean(axis=1, keepdims=True)
    X = (noise + np.arange(3)[:, None, None] * line).reshape(18, 200)
    y = np.repeat(np.arange(3), 6)
    # The means are 0, 1 and 2 times `line`: one direction, of variance 2/3 |line|^2.
    within = np.square(noise @ (line / np.linalg.norm(line))).mean()
    expected = within / (2 / 3 * np.square(line).sum()) / 3
    assert explicit(X, y)[0] == pytest.approx(expected, rel=1e-6)
    # As float32 the means are off the line by rounding, and that must not count as a second direction.
    assert nc1(X.astype(np.float32), y) == pytest.approx(expected, rel=1e-3)
    assert vci(X.astype(np.float32), y) == pytest.approx(explicit(X, y)[1], abs=1e-3)


def test_bounds_shift_and_linear_maps() -> None:
    data = load_digits()
    X, y = data.data[:, 10:30], data.target
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(20, 20))
    assert nc1(X + 50, y) == pytest.approx(nc1(X, y), rel=1e-4)
    assert vci(X @ mix, y) == pytest.approx(vci(X, y), rel=1e-3)  # invariant; the map's condition costs digits
    assert nc1(7 * X, y) == pytest.approx(nc1(X, y), rel=1e-5)
    assert 0 < vci(X, y) < 1
    collapsed = np.stack([X[y == c].mean(axis=0) for c in y])
    assert nc1(collapsed, y) < 1e-12
    assert vci(collapsed, y) == pytest.approx(0, abs=1e-9)
    near = collapsed + 0.2 * (X - collapsed)
    assert nc1(near, y) < 0.05 * nc1(X, y)
    assert vci(near, y) < vci(X, y)


@pytest.mark.parametrize("measure", [nc1, vci])
def test_what_cannot_be_measured_says_why(measure) -> None:
    with pytest.raises(NotTaughtError, match="at least 2 classes; got 1"):
        measure([[1.0], [2.0]], ["a", "a"])
    with pytest.raises(ValueRangeError, match="class means of 2 classes coincide"):
        measure([[1.0], [-1.0], [2.0], [-2.0]], ["a", "a", "b", "b"])
    with pytest.raises(ShapeError, match=r"labels must be \(2,\)"):
        measure([[1.0], [2.0]], ["a"])
    with pytest.raises(ValueRangeError, match="row 1 holds NaN"):
        measure([[1.0], [np.nan]], ["a", "b"])
    with pytest.raises(LabelError, match="str or int"):
        measure([[1.0], [2.0]], [0.5, 1.5])
