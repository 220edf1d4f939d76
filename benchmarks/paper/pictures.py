"""Labelled pictures of a folder or a zip, divided into those that are learnt and those that are asked about."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from edge_imprint.atomic import storage_errors
from edge_imprint.cli.common import PICTURE_SUFFIXES
from edge_imprint.errors import StorageError, UsageError

TRAIN, TEST = "train", ("test", "validation", "val")
TEST_SHARE = 0.25
SPLIT_SEED = 0


@dataclass(frozen=True)
class Tree:
    """A data set. Names are paths inside `source`, with slashes; labels go with them, one each.

    `digest` covers the names and the bytes of every picture.
    """

    name: str
    source: Path
    train: tuple[str, ...]
    train_labels: tuple[str, ...]
    test: tuple[str, ...]
    test_labels: tuple[str, ...]
    digest: str


def open_tree(source: Path) -> Tree:
    """List a folder or zip of pictures by label.

    LABEL/picture at the top is divided here: a quarter of every label, drawn with a fixed seed, is the test set. With a
    folder `train` at the top it is TRAIN/LABEL/picture, and the test set is the first of `test`, `validation` and `val`
    that is there. One folder around everything is looked through. Hidden files are left out.

    Args:
        source: a folder or a .zip file.

    Raises:
        StorageError: it cannot be read.
        UsageError: fewer than two labels, a label with one picture only, a train folder without a test folder, or
            labels that differ between the two.
    """
    names = _names(source)
    prefix = ""
    while len(top := {parts[0] for parts in names}) == 1 and min(map(len, names)) > 2:
        prefix += f"{names[0][0]}/"
        names = [parts[1:] for parts in names]
    if TRAIN in top:
        test = next((name for name in TEST if name in top), None)
        if test is None:
            raise UsageError(
                f"{source} has a folder train, so it needs one of {', '.join(TEST)} next to it; got "
                f"{', '.join(sorted(top))}. Add one, or name {source / TRAIN} to have it divided"
            )
        splits = [[parts for parts in names if parts[0] == split and len(parts) == 3] for split in (TRAIN, test)]
        train, asked = ([("/".join(parts), parts[1]) for parts in split] for split in splits)
    else:
        train, asked = _divided(source, [("/".join(parts), parts[0]) for parts in names if len(parts) == 2])
    labels, others = {label for _, label in train}, {label for _, label in asked}
    if len(labels) < 2:
        raise UsageError(
            f"at least 2 labels are needed to tell apart; {source} has {len(labels)}. "
            "Expected LABEL/picture.jpg or train/LABEL/picture.jpg and test/LABEL/picture.jpg"
        )
    if labels != others:
        odd = sorted(labels ^ others)[0]
        raise UsageError(f"train and test must have the same labels; {source} has {odd!r} in one of them only")
    train, asked = ([(prefix + name, label) for name, label in part] for part in (train, asked))
    files = [name for name, _ in (*train, *asked)]
    return Tree(
        source.stem if source.is_file() else source.resolve().name,
        source,
        tuple(name for name, _ in train),
        tuple(label for _, label in train),
        tuple(name for name, _ in asked),
        tuple(label for _, label in asked),
        _digest(source, files),
    )


def read(source: Path, names: Sequence[str]) -> list[bytes]:
    """The bytes of some pictures.

    Raises:
        StorageError: one cannot be read.
    """
    with storage_errors("read", source):
        if source.is_dir():
            return [(source / name).read_bytes() for name in names]
        try:
            with zipfile.ZipFile(source) as archive:
                return [archive.read(name) for name in names]
        except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise StorageError(f"{source} is damaged or packed in an unusual way: {error}. Make it again") from error


def _names(source: Path) -> list[tuple[str, ...]]:
    """Paths of all pictures in parts, sorted."""
    with storage_errors("read", source):
        if source.is_dir():
            found = [path.relative_to(source).parts for path in source.rglob("*") if path.is_file()]
        elif zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                found = [PurePosixPath(name).parts for name in archive.namelist() if not name.endswith("/")]
        else:
            raise StorageError(f"--data must be a folder or a .zip file of pictures; got {source}")
    return sorted(
        parts
        for parts in found
        if PurePosixPath(parts[-1]).suffix.lower() in PICTURE_SUFFIXES
        and not any(part.startswith((".", "__MACOSX")) for part in parts)
    )


def _divided(source: Path, pictures: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    rng = np.random.default_rng(SPLIT_SEED)
    train: list[tuple[str, str]] = []
    test: list[tuple[str, str]] = []
    for label in sorted({label for _, label in pictures}):
        own = [picture for picture in pictures if picture[1] == label]
        if len(own) < 2:
            raise UsageError(
                f"a label needs at least 2 pictures, one to learn and one to ask about; {label!r} in {source} has "
                f"{len(own)}. Add pictures or take the label out"
            )
        asked = set(rng.permutation(len(own))[: max(1, round(TEST_SHARE * len(own)))].tolist())
        test += [picture for place, picture in enumerate(own) if place in asked]
        train += [picture for place, picture in enumerate(own) if place not in asked]
    return train, test


def _digest(source: Path, names: Sequence[str], step: int = 256) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(names), step):
        some = names[start : start + step]
        for name, content in zip(some, read(source, some), strict=True):
            digest.update(f"{len(name)}:{name}:{len(content)}:".encode())
            digest.update(content)
    return digest.hexdigest()
