"""What parity says of embeddings whose differences are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_imprint.errors import ParityError, ShapeError
from edge_imprint_export.parity import FewShot, few_shot, judge, parity


def rows(count: int = 40, dim: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 1, (count, dim)).astype(np.float32)


def names(count: int) -> list[str]:
    return [f"photos/{i}.jpg" for i in range(count)]


def test_equal_embeddings():
    same = parity(rows(), rows())
    assert same.cosine_min == pytest.approx(1, abs=1e-12)
    assert same.centred_min == pytest.approx(1, abs=1e-12)
    assert same.largest_difference == 0
    assert same.neighbours == 1
    assert same.zeros == ()
    assert same.few_shot == ()
    assert len(same.cosines) == same.count == 40


def test_known_angles():
    """One embedding is turned by 30 degrees in a plane, and the mean of all is known."""
    reference = np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2], [2, 2, 2]], np.float32)
    got = reference.copy()
    got[1] = [0, 2 * np.cos(np.pi / 6), 2 * np.sin(np.pi / 6)]
    found = parity(reference, got)
    assert found.worst == found.most_different == 1
    assert found.cosine_min == pytest.approx(np.cos(np.pi / 6), abs=1e-6)
    assert found.cosine_mean == pytest.approx((3 + np.cos(np.pi / 6)) / 4, abs=1e-6)
    middle = reference.mean(axis=0)
    a, b = reference[1] - middle, got[1] - middle
    assert found.centred_min == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    assert found.largest_difference == pytest.approx(0.5, abs=1e-6)  # 2 sin 30 of a scale of 2


def test_scaling_keeps_the_direction_and_shows_as_a_difference():
    found = parity(rows(), 1.5 * rows())
    assert found.cosine_min == pytest.approx(1, abs=1e-6)
    assert found.largest_difference == pytest.approx(0.5, abs=1e-6)


def test_a_common_offset_hides_what_centring_shows():
    """Embeddings after a ReLU all point much the same way: raw cosines are high whatever happens."""
    noise, other = rows(seed=1) - 1, rows(seed=2) - 1
    found = parity(noise + 50, other + 50)
    assert found.cosine_min > 0.99
    assert found.centred_mean < 0.3


def test_nearest_neighbours_that_change_are_counted():
    reference = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    got = np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], np.float32)
    assert parity(reference, reference).neighbours == 1
    assert parity(reference, got).neighbours == 0
    assert parity(reference[:2], got[:2]).neighbours is None


def test_of_equal_neighbours_each_is_right():
    reference = np.repeat(np.eye(3, dtype=np.float32), 3, axis=0)
    got = reference.copy()
    got[2] *= 1.001
    assert parity(reference, got).neighbours == 1


def test_a_single_picture():
    one = parity(rows(1), rows(1))
    assert one.cosine_min == one.cosine_mean == pytest.approx(1)
    assert one.centred_min is None
    assert one.centred_mean is None
    assert one.neighbours is None
    assert judge(one, "float32", names(1)).grade == "pass"


def test_embeddings_that_are_all_alike_have_no_centred_cosine():
    same = np.tile(rows(1), (5, 1))
    found = parity(same, same * np.float32(1 + 1e-6))
    assert found.centred_min is None
    assert found.cosine_min == pytest.approx(1)


def test_zero_embeddings():
    reference, got = rows(5), rows(5)
    reference[1] = got[1] = 0
    both = parity(reference, got)
    assert both.cosines[1] == 1
    assert both.zeros == ()
    got[3] = 0
    one = parity(reference, got)
    assert one.cosines[3] == one.cosine_min == 0
    assert one.worst == 3
    assert one.zeros == (3,)
    verdict = judge(one, "int8", names(5))
    assert verdict.grade == "fail"
    assert "photos/3.jpg is zero" in verdict.reasons[-1]
    everything = parity(np.zeros((3, 4), np.float32), np.zeros((3, 4), np.float32))
    assert everything.largest_difference == 0
    assert everything.cosine_min == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(value):
    broken = rows(5)
    broken[[2, 4], 3] = value
    with pytest.raises(ParityError, match="the source gives NaN or infinity for 2 of 5 pictures, first for number 3"):
        parity(broken, rows(5))
    with pytest.raises(ParityError, match="the exported file gives NaN or infinity"):
        parity(rows(5), broken)


@pytest.mark.parametrize("shapes", [((3, 4), (3, 5)), ((3, 4), (2, 4)), ((0, 4), (0, 4)), ((4,), (4,))])
def test_shapes_that_do_not_fit(shapes):
    with pytest.raises(ShapeError, match="same pictures"):
        parity(*(np.ones(shape, np.float32) for shape in shapes))


def clusters(spread: float, each: int = 12) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(3)
    centres = 4 * np.eye(5, 20)
    labels = [f"class {i}" for i in range(5) for _ in range(each)]
    points = np.concatenate([centre + rng.normal(0, spread, (each, 20)) for centre in centres])
    return points.astype(np.float32), labels


def test_few_shot_accuracy_before_and_after():
    points, labels = clusters(0.1)
    shuffled = points[np.random.default_rng(0).permutation(len(points))]
    one, five = few_shot(points, shuffled, labels)
    assert (one.shots, five.shots, five.classes) == (1, 5, 5)
    assert one.before == five.before == 100
    assert five.after < 45  # chance is 20
    assert few_shot(points, points, labels) == few_shot(points, points.copy(), labels)


def test_few_shot_leaves_out_what_cannot_be_used():
    points, labels = clusters(0.1, each=7)
    got = points.copy()
    got[0] = 0  # class 0 has six left
    got[7:9] = 0  # class 1 has five left: too few
    assert few_shot(points, got, labels)[0].classes == 4
    assert few_shot(points[:5], points[:5], labels[:5]) == ()
    assert few_shot(points, points, ["same"] * 35) == ()


def with_(**changes: object) -> object:
    return dataclasses.replace(parity(rows(4), rows(4)), **changes)


@pytest.mark.parametrize(
    ("precision", "changes", "grade", "words"),
    [
        ("float32", {"largest_difference": 9e-5}, "pass", "9e-05"),
        ("float32", {"largest_difference": 2e-4, "most_different": 2}, "warn", "photos/2.jpg"),
        ("float32", {"largest_difference": 2e-3, "most_different": 1}, "fail", "photos/1.jpg"),
        ("int8", {"cosine_min": 0.996, "cosine_mean": 0.9995}, "pass", "0.9960"),
        ("int8", {"cosine_min": 0.992, "worst": 3}, "warn", "photos/3.jpg"),
        ("int8", {"cosine_min": 0.996, "cosine_mean": 0.9985}, "warn", "0.9985"),
        ("int8", {"cosine_min": 0.9899, "worst": 1}, "fail", "photos/1.jpg, has a cosine of 0.9899"),
        ("int8", {"largest_difference": 0.2, "cosine_min": 0.999}, "pass", "0.9990"),
        ("int8", {"few_shot": (FewShot(1, 5, 20, 40, 30), FewShot(5, 5, 20, 60, 58))}, "warn", "60.0 to 58.0 %"),
        ("int8", {"few_shot": (FewShot(1, 5, 20, 40, 30), FewShot(5, 5, 20, 60, 59.5))}, "pass", "cosine"),
    ],
)
def test_verdicts(precision, changes, grade, words):
    verdict = judge(with_(**changes), precision, names(4))
    assert verdict.grade == grade
    assert words in verdict.reasons[0]


def test_the_minimum_cosine_is_the_users():
    bad = with_(cosine_min=0.97)
    assert judge(bad, "int8", names(4)).grade == "fail"
    assert judge(bad, "int8", names(4), min_cosine=0.96).grade == "warn"
    assert "the minimum is 0.98" in judge(bad, "int8", names(4), min_cosine=0.98).reasons[0]
