"""Which pictures calibrate and judge, and that their tensors are those that a device makes of the same files."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_imprint.backbones import Backbone, FileSpec, InputSpec, Manifest, Quantisation
from edge_imprint.errors import UsageError
from edge_imprint_export import gather
from edge_imprint_export.calibration import Calibration

SPEC = InputSpec(24, 32, mean=(120.0, 110.5, 99.0), scale=(1 / 58.4, 1 / 57.1, 1 / 57.4))
CROP = replace(SPEC, resize="shorter_side_then_centre_crop", resize_side=40, colour="bgr")


def write(path: Path, seed: int, size: tuple[int, int] = (60, 45), mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def folder_of(tmp_path: Path, counts: dict[str, int]) -> Path:
    folder = tmp_path / "photos"
    for (label, count), number in zip(counts.items(), itertools.count(), strict=False):
        for i in range(count):
            write(folder / label / f"{i:03}.png", 1000 * number + i, size=(20, 16))
    return folder


def file_of(layout: str, dtype: str, quantisation: Quantisation | None) -> FileSpec:
    return FileSpec("b.onnx", "onnx", "int8", "0" * 64, 1, layout, dtype, "embedding", quantisation)


@pytest.mark.parametrize("spec", [SPEC, CROP], ids=["squash", "crop"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("dtype", "quantisation"),
    [("float32", None), ("uint8", Quantisation(0.0181, 119)), ("int8", Quantisation(0.0177, -9)), ("uint8", None)],
)
def test_tensors_are_those_that_a_backbone_prepares(tmp_path, spec, layout, dtype, quantisation):
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = [
        write(tmp_path / "a.jpg", 1, (61, 47), quality=90),
        write(tmp_path / "b.jpg", 2, (47, 80), exif=exif),
        write(tmp_path / "c.png", 3, (33, 50), mode="L"),
        write(tmp_path / "d.png", 4, (32, 24), mode="RGBA"),
        write(tmp_path / "e.png", 5, (300, 200)),
    ]
    file = file_of(layout, dtype, quantisation)
    manifest = Manifest("m", "MIT", "a test", 4, spec, (file,))
    wanted = Backbone(manifest, file, None, source="b.onnx", options={}).prepare(paths)
    calibration = Calibration.open(tmp_path, spec)
    assert calibration.names == tuple(path.name for path in paths)
    assert calibration.values.dtype == np.uint8
    for got in (
        calibration.tensors("all", file),
        calibration.tensors(
            "all", layout, dtype, (quantisation.scale, quantisation.zero_point) if quantisation else (1.0, 0)
        ),
    ):
        assert len(got) == len(paths)
        assert got[0].shape == (1, *wanted.shape[1:])
        assert got[0].dtype == wanted.dtype
        np.testing.assert_array_equal(np.concatenate(list(got)), wanted)


def test_tensors_after_the_preprocessing_was_folded_into_the_network(tmp_path):
    path = write(tmp_path / "a.png", 1)
    plain = replace(SPEC, mean=(0.0,) * 3, scale=(1.0,) * 3)
    folded = Calibration.open(path, SPEC).tensors("all", file_of("nhwc", "uint8", None), spec=plain)
    np.testing.assert_array_equal(folded[0][0], Calibration.open(path, SPEC).values[0])
    with pytest.raises(UsageError, match="resized"):
        Calibration.open(path, SPEC).tensors("all", spec=InputSpec(8, 8))


def test_the_parts_are_disjoint_spread_over_labels_and_the_same_every_time(tmp_path):
    folder = folder_of(tmp_path, {"cup": 40, "hat": 20, "mug": 9})
    first, second = Calibration.open(folder, SPEC), Calibration.open(folder, SPEC)
    assert (first.calibrating, first.judging) == (second.calibrating, second.judging)
    assert not set(first.calibrating) & set(first.judging)
    assert sorted(first.calibrating + first.judging) == list(range(69))
    assert first.held_out
    assert first.enough_for_int8
    assert first.names[0] == "cup/000.png"
    for part in ("calibrate", "judge"):
        assert set(first.labels_of(part)) == {"cup", "hat", "mug"}
        assert len(first.tensors(part)) == len(first.names_of(part)) == len(first.labels_of(part))


def test_a_limit_takes_as_many_of_each_label_as_there_are(tmp_path):
    folder = folder_of(tmp_path, {"cup": 40, "hat": 20, "mug": 3})
    taken = Calibration.open(folder, SPEC, limit=23)
    assert {label: taken.labels.count(label) for label in ("cup", "hat", "mug")} == {"cup": 10, "hat": 10, "mug": 3}
    assert taken.found == 63
    assert "23 of 63 calibration pictures were used." in taken.notes
    cups = [int(name[4:7]) for name in taken.names if name.startswith("cup")]
    assert np.diff(cups).tolist() == [4] * 9  # evenly along the sorted names


def test_at_most_200_calibrate(tmp_path):
    folder = folder_of(tmp_path, {"only": 450})
    taken = Calibration.open(folder, InputSpec(4, 4), limit=450)
    assert (len(taken.calibrating), len(taken.judging)) == (200, 250)
    assert taken.labels is None  # one label tells nothing apart


def test_corrupt_pictures_are_skipped_named_and_counted(tmp_path):
    folder = folder_of(tmp_path, {"cup": 15, "hat": 15})
    whole = (folder / "cup/003.png").read_bytes()
    (folder / "cup/003.png").write_bytes(whole[: len(whole) // 2])
    (folder / "hat/001.png").write_bytes(b"")
    told = []
    taken = Calibration.open(folder, SPEC, progress=lambda done, total: told.append((done, total)))
    assert [name for name, _ in taken.skipped] == ["cup/003.png", "hat/001.png"]
    assert "truncated" in taken.skipped[0][1]
    assert not any(str(tmp_path) in reason for _, reason in taken.skipped)
    assert len(taken) == 28
    assert taken.labels.count("cup") == 14
    assert told[-1] == (30, 30)


def test_mostly_corrupt_pictures_are_refused_with_the_first_named(tmp_path):
    folder = folder_of(tmp_path, {"cup": 3})
    for i in range(4):
        (folder / "cup" / f"9{i}.jpg").write_bytes(b"not a picture")
    with pytest.raises(UsageError, match=r"4 of 7 are not. The first is cup/90\.jpg: "):
        Calibration.open(folder, SPEC)


@pytest.mark.parametrize("count", [1, 3])
def test_few_pictures_do_for_parity_and_not_for_int8(tmp_path, count):
    taken = Calibration.open(folder_of(tmp_path, {"cup": count}), SPEC)
    assert not taken.enough_for_int8
    assert not taken.held_out
    assert taken.calibrating == taken.judging == tuple(range(count))
    assert f"Only {count} calibration pictures: those that calibrate also judge." in taken.notes


def test_missing_and_empty_folders(tmp_path):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("none")
    with pytest.raises(UsageError, match=r"at least one file that ends in \.bmp.*empty, which holds none"):
        Calibration.open(tmp_path / "empty", SPEC)
    with pytest.raises(UsageError, match=r"no such path: .*missing"):
        Calibration.open(tmp_path / "missing", SPEC)
    with pytest.raises(UsageError, match="holds none"):
        Calibration.open([], SPEC)
    with pytest.raises(UsageError, match="at least 1; got 0"):
        Calibration.open(tmp_path, SPEC, limit=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read(tmp_path):
    folder = folder_of(tmp_path, {"cup": 2, "hat": 2})
    (folder / "hat").chmod(0)
    try:
        with pytest.raises(UsageError, match="hat: Permission denied"):
            Calibration.open(folder, SPEC)
    finally:
        (folder / "hat").chmod(0o755)


def test_hidden_files_and_links_in_circles(tmp_path):
    folder = folder_of(tmp_path, {"cup": 2, "hat": 2})
    write(folder / "cup" / "._000.png", 1)
    write(folder / ".thumbnails" / "0.png", 1)
    (folder / "hat" / "back").symlink_to(folder)
    taken = Calibration.open(folder, SPEC)
    assert len(taken) == 4
    assert set(taken.labels) == {"cup", "hat"}


def test_linked_label_folders_count(tmp_path):
    real = folder_of(tmp_path, {"cup": 2, "hat": 2})
    (tmp_path / "links").mkdir()
    for label in ("cup", "hat"):
        (tmp_path / "links" / label).symlink_to(real / label)
    assert Calibration.open(tmp_path / "links", SPEC).labels == ("cup", "cup", "hat", "hat")


def test_a_stray_picture_takes_the_labels_away_and_a_note_says_so(tmp_path):
    folder = folder_of(tmp_path, {"cup": 2, "hat": 2})
    write(folder / "stray.png", 1)
    taken = Calibration.open(folder, SPEC)
    assert taken.labels is None
    assert any("stray.png is not in a folder FOLDER/LABEL/" in note for note in taken.notes)


def test_several_folders_and_files(tmp_path):
    folder = folder_of(tmp_path, {"cup": 2})
    single = write(tmp_path / "single.jpg", 3)
    taken = Calibration.open([folder, single, folder], SPEC)
    assert taken.names == ("cup/000.png", "cup/001.png", "single.jpg")


def test_huge_pictures_lower_the_limit_so_that_memory_stays_bounded(tmp_path, monkeypatch):
    from edge_imprint_export import calibration

    monkeypatch.setattr(calibration, "MOST_BYTES", 3 * 24 * 32 * 26)
    assert len(Calibration.open(folder_of(tmp_path, {"cup": 40}), SPEC)) == 26


@pytest.mark.parametrize("seed", range(30))
def test_spread_chooses_the_right_number_once_and_in_order(seed):
    rng = np.random.default_rng(seed)
    labels = [str(label) for label in rng.integers(0, rng.integers(1, 8), rng.integers(1, 60))]
    count = int(rng.integers(1, 70))
    chosen = gather.spread(labels, count)
    assert len(chosen) == min(count, len(labels))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(len(labels)))
    shares = {label: sum(labels[i] == label for i in chosen) for label in set(labels)}
    most = max(shares.values())
    # Whoever has fewer than the most has nothing left to give, but for rounding.
    assert all(share >= min(most - 1, labels.count(label)) for label, share in shares.items())


def test_tensors_of_a_network_that_takes_no_pictures(tmp_path):
    rows = np.random.default_rng(0).normal(size=(10, 49, 10)).astype(np.float32)
    for label in ("yes", "no"):
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "sounds.npy", rows if label == "yes" else rows.astype(np.float64) / 2)
    taken = Calibration.open(tmp_path, None)
    assert taken.labels == ("no",) * 10 + ("yes",) * 10
    assert taken.names[0] == "no/sounds.npy[0]"
    np.testing.assert_array_equal(taken.tensors("all")[13], rows[3:4])
    stored = taken.tensors("all", "nhwc", "int8", (0.5, 3))[13]
    np.testing.assert_array_equal(stored, np.clip(np.rint(rows[3:4] / 0.5) + 3, -128, 127).astype(np.int8))
    assert len(Calibration.open(tmp_path, None, limit=6)) == 6


def test_stored_integers_are_fed_as_they_are(tmp_path):
    rows = np.arange(80, dtype=np.int8).reshape(10, 8)
    np.savez(tmp_path / "a.npz", X=rows, other=np.zeros(3))
    taken = Calibration.open(tmp_path / "a.npz", None)
    np.testing.assert_array_equal(taken.tensors("all", "nhwc", "int8", (0.1, -5))[2], rows[2:3])


def test_damaged_tensors_are_skipped(tmp_path):
    rows = np.ones((4, 6), np.float32)
    rows[1, 2] = np.nan
    np.save(tmp_path / "a.npy", rows)
    np.save(tmp_path / "b.npy", np.ones((2, 7)))
    np.save(tmp_path / "c.npy", np.array(["x", "y"]))
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04 nothing")
    np.save(tmp_path / "e.npy", np.array([{}], dtype=object), allow_pickle=True)
    taken = Calibration.open(tmp_path, None)
    assert len(taken) == 3
    assert [name for name, _ in taken.skipped] == ["a.npy[1]", "b.npy[0]", "b.npy[1]", "c.npy", "d.npz", "e.npy"]
    (tmp_path / "a.npy").unlink()
    (tmp_path / "b.npy").unlink()
    with pytest.raises(UsageError, match=r"3 of 3 are not. The first is c\.npy"):
        Calibration.open(tmp_path, None)


def test_made_up_pictures(tmp_path):
    first, second = Calibration.synthetic(SPEC), Calibration.synthetic(SPEC)
    np.testing.assert_array_equal(first.values, second.values)
    assert first.values.shape == (32, 24, 32, 3)
    assert first.is_synthetic
    assert not first.enough_for_int8
    assert len(first.judging) == 32
    assert len({image.tobytes() for image in first.values}) == 32
    assert first.values.std(axis=(1, 2, 3)).min() > 2  # none is plain
    sounds = Calibration.synthetic(None, (49, 10))
    assert sounds.tensors("judge")[5].shape == (1, 49, 10)
    with pytest.raises(UsageError, match="shape"):
        Calibration.synthetic(None)


@pytest.mark.parametrize("size", [(1, 1), (3, 500)])
def test_made_up_pictures_of_odd_sizes(size):
    assert Calibration.synthetic(InputSpec(*size)).tensors("all")[31].shape == (1, 3, *size)


def test_slices_of_tensors_are_tensors(tmp_path):
    tensors = Calibration.synthetic(SPEC).tensors("all")
    np.testing.assert_array_equal(tensors[2:9:3][1], tensors[5])
    assert len(tensors[2:9:3]) == 3


def test_real_pictures_with_labels(shared_data, tmp_path):
    archive = shared_data / "clothing_small.zip"
    if not archive.is_file():
        pytest.skip(f"needs {archive.name}")
    import zipfile

    with zipfile.ZipFile(archive) as packed:
        wanted = [name for name in packed.namelist() if name.startswith("test/") and name.endswith(".jpg")][::6][:60]
        packed.extractall(tmp_path, wanted)
    taken = Calibration.open(tmp_path / "test", InputSpec(96, 96))
    assert len(taken) == 60
    assert not taken.skipped
    assert len(set(taken.labels)) > 1
