"""What a head tells its teacher: advice, odd shots, drift, through the head itself."""

from __future__ import annotations

import numpy as np
import pytest

from edge_imprint import ImprintHead
from edge_imprint.errors import NotTaughtError, ShapeError
from edge_imprint.head.odd_shots import OddShots

METHODS = ("proxies", "ridge")
DIM = 48


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def taught(method, shots=15, classes=4, seed=0, **options):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, DIM))
    head = ImprintHead(dim=DIM, budget="128KB", method=method, **options)
    head.odd_shots = OddShots()
    for number in range(shots * classes):
        head.partial_fit((centres[number % classes] + rng.normal(size=DIM))[None], f"c{number % classes}")
    return head, centres, rng


def snapshot_of(head, tmp_path):
    head.save(tmp_path / "head.eimp")
    return (tmp_path / "head.eimp").read_bytes()


def test_an_empty_head_has_no_advice_and_cannot_drift(method):
    head = ImprintHead(dim=DIM, budget="128KB", method=method)
    assert head.advice() == []
    with pytest.raises(NotTaughtError, match="it knows none"):
        head.drift()
    with pytest.raises(NotTaughtError, match="it knows none"):
        head.observe(np.ones((1, DIM)))


def test_a_wrong_label_is_found_and_named(method):
    head, centres, rng = taught(method)
    head.partial_fit((centres[1] + 0.3 * rng.normal(size=DIM))[None], "c2")
    odd = [one for one in head.advice() if one.kind == "odd shot"]
    assert [one.labels for one in odd] == [("c2", "c1")]
    assert "Shot 61" in odd[0].sentence


def test_an_odd_shot_that_is_undone_is_forgotten(method):
    head, centres, rng = taught(method)
    head.partial_fit((centres[1] + 0.3 * rng.normal(size=DIM))[None], "c2")
    head.undo()
    assert not [one for one in head.advice() if one.kind == "odd shot"]


def test_a_forgotten_class_takes_its_odd_shots_along(method):
    head, centres, rng = taught(method)
    head.partial_fit((centres[1] + 0.3 * rng.normal(size=DIM))[None], "c2")
    head.forget("c1")
    assert all("c1" not in one.labels for one in head.advice())


def test_watching_and_logging_change_no_byte_of_what_was_learnt(method, tmp_path):
    head, centres, rng = taught(method)
    plain = ImprintHead(dim=DIM, budget="128KB", method=method)
    again = np.random.default_rng(0)
    again.normal(size=(4, DIM))
    for number in range(60):
        plain.partial_fit((centres[number % 4] + again.normal(size=DIM))[None], f"c{number % 4}")
    head.observe(rng.normal(size=(30, DIM)))
    assert snapshot_of(head, tmp_path) == snapshot_of(plain, tmp_path)


def test_pictures_like_those_taught_are_no_drift_and_shifted_ones_are(method):
    head, centres, rng = taught(method, shots=20)
    live = centres[rng.integers(0, 4, 64)] + rng.normal(size=(64, DIM))
    head.observe(live)
    assert head.drift().level == "none"
    head.observe(live + 2)
    assert (head.drift().level, head.drift().kind) == ("strong", "shift")


def test_teaching_starts_the_comparison_anew(method):
    head, _, rng = taught(method)
    head.observe(rng.normal(size=(64, DIM)) + 3)
    assert head.drift().level != "none"
    head.partial_fit(rng.normal(size=(1, DIM)), "c0")
    assert head.drift().level == "none"


def test_live_embeddings_are_checked(method):
    head, _, _ = taught(method)
    with pytest.raises(ShapeError, match="Use x"):
        head.observe(np.ones(DIM))


def test_a_batch_is_looked_at_before_it_is_learnt(method):
    head, centres, rng = taught(method)
    rows = np.stack([centres[0] + 0.2 * rng.normal(size=DIM), centres[1] + 0.2 * rng.normal(size=DIM)])
    head.partial_fit(rows, ["c3", "c1"])
    assert [(odd.number, odd.label, odd.looks_like) for odd in head.odd_shots.found()][:1] == [(61, "c3", "c0")]


def test_telling_says_what_an_answer_says_and_observes(method):
    head, centres, rng = taught(method)
    x = centres[rng.integers(0, 4, 40)] + rng.normal(size=(40, DIM))
    x[::4] = rng.normal(size=(10, DIM))  # never taught: not all verdicts are one
    told, answer = head.tell(x), head.answer(x)
    assert [one.label for one in told] == answer.labels
    assert [one.verdict for one in told] == answer.verdicts.tolist() == head.verdicts(x).tolist()
    assert len({one.verdict for one in told}) > 1
    assert [list(one.scores) for one in told] == [head.classes_.tolist()] * 40
    assert [list(one.scores.values()) for one in told] == answer.scores.tolist()
    sure = None if answer.confidences is None else answer.confidences.tolist()
    assert [one.confidence for one in told] == (sure or [None] * 40)
    observed = ImprintHead(dim=DIM, budget="128KB", method=method).merge(head)
    observed.observe(x)
    assert head.drift() == observed.drift()


def test_teaching_forgets_live_pictures_that_no_report_has_seen(method):
    head, _, rng = taught(method)
    head.observe(rng.normal(size=(20, DIM)) + 3)
    head.forget("c3")
    assert "0 live pictures" in head.drift().sentence
