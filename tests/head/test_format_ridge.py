"""docs/FORMAT.md is right about the sections of a second moment, and about what a reader makes of them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from edge_imprint.errors import SnapshotCorruptError
from edge_imprint.head import ImprintHead, codec

DIM = 6
RIDGE = ("ridge", "scatter")
X = np.random.default_rng(0).normal(size=(12, DIM))
HEAD = ImprintHead(DIM, "4KB", method="ridge").partial_fit(X, list("aabbccddabcd"))
PARTS = codec.sections(HEAD, "some backbone")


def load(parts):
    return codec.head_from(ImprintHead, parts)


def test_the_document_names_the_sections_and_their_sizes(repository):
    table = (repository / "docs" / "FORMAT.md").read_text().split("## Sections of a second moment")[1]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    sizes = {name.strip(" `"): size.replace("`", "").strip() for name, size in rows}
    assert sizes == {
        "ridge": "8",
        "scatter": "2 dim (dim + 1)",
        "log": "m times dim + 8, rounded up to a multiple of 4",
    }
    assert tuple(PARTS)[-5:] == ("low", *RIDGE, "log", "backbone")
    assert len(PARTS["log"]) == 16 * len(X)
    assert (len(PARTS["ridge"]), len(PARTS["scatter"])) == (8, 2 * DIM * (DIM + 1))


def test_numbers_are_where_the_document_says():
    shots, sharpness = struct.unpack("<Ii", PARTS["ridge"])
    assert shots == len(X) - 1  # the first shot of all has no mean to differ from
    assert abs(sharpness) <= 6 << 16
    numbers = np.frombuffer(PARTS["scatter"], "<i4")
    diagonal = np.array([numbers[i * (i + 1) // 2 + i] for i in range(DIM)]) / 65536
    assert (diagonal > 1).all()  # the identity, and what shots add
    full = np.zeros((DIM, DIM))
    for i in range(DIM):
        for j in range(i + 1):
            full[i, j] = full[j, i] = numbers[i * (i + 1) // 2 + j] / 65536
    assert np.linalg.eigvalsh(full).min() > 0.99


def test_the_log_has_the_shots_of_the_scatter_the_newest_first():
    entries = [PARTS["log"][place : place + 16] for place in range(0, len(PARTS["log"]), 16)][::-1]
    numbers = [struct.unpack("<6b2xHBB4x", entry) for entry in entries]
    assert [(place, counted) for *_, place, _, counted in numbers] == [
        ("abcd".index(label), int(number > 0)) for number, label in enumerate("aabbccddabcd")
    ]
    total = np.zeros((DIM, DIM))
    for *row, _, shift, _ in numbers:
        total += np.outer(row, row) * 4.0**shift / 2.0**26
    scatter = np.frombuffer(PARTS["scatter"], "<i4") / 65536
    assert np.allclose(total[np.tril_indices(DIM)] + np.eye(DIM)[np.tril_indices(DIM)], scatter, atol=2e-4)


@pytest.mark.parametrize("name", RIDGE)
def test_one_without_the_other_is_refused(name):
    with pytest.raises(SnapshotCorruptError, match=name):
        load({key: value for key, value in PARTS.items() if key != name})


@pytest.mark.parametrize(
    ("shots", "sharpness", "first"), [(11, (6 << 16) + 1, None), (11, 0, 0), (11, 0, 1 << 30), (11, 0, 1)]
)
def test_numbers_out_of_their_range_are_refused(shots, sharpness, first):
    scatter = PARTS["scatter"] if first is None else struct.pack("<i", first) + PARTS["scatter"][4:]
    with pytest.raises(SnapshotCorruptError, match="scatter"):
        load({**PARTS, "ridge": struct.pack("<Ii", shots, sharpness), "scatter": scatter})


def test_a_scatter_with_next_to_nothing_in_some_direction_is_refused():
    """Its pivots are all large, yet solutions with it would overflow."""
    dim = 64
    lower = np.eye(dim) * 0.75 + np.eye(dim, k=-1) * 100
    head = ImprintHead(dim, "64KB", method="ridge").partial_fit(np.eye(dim)[:4], list("aabb"))
    crafted = np.rint((lower @ lower.T)[np.tril_indices(dim)] * 65536).astype("<i4").tobytes()
    with pytest.raises(SnapshotCorruptError, match="scatter"):
        load({**codec.sections(head, ""), "scatter": crafted})


def test_a_reader_that_ignores_them_finds_the_classes_and_the_wrong_thresholds():
    plain = load({key: value for key, value in PARTS.items() if key not in RIDGE})
    assert plain.shots_per_class() == HEAD.shots_per_class()
    assert plain.proxies_per_class() == HEAD.proxies_per_class()
    assert plain.thresholds() == HEAD.thresholds()  # drawn on scores that this head does not have
    assert (plain.decision_function(X) != HEAD.decision_function(X)).any()
