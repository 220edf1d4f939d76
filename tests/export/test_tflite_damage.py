"""Damaged .tflite files: one error or a file, soon and in little memory, and nothing else."""

from __future__ import annotations

import contextlib
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_imprint.errors import BundleError, ExportError, MissingRuntimeError

pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT: pip install 'edge-imprint[export]'")
from flatmodel import Net, classifier
from flatrun import read

from edge_imprint_export.tflite_format.rewrite import cut


def refused_or_cut(content: bytes) -> None:
    with contextlib.suppress(BundleError, ExportError):
        cut(content)


def test_every_truncation_is_refused_or_harmless(shared_data: Path) -> None:
    content = read(shared_data, "pretrainedResnet_quant")
    for length in [*range(300), *range(300, len(content) - 1, 499)]:
        with pytest.raises(BundleError):
            cut(content[:length])
    small = classifier()
    for length in range(len(small)):
        refused_or_cut(small[:length])


@pytest.mark.parametrize("name", ["pretrainedResnet_quant", "kws_ref_model"])
def test_damage_ends_in_an_error_soon(shared_data: Path, name: str) -> None:
    content = read(shared_data, name)
    rng = np.random.default_rng(5)
    words = (0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 1 << 20, len(content))
    structure = len(content) - 40_000  # where this converter writes tables
    start = time.perf_counter()
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(0 if rng.random() < 0.3 else max(structure, 0), len(content) - 4))
            if rng.random() < 0.5:
                damaged[at] ^= 1 << int(rng.integers(8))
            else:
                struct.pack_into("<I", damaged, at, int(rng.choice(words)))
        refused_or_cut(bytes(damaged))
    assert time.perf_counter() - start < 30


def test_every_flipped_bit_of_a_small_file() -> None:
    content = classifier(side=4, channels=2, classes=3)
    for at in range(8, len(content)):
        for bit in (0, 3, 7):
            damaged = bytearray(content)
            damaged[at] ^= 1 << bit
            refused_or_cut(bytes(damaged))


def test_a_file_whose_tables_share_one_long_list_is_refused_soon() -> None:
    """Twenty thousand tensors with the same name of a megabyte: a small file that unfolds to 20 GB."""
    net = Net()
    x = net.input("picture", (1, 2))
    name = b"n" * 1_000_000
    for _ in range(20_000):
        net.graph.tensors[net.tensor("", (1, 2))].name = name
    content = net.write(net.operator("RELU", [x], net.tensor("y", (1, 2))))
    assert len(content) < 3_000_000
    start = time.perf_counter()
    with pytest.raises(BundleError, match="longer than the file"):
        cut(content)
    assert time.perf_counter() - start < 5


def test_a_missing_runtime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    content = classifier()
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingRuntimeError, match=r"pip install 'edge-imprint\[export\]'"):
        cut(content)
