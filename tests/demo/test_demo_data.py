"""The demo's pictures: real, repeatable, and apart where the report says that they are."""

from __future__ import annotations

import io
import socket

import numpy as np
import pytest
from PIL import Image

from edge_imprint.demo import data


def opened(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


def test_the_digits_are_dark_on_white_and_keep_what_the_scan_shows():
    from sklearn.datasets import load_digits

    pictures, labels = data.digit_scans()
    scans = load_digits()
    assert pictures.shape == (1797, 96, 96, 3)
    assert pictures.dtype == np.uint8
    assert labels[:10] == list("0123456789")
    small = np.asarray(Image.fromarray(pictures[0]).convert("L").resize((8, 8), Image.Resampling.BOX), float)
    assert np.corrcoef(small.ravel(), scans.images[0].ravel())[0, 1] < -0.95


def test_the_installed_packages_carry_every_photograph():
    """On the versions of constraints.txt; others may carry fewer, which `available` leaves out."""
    assert data.available(data.TAUGHT) == list(data.TAUGHT)
    assert data.available(data.NEVER_SHOWN) == list(data.NEVER_SHOWN)
    labels = [thing.label for thing in (*data.TAUGHT, *data.NEVER_SHOWN)]
    assert len(set(labels)) == len(labels)


def test_no_photograph_is_both_taught_and_never_shown():
    taught = {file for thing in data.TAUGHT for file, _ in (thing.teach_from, thing.test_on)}
    secret = {file for thing in data.NEVER_SHOWN for file, _ in (thing.teach_from, thing.test_on)}
    assert not taught & secret


def test_what_is_called_never_shown_in_a_half_does_not_overlap():
    for thing in data.TAUGHT:
        if "half" in thing.honesty:
            (file, teach), (other, test) = thing.teach_from, thing.test_on
            assert file == other
            assert teach[2] <= test[0] or teach[3] <= test[1]
        elif "second photograph" in thing.honesty:
            assert thing.teach_from[0] != thing.test_on[0]
        else:
            assert "same photograph" in thing.honesty


def test_views_are_jpeg_files_that_differ_and_repeat():
    source = data.TAUGHT[0].teach_from
    first = data.views(source, 4, np.random.default_rng(7))
    assert all(file.startswith(b"\xff\xd8") for file in first)
    assert {opened(file).shape for file in first} == {(data.VIEW_PIXELS, data.VIEW_PIXELS, 3)}
    assert len(set(first)) == 4
    assert data.views(source, 4, np.random.default_rng(7)) == first
    assert data.views(source, 4, np.random.default_rng(8)) != first


def test_views_stay_inside_their_box(tmp_path, monkeypatch):
    """Of a photograph that is white on the left and black on the right, a half's views have one colour."""
    half = np.zeros((300, 400, 3), np.uint8)
    half[:, :200] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    monkeypatch.setattr(data, "photograph_file", lambda name: tmp_path / "half.png")
    rng = np.random.default_rng(0)
    for view in data.views(("x/half.png", (0.0, 0.0, 0.49, 1.0)), 30, rng):
        assert opened(view).min() > 100  # darker than white only by the change of brightness
    for view in data.views(("x/half.png", (0.51, 0.0, 1.0, 1.0)), 30, rng):
        assert opened(view).max() < 60


def test_nothing_asks_the_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the demo asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data.require_packages()
    data.digit_scans()
    for thing in (*data.TAUGHT, *data.NEVER_SHOWN):
        data.views(thing.test_on, 1, np.random.default_rng(0))


def test_a_photograph_that_a_version_lacks_is_left_out():
    gone = data.Photograph("gone", "gone", ("skimage/none.png", data.WHOLE), ("skimage/none.png", data.WHOLE), "")
    assert data.available((gone, data.TAUGHT[0])) == [data.TAUGHT[0]]


@pytest.mark.parametrize("name", ["skimage/coffee.png", "sklearn/china.jpg", "matplotlib/grace_hopper.jpg"])
def test_photographs_are_found_in_their_packages(name):
    with Image.open(data.photograph_file(name)) as image:
        assert min(image.size) >= 300
