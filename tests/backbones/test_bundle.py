"""Bundle folders: written whole, read only when every hash is right."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_imprint.backbones import BaseStatistics, load_backbone, read_manifest, write_bundle
from edge_imprint.errors import BundleError, StorageError

MakeBundle = Callable[..., Path]


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


@pytest.mark.parametrize("name", ["backbone.int8.onnx", "backbone.onnx"])
def test_a_changed_file_is_refused_with_both_hashes(make_bundle: MakeBundle, name: str) -> None:
    folder = make_bundle()
    path = folder / name
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    got = hashlib.sha256(content).hexdigest()
    with pytest.raises(BundleError, match=f"{name} must have .*{expected}; got {got}.*copy the bundle again"):
        load_backbone(folder, precision="int8" if "int8" in name else "float32")


def test_missing_and_empty_files_are_named(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    (folder / "backbone.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"backbone\.onnx has 0\."):
        load_backbone(folder, precision="float32")
    (folder / "backbone.onnx").unlink()
    with pytest.raises(BundleError, match=r"backbone\.onnx is missing"):
        load_backbone(folder, precision="float32")
    (folder / "backbone.onnx").mkdir()
    with pytest.raises(BundleError, match=r"backbone\.onnx is not a regular file"):
        load_backbone(folder, precision="float32")


def test_statistics_are_read_at_first_use_and_checked(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    statistics = load_backbone(folder).base_statistics
    assert statistics is not None
    assert statistics.count == 100
    assert statistics.second_moment.dtype == np.float32
    assert np.trace(statistics.second_moment) == pytest.approx(1)
    assert load_backbone(make_bundle("without", statistics=False)).base_statistics is None
    (folder / "base_statistics.npz").write_bytes(b"PK not any more")
    damaged = load_backbone(folder)  # it can still embed
    with pytest.raises(BundleError, match=r"base_statistics\.npz must have the SHA-256"):
        _ = damaged.base_statistics


def test_statistics_of_another_kind_are_refused() -> None:
    good = BaseStatistics(np.zeros(3, np.float32), np.eye(3, dtype=np.float32), 5)
    assert BaseStatistics.from_npz(good.to_npz(), 3, "s").count == 5
    with pytest.raises(BundleError, match=r"\(4,\).*\(3,\)"):
        BaseStatistics.from_npz(good.to_npz(), 4, "s")
    infinite = BaseStatistics(np.full(3, np.inf, np.float32), good.second_moment, 5)
    with pytest.raises(BundleError, match="NaN or infinity"):
        BaseStatistics.from_npz(infinite.to_npz(), 3, "s")
    for count in (0, 100):
        content = BaseStatistics(good.mean, good.second_moment, count).to_npz()
        for damaged in (content[: len(content) // 2], b"", b"PK\x03\x04", content[50:]):
            with pytest.raises(BundleError):
                BaseStatistics.from_npz(damaged, 3, "s")


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, mean=np.array([object()]), second_moment=np.eye(1), count=1)
    with pytest.raises(BundleError, match="mean, second_moment and count"):
        BaseStatistics.from_npz(path.read_bytes(), 1, "s")


def test_a_bundle_is_written_whole_or_not_at_all(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_bundle()
    manifest, contents = read_manifest(source), contents_of(source)
    target = tmp_path / "copy"
    target.mkdir()  # an empty folder may be there
    write_bundle(target, manifest, contents)
    assert load_backbone(target).digest == load_backbone(source).digest
    with pytest.raises(StorageError, match="new or empty folder"):
        write_bundle(target, manifest, contents)
    with pytest.raises(StorageError, match="does not exist"):
        write_bundle(tmp_path / "no" / "parent", manifest, contents)
    with pytest.raises(BundleError, match="contents must be"):
        write_bundle(tmp_path / "new", manifest, {})
    with pytest.raises(BundleError, match=r"backbone\.onnx must have the SHA-256"):
        write_bundle(tmp_path / "new", manifest, {**contents, "backbone.onnx": b"other"})

    synced = 0

    def full_disk(descriptor: int) -> None:
        nonlocal synced
        synced += 1
        if synced == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        write_bundle(tmp_path / "new", manifest, contents)
    assert sorted(tmp_path.iterdir()) == before


def test_only_a_bundle_is_replaced_and_extras_come_along(make_bundle: MakeBundle, tmp_path: Path) -> None:
    source = make_bundle()
    manifest, contents = read_manifest(source), contents_of(source)
    target = tmp_path / "target"
    write_bundle(target, manifest, contents, extras={"report.json": b"first"})
    with pytest.raises(StorageError, match="holds a bundle"):
        write_bundle(target, manifest, contents)
    write_bundle(target, manifest, contents, extras={"report.html": b"second"}, replace=True)
    assert (target / "report.html").read_bytes() == b"second"
    assert not (target / "report.json").exists()
    others = tmp_path / "photographs"
    others.mkdir()
    (others / "mug.jpg").write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"holds 'mug\.jpg'"):
        write_bundle(others, manifest, contents, replace=True)
    assert (others / "mug.jpg").read_bytes() == b"mine"
    (target / "mug.jpg").write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"holds 'mug\.jpg'"):
        write_bundle(target, manifest, contents, replace=True)
    assert (target / "report.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_ctrl_c_while_writing_keeps_the_old_bundle(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_bundle()
    manifest, contents = read_manifest(source), contents_of(source)
    target = tmp_path / "target"
    write_bundle(target, manifest, contents, extras={"report.json": b"first"})
    before = sorted(tmp_path.rglob("*"))
    for moment in range(1, 5):
        calls = 0

        def interrupt(descriptor: int, moment: int = moment) -> None:
            nonlocal calls
            calls += 1
            if calls == moment:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        try:
            write_bundle(target, manifest, contents, replace=True)
        except KeyboardInterrupt:
            assert sorted(tmp_path.rglob("*")) == before
        else:
            assert calls < moment
            break
