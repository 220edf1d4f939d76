"""What advice is told of a head is what the head was taught."""

from __future__ import annotations

import numpy as np
import pytest
from heads import digits

from edge_imprint import ImprintHead
from edge_imprint.head.advice import advise
from edge_imprint.head.drift import DriftMonitor
from edge_imprint.head.summaries import means_and_shots, summaries


def shuffled() -> tuple[np.ndarray, np.ndarray]:
    """The digits in random order: as they come they are sorted by who wrote them, which is a drift."""
    x, y = digits()
    order = np.random.default_rng(0).permutation(len(x))
    return x[order], y[order]


@pytest.fixture
def head() -> ImprintHead:
    x, y = shuffled()
    return ImprintHead(64, "16KB").partial_fit(x[:400], y[:400])


def test_means_and_shots_are_those_of_the_unit_shots(head):
    x, y = shuffled()
    unit = x[:400] / np.linalg.norm(x[:400], axis=1, keepdims=True)
    means, shots = means_and_shots(head._arena)
    for index, label in enumerate(head.classes_):
        assert shots[index] == (y[:400] == label).sum()
        # 16 bits for a component of at most 1, and rounding once a shot.
        assert np.abs(means[index] - unit[y[:400] == label].mean(axis=0)).max() < 1e-3


def test_bytes_and_centres_are_those_of_the_head(head):
    found = summaries(head._arena, head._labels, head._engine.layout)
    assert [one.label for one in found] == head._labels
    assert [one.n_centres + 1 for one in found] == list(head.proxies_per_class().values())
    before = head.nbytes
    gone = found[3]
    head.forget(gone.label)
    assert before - head.nbytes == gone.size_bytes


def test_centres_lie_about_the_mean(head):
    for one in summaries(head._arena, head._labels, head._engine.layout):
        if one.centres is not None:
            middle = np.average(one.centres, axis=0, weights=one.counts)
            assert np.linalg.norm(middle - one.mean) < 0.3
            assert one.counts.sum() <= one.shots


def test_a_real_head_gets_advice_and_no_alarm(head):
    x, _ = shuffled()
    found = advise(summaries(head._arena, head._labels, head._engine.layout))
    assert found
    named = {label for piece in found if piece.kind in ("more shots", "enough shots") for label in piece.labels}
    assert named == set(head._labels)
    monitor = DriftMonitor(64)
    means, shots = means_and_shots(head._arena)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    for picture in x[400:600]:
        scores = unit @ (picture / np.linalg.norm(picture))
        monitor.observe(picture, int(scores.argmax()), float(scores.max()))
    assert monitor.report(means, shots).level == "none"
    for picture in x[600:750]:
        turned = picture.reshape(8, 8).T.ravel()
        scores = unit @ (turned / np.linalg.norm(turned))
        monitor.observe(turned, int(scores.argmax()), float(scores.max()))
    assert monitor.report(means, shots).level != "none"


def test_an_untaught_head_has_no_summaries():
    head = ImprintHead(64, "16KB")
    assert summaries(head._arena, head._labels, head._engine.layout) == []
    means, shots = means_and_shots(head._arena)
    assert means.shape == (0, 64)
    assert shots.shape == (0,)
