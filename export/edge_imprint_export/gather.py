"""Which files of a folder calibrate, found, labelled by their folders and thinned out evenly; and what is in them."""

from __future__ import annotations

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import InputSpec, Preprocessor
from edge_imprint.errors import ImageError, UsageError

TENSOR_SUFFIXES = frozenset({".npy", ".npz"})


@dataclass(frozen=True)
class Found:
    """One file that may calibrate.

    Attributes:
        path: of the file.
        name: for people and reports: below the folder that was named, with "/" between the parts.
        label: the folder between, for FOLDER/<label>/file; else None.
    """

    path: Path
    name: str
    label: str | None


def gather(where: Path | str | Sequence[Path | str], suffixes: frozenset[str]) -> list[Found]:
    """Files with these endings: those named, and those anywhere below the folders named.

    Hidden files and folders are left out, and so are the copies that macOS puts into `__MACOSX`. Links to folders
    are followed, each folder once.

    Args:
        where: a folder, a file, or several of both.
        suffixes: lower-case endings to look for in folders; a file that is named is taken whatever it is called.

    Returns:
        Sorted by name within each folder; the same file twice counts once.

    Raises:
        UsageError: a path is missing or cannot be read, or there is no such file at all.
    """
    named = [Path(where)] if isinstance(where, str | Path) else [Path(path) for path in where]
    found: dict[Path, Found] = {}
    for path in named:
        if path.is_dir():
            for file in sorted(_walk(path, suffixes)):
                parts = file.relative_to(path).parts
                label = parts[0] if len(parts) == 2 else None
                found.setdefault(file.absolute(), Found(file, "/".join(parts), label))
        elif path.is_file():
            found.setdefault(path.absolute(), Found(path, path.name, None))
        else:
            raise UsageError(f"calibration must be a folder or files that exist; no such path: {path}. Check its name.")
    if not found:
        shown = ", ".join(map(str, named)) or "nothing"
        raise UsageError(
            f"calibration needs at least one file that ends in {', '.join(sorted(suffixes))}; got {shown}, which holds "
            "none. Name a folder with 100 or more like those that the device will see."
        )
    return list(found.values())


def _walk(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    seen: set[str] = set()
    files: list[Path] = []

    def stop(error: OSError) -> None:
        raise UsageError(
            f"every folder of the calibration must be readable; {error.filename}: {error.strerror}. "
            "Change its permissions or name another folder."
        )

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=stop):
        real = os.path.realpath(parent)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        shown = (name for name in names if not name.startswith("."))
        files += [Path(parent, name) for name in shown if Path(name).suffix.lower() in suffixes]
    return files


def labelled(found: Sequence[Found]) -> bool:
    """Whether every file has a label and there are at least two labels."""
    return all(file.label is not None for file in found) and len({file.label for file in found}) > 1


def spread(labels: Sequence[str | None], count: int) -> list[int]:
    """Choose `count` places, as many of each label as of any other where it has them, evenly along the list.

    Args:
        labels: one per place, None for all where there are none.
        count: how many to choose; all of them when there are fewer.

    Returns:
        Ascending places.

    Example:
        >>> spread(["a"] * 10 + ["b"] * 2, 6)
        [1, 3, 6, 8, 10, 11]
    """
    members: dict[str | None, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(label, []).append(place)
    chosen: list[int] = []
    left = min(count, len(labels))
    # The smallest first: what a label cannot fill is shared by the larger ones.
    for number, places in enumerate(sorted(members.values(), key=len)):
        share = min(len(places), left // (len(members) - number))
        left -= share
        chosen += [places[(2 * i + 1) * len(places) // (2 * share)] for i in range(share)]
    return sorted(chosen)


def picture_suffixes() -> frozenset[str]:
    """Endings of picture files, those of the command line."""
    from edge_imprint.cli.common import PICTURE_SUFFIXES

    return PICTURE_SUFFIXES


# A file, the name of what was read, and its values; None for a picture that cannot be used.
Read = Iterator[tuple[Found, str, NDArray[Any] | None]]


def read(chosen: Sequence[Found], spec: InputSpec | None, limit: int, skipped: list[tuple[str, str]]) -> Read:
    """Read files: pictures resized as `spec` says, uint8 RGB (height, width, 3), or without it tensors.

    Args:
        chosen: files, read in this order.
        spec: what happens to a picture.
        limit: about how many tensors to take at most.
        skipped: gets (name, reason) of what cannot be used.
    """
    return _read_tensors(chosen, limit, skipped) if spec is None else _read_pictures(chosen, spec, skipped)


def _read_pictures(chosen: Sequence[Found], spec: InputSpec, skipped: list[tuple[str, str]]) -> Read:
    """Each file resized to uint8 RGB; None, and an entry in `skipped`, for what is no whole picture."""
    plain = dataclasses.replace(spec, colour="rgb", mean=(0.0,) * 3, scale=(1.0,) * 3)
    resize = Preprocessor(plain, layout="nhwc", dtype="uint8")
    for file in chosen:
        try:
            yield file, file.name, resize([file.path])[0]
        except ImageError as error:
            skipped.append((file.name, str(error).replace(str(file.path), file.name)))
            yield file, file.name, None


def _read_tensors(chosen: Sequence[Found], limit: int, skipped: list[tuple[str, str]]) -> Read:
    """Rows of the arrays in files, evenly along each when there are more than the limit allows."""
    shape: tuple[int, ...] | None = None
    for file in chosen:
        try:
            array = _array(file.path)
        except (OSError, ValueError, KeyError, EOFError, UsageError) as error:
            reason = getattr(error, "strerror", None) or str(
                error
            )  # without the path, which is not the report's to tell
            skipped.append((file.name, reason))
            continue
        shape = shape or array.shape[1:]
        for place in spread([None] * len(array), max(1, limit // len(chosen))):
            row, name = np.asarray(array[place]), f"{file.name}[{place}]"
            if row.shape != shape or not np.isfinite(row).all():
                what = f"has shape {row.shape}, not {shape}" if row.shape != shape else "holds NaN or infinity"
                skipped.append((name, what))
                continue
            yield file, name, row.astype(np.float32) if row.dtype.kind == "f" else row


def _array(path: Path) -> NDArray[Any]:
    """The array of a .npy, or the only one of a .npz, or the one that is called X or x."""
    if path.suffix.lower() == ".npz":
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                name = next((name for name in ("X", "x") if name in arrays), arrays.files[0] if arrays.files else "")
                loaded = arrays[name]
        except (zipfile.BadZipFile, zlib.error) as error:
            raise UsageError(f"not a whole .npz file: {error}") from None
    else:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if loaded.ndim < 2 or loaded.dtype.kind not in "fiu" or len(loaded) < 1:
        raise UsageError(f"tensors must be numbers (n, ...), n >= 1; got {loaded.dtype} {loaded.shape}")
    return loaded  # type: ignore[no-any-return]
