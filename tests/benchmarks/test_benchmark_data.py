"""Shared pictures: read from their zips, embedded by the project's own backbone, cached, and checked."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import data
from benchmarks.data import BackboneSource, BaseSource, Pictures, SharedEmbeddings, normalise
from benchmarks.errors import DataMissingError
from edge_imprint_export.projection import fit_projection

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


@pytest.fixture
def calibrated(small: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with eight calibration pictures, and a backbone that is projected to three axes."""
    with (
        zipfile.ZipFile(shared_data / "imagenet_samples_1000.zip") as source,
        zipfile.ZipFile(small / "imagenet_samples_1000.zip", "w") as target,
    ):
        for name in source.namelist()[:8]:
            target.writestr(name, source.read(name))
    file = data.BACKBONES[BACKBONE].file
    monkeypatch.setitem(data.BACKBONES, "three", BackboneSource("three axes", file, project=(BACKBONE, 3)))
    return small


def test_base_statistics_are_moments_of_the_calibration_pictures(calibrated: Path) -> None:
    source = SharedEmbeddings(Console(quiet=True))
    assert isinstance(source, BaseSource)
    unit = normalise(source.calibration(BACKBONE))
    assert unit.shape == (8, 256)
    found = source.base_statistics(BACKBONE)
    assert found.count == 8
    np.testing.assert_allclose(found.mean, unit.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.second_moment, sum(np.outer(row, row) for row in unit) / 8, atol=1e-6)
    assert source.base_statistics("default-int8").count == 1000  # the bundle's own


def test_a_projected_backbone_gives_the_calibration_pictures_main_axes(calibrated: Path, tmp_path: Path) -> None:
    source = SharedEmbeddings(Console(quiet=True))
    wide, narrow = source.load("clothing_small", BACKBONE), source.load("clothing_small", "three")
    projection = fit_projection(source.calibration(BACKBONE), 3)
    assert narrow.dim == 3
    assert np.array_equal(narrow.train, projection(wide.train))
    assert np.array_equal(narrow.test, projection(wide.test))
    assert narrow.test_labels.tolist() == wide.test_labels.tolist()
    statistics = source.base_statistics("three")
    np.testing.assert_allclose(np.trace(statistics.second_moment), 1, atol=1e-6)
    assert statistics.mean.shape == (3,)
    stored = [file for file in (tmp_path / "cache" / "embeddings").iterdir() if file.name.startswith("three-")]
    assert len(stored) == 3  # train, test, calibration
    for file in stored:  # kept for embeddings that the parent no longer gives
        np.savez(file, X=np.zeros((3, 3), np.float32), origin=np.array("of something else"))
    assert np.array_equal(source.load("clothing_small", "three").train, narrow.train)


def test_missing_pictures_and_backbones_say_what_to_set(small: Path) -> None:
    source = SharedEmbeddings(Console(quiet=True))
    with pytest.raises(DataMissingError, match=r"cifar10_subset\.zip is missing; set EDGE_IMPRINT_DATA"):
        source.load("cifar10_subset", BACKBONE)
    with pytest.raises(DataMissingError, match="set EDGE_IMPRINT_DATA to the folder that holds backbones"):
        source.load("clothing_small", "mobilenet_v1_1.0_224")
