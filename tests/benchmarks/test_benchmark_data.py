"""Shared pictures: read from their zips, embedded by the project's own backbone, cached, and checked."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import data
from benchmarks.data import Pictures, SharedEmbeddings
from benchmarks.errors import DataMissingError

BACKBONE = "mobilenet_v1_0.25_128"


@pytest.fixture
def small(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the shared one with three pictures a split, and an empty cache."""
    folder = tmp_path / "data"
    (folder / "backbones").mkdir(parents=True)
    name = data.BACKBONES[BACKBONE].file
    assert name is not None
    shutil.copy(shared_data / "backbones" / name, folder / "backbones")
    with (
        zipfile.ZipFile(shared_data / "clothing_small.zip") as source,
        zipfile.ZipFile(folder / "clothing_small.zip", "w") as target,
    ):
        for split in ("train", "test"):
            for label in ("hat", "shoes", "dress"):
                first = min(entry for entry in source.namelist() if entry.startswith(f"{split}/{label}/"))
                target.writestr(first, source.read(first))
    monkeypatch.setenv("EDGE_IMPRINT_DATA", str(folder))
    monkeypatch.setenv("EDGE_IMPRINT_CACHE", str(tmp_path / "cache"))
    data.backbone_of.cache_clear()
    yield folder
    data.backbone_of.cache_clear()


def test_the_shared_zips_hold_what_their_page_says(shared_data: Path) -> None:
    assert len(Pictures("clothing_small", "train")) == 3068
    assert len(Pictures("clothing_small", "test")) == 372
    cifar = Pictures("cifar10_subset", "test")
    labels, counts = np.unique(cifar.labels, return_counts=True)
    assert len(labels) == 10
    assert set(counts) == {500}
    assert cifar.read([0])[0].startswith(b"\xff\xd8")


def test_embeddings_are_made_once_then_cached_and_a_stale_cache_is_seen(small: Path, tmp_path: Path) -> None:
    source = SharedEmbeddings(Console(quiet=True))
    first = source.load("clothing_small", BACKBONE)
    assert first.dim == 256
    assert first.train.dtype == np.float32
    assert first.train_labels.tolist() == ["dress", "hat", "shoes"]
    files = sorted((tmp_path / "cache" / "embeddings").iterdir())
    assert len(files) == 2
    stamps = [file.stat().st_mtime_ns for file in files]
    assert np.array_equal(source.load("clothing_small", BACKBONE).train, first.train)
    assert [file.stat().st_mtime_ns for file in files] == stamps
    for file in files:
        np.savez(file, X=np.zeros((3, 256), np.float32))
    assert np.array_equal(source.load("clothing_small", BACKBONE).test, first.test)


def test_missing_pictures_and_backbones_say_what_to_set(small: Path) -> None:
    source = SharedEmbeddings(Console(quiet=True))
    with pytest.raises(DataMissingError, match=r"cifar10_subset\.zip is missing; set EDGE_IMPRINT_DATA"):
        source.load("cifar10_subset", BACKBONE)
    with pytest.raises(DataMissingError, match="set EDGE_IMPRINT_DATA to the folder that holds backbones"):
        source.load("clothing_small", "mobilenet_v1_1.0_224")
