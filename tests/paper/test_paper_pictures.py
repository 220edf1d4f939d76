from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.paper.pictures import open_tree, read
from benchmarks.paper.tiles import unpack, write_digits
from edge_imprint.errors import StorageError, UsageError


def zipped(folder: Path, archive: Path, top: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, top + path.relative_to(folder).as_posix())
    return archive


def test_a_plain_folder_is_divided_by_label_the_same_way_every_time(photos: Path) -> None:
    tree = open_tree(photos)
    assert Counter(tree.test_labels) == dict.fromkeys(("bar", "dot", "hat", "sky"), 3)
    assert Counter(tree.train_labels) == dict.fromkeys(("bar", "dot", "hat", "sky"), 9)
    assert not set(tree.train) & set(tree.test)
    assert all(name.startswith(f"{label}/") for name, label in zip(tree.train, tree.train_labels, strict=True))
    assert open_tree(photos) == tree
    assert tree.name == "photos"


@pytest.mark.parametrize("top", ["", "all/", "a/b/"])
def test_a_zip_is_the_same_data_as_its_folder(photos: Path, tmp_path: Path, top: str) -> None:
    tree, packed = open_tree(photos), open_tree(zipped(photos, tmp_path / "photos.zip", top))
    assert packed.test_labels == tree.test_labels
    assert packed.test == tuple(top + name for name in tree.test)
    assert read(packed.source, packed.train[:3]) == read(tree.source, tree.train[:3])
    assert (packed.digest == tree.digest) == (top == "")
    assert packed.name == tree.name


def test_train_and_test_folders_are_taken_as_they_are(photos: Path, tmp_path: Path) -> None:
    for split, names in (("train", "0[0-3]*"), ("validation", "04*"), ("test", "05*")):
        for file in photos.glob(f"*/{names}"):
            (tmp_path / split / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / split / file.parent.name)
    (tmp_path / "train" / "bar" / ".hidden.png").write_bytes(b"no picture")
    (tmp_path / "train" / "notes.txt").write_text("none")
    tree = open_tree(tmp_path)
    assert len(tree.train) == 16
    assert set(tree.test) == {f"test/{label}/05.png" for label in ("bar", "dot", "hat", "sky")}
    shutil.rmtree(tmp_path / "test")
    assert set(open_tree(tmp_path).test) == {f"validation/{label}/04.png" for label in ("bar", "dot", "hat", "sky")}
    shutil.rmtree(tmp_path / "validation" / "hat")
    with pytest.raises(UsageError, match=r"same labels.*'hat'"):
        open_tree(tmp_path)


def test_the_digest_covers_names_and_contents(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    before = open_tree(folder).digest
    assert before == open_tree(photos).digest
    content = (folder / "hat" / "03.png").read_bytes()
    (folder / "hat" / "03.png").write_bytes(content[:-1] + b"!")
    assert open_tree(folder).digest != before
    (folder / "hat" / "03.png").write_bytes(content)
    (folder / "hat" / "03.png").rename(folder / "hat" / "99.png")
    assert open_tree(folder).digest != before


def test_what_cannot_be_a_data_set_is_refused_with_the_way_out(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"must be a folder or a \.zip"):
        open_tree(tmp_path / "missing")
    (tmp_path / "broken.zip").write_bytes(b"PK not a zip")
    with pytest.raises(StorageError, match=r"must be a folder or a \.zip"):
        open_tree(tmp_path / "broken.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"at least 2 labels.*has 0"):
        open_tree(tmp_path / "empty")
    shutil.copytree(photos / "hat", tmp_path / "one" / "hat")
    with pytest.raises(UsageError, match=r"at least 2 labels.*has 1"):
        open_tree(tmp_path / "one")
    (tmp_path / "one" / "cup").mkdir()
    shutil.copy(photos / "hat" / "00.png", tmp_path / "one" / "cup")
    with pytest.raises(UsageError, match=r"'cup' in .* has 1"):
        open_tree(tmp_path / "one")
    (tmp_path / "half" / "train" / "a").mkdir(parents=True)
    (tmp_path / "half" / "other" / "a").mkdir(parents=True)
    for split in ("train", "other"):
        shutil.copy(photos / "hat" / "00.png", tmp_path / "half" / split / "a")
    with pytest.raises(UsageError, match="needs one of test, validation, val"):
        open_tree(tmp_path / "half")


def test_a_damaged_zip_is_refused(photos: Path, tmp_path: Path) -> None:
    archive = zipped(photos, tmp_path / "photos.zip")
    content = bytearray(archive.read_bytes())
    content[5000:5010] = bytes(10)
    archive.write_bytes(content)
    with pytest.raises(StorageError, match=r"photos\.zip is damaged"):
        open_tree(archive)


def test_mosaics_become_folders(tmp_path: Path) -> None:
    from PIL import Image

    mosaic = Image.new("RGB", (25 * 64, 20 * 64))
    for place in range(500):
        mosaic.paste((place // 25 * 12, place % 25 * 10, 7), (place % 25 * 64, place // 25 * 64, 1600, 1280))
    mosaic.save(tmp_path / "n01.webp", lossless=True)
    with zipfile.ZipFile(tmp_path / "tiles.zip", "w") as file:
        file.write(tmp_path / "n01.webp", "train/n01.webp")
        file.write(tmp_path / "n01.webp", "train/n02.webp")
    assert unpack(tmp_path / "tiles.zip", tmp_path / "out", 60) == 120
    with Image.open(tmp_path / "out" / "n02" / "053.png") as tile:
        assert tile.size == (64, 64)
        assert tile.getpixel((9, 9)) == (24, 30, 7)
    with pytest.raises(UsageError, match="holds something"):
        unpack(tmp_path / "tiles.zip", tmp_path / "out", 60)
    with pytest.raises(UsageError, match="at most 500"):
        unpack(tmp_path / "tiles.zip", tmp_path / "new", 501)
    with pytest.raises(UsageError, match="must be a zip"):
        unpack(tmp_path / "n01.webp", tmp_path / "new", 5)


def test_digits_become_folders(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is missing: pip install 'edge-imprint[demo]'")
    assert write_digits(tmp_path / "digits") == 1797
    tree = open_tree(tmp_path / "digits")
    assert sorted(set(tree.train_labels)) == list("0123456789")
    assert len(tree.train) + len(tree.test) == 1797
    with pytest.raises(UsageError, match="holds something"):
        write_digits(tmp_path / "digits")
