"""A bundle's folder: files read and checked against the manifest, base statistics, and new bundles written
whole.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_imprint.atomic import scratch_folder
from edge_imprint.backbones.digest import sha256_hex
from edge_imprint.backbones.manifest import MANIFEST_NAME, Manifest, read_manifest
from edge_imprint.backbones.spec import FileSpec
from edge_imprint.errors import BundleError, StorageError

# Nothing larger is read into memory. ONNX itself ends at 2 GiB.
MAX_FILE_BYTES = 1 << 31
# What an export says about itself, beside the files that the manifest names.
REPORT_NAMES = ("report.json", "report.html")


def read_file(path: Path) -> bytes:
    """The bytes of a backbone's file.

    Raises:
        BundleError: missing, unreadable, not a regular file, empty, or over 2 GiB.
    """
    try:
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "is missing"
            raise BundleError(f"a backbone's file must be there to be read; {path} {what}. Check the path.")
        size = path.stat().st_size
        if not 1 <= size <= MAX_FILE_BYTES:
            raise BundleError(
                f"a backbone's file must have 1 to {MAX_FILE_BYTES} bytes; {path} has {size}. Export or "
                "download it again."
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BundleError(
            f"a backbone's file must be readable; {path}: {reason}. Check path and permissions."
        ) from None


def read_verified(folder: Path, name: str, sha256: str) -> bytes:
    """The bytes of a bundle's file, if their SHA-256 is the one the manifest promises.

    Raises:
        BundleError: as `read_file`, or another hash.
    """
    content = read_file(folder / name)
    got = sha256_hex(content)
    if got != sha256:
        raise BundleError(
            f"{folder / name} must have the SHA-256 of its manifest, {sha256}; got {got}. The file was "
            "damaged or exchanged: copy the bundle again, or export it again if the change was meant."
        )
    return content


@dataclass(frozen=True)
class BaseStatistics:
    """First and second moment of the L2-normalised embeddings of the calibration pictures.

    Attributes:
        mean: shape (dim,), float32.
        second_moment: shape (dim, dim), float32, symmetric; the G_base of the second-moment head.
        count: how many pictures went in.
    """

    mean: NDArray[np.float32]
    second_moment: NDArray[np.float32]
    count: int

    @classmethod
    def from_npz(cls, content: bytes, dim: int, where: str) -> BaseStatistics:
        """Read the bytes of a .npz with the arrays `mean`, `second_moment` and `count`.

        Raises:
            BundleError: not such a file, a wrong shape, or a number that is not finite.
        """
        import zipfile  # numpy loads it for this file; nothing else here needs it

        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                mean, second_moment = np.asarray(arrays["mean"]), np.asarray(arrays["second_moment"])
                count = int(arrays["count"])
        except (KeyError, ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise BundleError(
                f"base statistics must be a .npz with mean, second_moment and count; {where}: {error}. "
                "Export the bundle again."
            ) from None
        if mean.shape != (dim,) or second_moment.shape != (dim, dim) or count < 1:
            raise BundleError(
                f"base statistics must be mean ({dim},), second_moment ({dim}, {dim}) and count >= 1; "
                f"{where} has {mean.shape}, {second_moment.shape}, {count}. Export the bundle again."
            )
        if mean.dtype.kind != "f" or second_moment.dtype.kind != "f":
            raise BundleError(f"base statistics must be floats; {where} has {mean.dtype}, {second_moment.dtype}.")
        if not (np.isfinite(mean).all() and np.isfinite(second_moment).all()):
            raise BundleError(
                f"base statistics must be finite; {where} holds NaN or infinity. Export the bundle again."
            )
        return cls(mean.astype(np.float32), second_moment.astype(np.float32), count)

    def to_npz(self) -> bytes:
        """Return these statistics as the bytes of a .npz."""
        stream = io.BytesIO()
        np.savez(stream, mean=self.mean, second_moment=self.second_moment, count=np.int64(self.count))
        return stream.getvalue()


def _check_content(name: str, content: bytes, sha256: str) -> None:
    got = sha256_hex(content)
    if got != sha256:
        raise BundleError(
            f"{name} must have the SHA-256 of the manifest, {sha256}; got {got}. Make its entry from these bytes."
        )


def file_spec(name: str, content: bytes, **fields: object) -> FileSpec:
    """A manifest's entry for a file with this content; `fields` are the other fields of `FileSpec`.

    Example:
        >>> spec = file_spec("b.onnx", b"...", format="onnx", precision="float32",
        ...                  layout="nchw", dtype="float32", embedding="embedding")
        >>> spec.size_bytes, spec.sha256[:8]
        (3, 'ab5df625')
    """
    sha256 = sha256_hex(content)
    return FileSpec(name=name, sha256=sha256, size_bytes=len(content), **fields)  # type: ignore[arg-type]


def check_target(folder: Path | str, *, replace: bool = False) -> Path:
    """Where a new bundle may be written: a folder that does not exist, is empty, or holds a bundle to replace.

    Args:
        folder: its parent must exist.
        replace: whether an earlier bundle may be there.

    Returns:
        The absolute path.

    Raises:
        StorageError: something else is there, or the parent is missing or cannot be written to.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 -- Path.resolve would follow a link to the old bundle
    try:
        holds = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        if folder.exists() and not folder.is_dir():
            raise StorageError(f"a bundle is a folder; {folder} is a file. Name another folder.")
        strangers = sorted(set(holds) - _belonging(folder)) if MANIFEST_NAME in holds else holds
        if strangers or (holds and not replace):
            what = f"holds {strangers[0]!r}" if strangers else "holds a bundle"
            way_out = "or remove what is there" if strangers else "or replace it (--replace)"
            raise StorageError(
                f"a bundle is written into a new or empty folder; {folder} {what}. Name another {way_out}."
            )
        if not os.access(folder.parent, os.W_OK | os.X_OK):
            reason = "may not be written to" if folder.parent.is_dir() else "does not exist"
            raise StorageError(f"a bundle's folder is made in its parent, {folder.parent}, which {reason}.")
    except (OSError, ValueError, BundleError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(
            f"a bundle is written into a new or empty folder; {folder}: {reason}. Name another."
        ) from None
    return folder


def _belonging(folder: Path) -> set[str]:
    """Names that may lie in a bundle's folder: what its manifest names, and the reports beside it."""
    manifest = read_manifest(folder)
    statistics = {manifest.base_statistics.file} if manifest.base_statistics else set()
    return {MANIFEST_NAME, *REPORT_NAMES, *(file.name for file in manifest.files), *statistics}


def write_bundle(
    folder: Path | str,
    manifest: Manifest,
    contents: Mapping[str, bytes],
    *,
    extras: Mapping[str, bytes] | None = None,
    replace: bool = False,
) -> None:
    """Write a new bundle folder, whole or not at all.

    Everything is written to a temporary folder beside the target, flushed, and renamed into place.

    Args:
        folder: must not exist yet, or be empty; its parent must exist.
        manifest: names exactly the files of `contents`.
        contents: file name to bytes.
        extras: files beside them that no manifest names, such as a report.
        replace: an earlier bundle in `folder` makes way once the new one is on the disk, if nothing else lies there.

    Raises:
        BundleError: files missing, too many, or with another hash than the manifest's.
        StorageError: the folder holds something, no permission, disk full. Nothing is left behind.
    """
    promised = {file.name: file.sha256 for file in manifest.files}
    if manifest.base_statistics is not None:
        promised[manifest.base_statistics.file] = manifest.base_statistics.sha256
    if set(promised) != set(contents):
        raise BundleError(
            f"contents must be the manifest's files {sorted(promised)}; got {sorted(contents)}. Match the two."
        )
    for name, sha256 in promised.items():
        _check_content(name, contents[name], sha256)
    folder = check_target(folder, replace=replace)
    try:
        with scratch_folder(folder.parent, f".{folder.name}.") as scratch:
            new = scratch / "new"
            new.mkdir(mode=0o755)
            written = [*contents.items(), *(extras or {}).items(), (MANIFEST_NAME, manifest.to_json().encode())]
            for name, content in written:
                with (new / name).open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
            _put_in_place(new, folder, scratch / "old")
    except OSError as error:
        raise StorageError(
            f"a bundle is written into a new or empty folder; {folder}: {error.strerror or error}. "
            "Make room, or name another folder."
        ) from None


def _put_in_place(new: Path, folder: Path, aside: Path) -> None:
    """Rename `new` to `folder`; what is there goes aside first, and comes back when the rename fails."""
    try:
        new.rename(folder)  # over nothing or an empty folder this succeeds, over a full one it fails
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not (folder / MANIFEST_NAME).is_file():
            raise
    folder.rename(aside)
    try:
        new.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
