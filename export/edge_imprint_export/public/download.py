"""Public backbones on disk: fetched once, verified by their hash, kept in a cache of the user.

The cache is $EDGE_IMPRINT_CACHE/backbones, else $XDG_CACHE_HOME/edge-imprint/backbones, else
~/.cache/edge-imprint/backbones. A file has its final name only when its SHA-256 is right; a download that was broken
off leaves `.part`, which the next one continues. EDGE_IMPRINT_MIRROR names a folder on a web server of one's own
that holds the files under their own names; they are verified like the originals.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

from edge_imprint.atomic import open_regular, replace_file, storage_errors
from edge_imprint.errors import DownloadError, StorageError
from edge_imprint_export.public.registry import PublicBackbone
from edge_imprint_export.public.transfer import PassingFaultError, Progress, Transfer, empty

CACHE_VARIABLE = "EDGE_IMPRINT_CACHE"
MIRROR_VARIABLE = "EDGE_IMPRINT_MIRROR"
TIMEOUT_S = 20.0
ATTEMPTS = 5
BACKOFF_S = 0.5


def cache_folder() -> Path:
    """Where public backbones are kept for this user; it need not exist yet.

    Raises:
        StorageError: the user has no home folder and no variable names another.
    """
    own, xdg = os.environ.get(CACHE_VARIABLE), os.environ.get("XDG_CACHE_HOME", "")
    if own:
        return Path(own) / "backbones"
    with storage_errors("find", "the home folder"):
        # A relative XDG_CACHE_HOME is invalid and to be ignored (XDG base directory specification).
        base = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache"
    return base / "edge-imprint" / "backbones"


def cached(entry: PublicBackbone, *, cache: Path | None = None) -> Path | None:
    """The cached file of a backbone, if it is there and whole."""
    path = _place(entry, cache_folder() if cache is None else cache)
    try:
        return path if _sha256(path, entry.size_bytes) == entry.sha256 else None
    except OSError:
        return None


def fetch(
    entry: PublicBackbone,
    *,
    cache: Path | None = None,
    from_file: Path | str | None = None,
    progress: Progress | None = None,
    url: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """A backbone's file, verified: from the cache, from a file of the user, or downloaded into the cache.

    With a whole cached file there is no network access. Two processes that fetch the same backbone at once
    download it once: the second waits. Ctrl-C keeps what has come for the next call.

    Args:
        entry: what to fetch; see `find`.
        cache: folder instead of the user's cache.
        from_file: the file, downloaded in another way; it is verified and copied into the cache.
        progress: called with (bytes done, bytes in all); goes back when a download has to start again.
        url: address instead of the mirror's and the entry's.
        timeout_s: longest silence of the server; after that the rest is asked for again, five times in all.

    Returns:
        Path in the cache.

    Raises:
        DownloadError: no connection, a server that fails or stalls, or bytes with another hash. Nothing
            wrong is ever kept under the final name.
        StorageError: the cache cannot be written, or `from_file` cannot be read.
    """
    folder = cache_folder() if cache is None else Path(cache)
    if from_file is not None:
        return _adopt(entry, Path(from_file), folder)
    whole = cached(entry, cache=folder)
    if whole is not None:
        return whole
    where = _address(entry) if url is None else url
    target = _place(entry, folder)
    with storage_errors("make", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock")):
        whole = cached(entry, cache=folder)  # another process may have fetched it while this one waited
        if whole is None:
            _download(entry, where, target, progress or _silent, timeout_s)
    return target


def _place(entry: PublicBackbone, folder: Path) -> Path:
    # With the hash in the name, a newer list never takes an older list's file for its own.
    return folder / f"{entry.name}-{entry.sha256[:12]}.tflite"


def _address(entry: PublicBackbone) -> str:
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    return f"{mirror.rstrip('/')}/{entry.file_name}" if mirror else entry.url


def _download(entry: PublicBackbone, url: str, target: Path, progress: Progress, timeout_s: float) -> None:
    if not url.lower().startswith(("http://", "https://")):
        raise _failed(entry, url, "the address must begin with http:// or https://")
    partial = target.with_suffix(".part")
    try:
        with storage_errors("open", partial):
            part = io.FileIO(partial, "ab+")
        with part:
            _fill(entry, url, part, progress, timeout_s)
            with storage_errors("save", target):
                os.fsync(part.fileno())
                partial.replace(target)
    except BaseException as error:
        # Kept for the next call, on Ctrl-C as well, but not where the disk is full or nothing has come.
        with contextlib.suppress(OSError):
            if isinstance(error, StorageError) or partial.stat().st_size == 0:
                partial.unlink()
        raise


def _fill(entry: PublicBackbone, url: str, part: io.FileIO, progress: Progress, timeout_s: float) -> None:
    """Make `part` the whole, verified file, or raise."""
    transfer = Transfer(url, entry.size_bytes, timeout_s)
    transfer.joined = True  # what an earlier process left may be of another file
    if part.seek(0, os.SEEK_END) > entry.size_bytes:
        empty(part)
    fault = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(BACKOFF_S * 2 ** (attempt - 1))
        try:
            if part.seek(0, os.SEEK_END) < entry.size_bytes:
                transfer.attempt(part, progress)
        except PassingFaultError as error:
            fault = str(error)
            continue
        except DownloadError as error:
            raise _failed(entry, url, str(error)) from None
        with storage_errors("read", part.name):
            part.seek(0)
            got = hashlib.sha256(part.readall()).hexdigest()
        if got == entry.sha256:
            return
        empty(part)
        fault = f"its SHA-256 must be {entry.sha256}; the server's file has {got}"
        if not transfer.joined:
            raise _failed(entry, url, fault)
    raise _failed(entry, url, f"{fault} ({ATTEMPTS} attempts)")


def _failed(entry: PublicBackbone, url: str, reason: str) -> DownloadError:
    return DownloadError(
        f"the download of {entry.name} failed: {reason}. Try again later, or download {url} in another way and "
        "name the file with --from FILE."
    )


def _adopt(entry: PublicBackbone, path: Path, folder: Path) -> Path:
    """Verify a file of the user and copy it into the cache."""
    with storage_errors("read", path), open_regular(path) as stream:
        content = stream.read(entry.size_bytes + 1)
    got = hashlib.sha256(content).hexdigest()
    if got != entry.sha256:
        what = f"has {got}" if len(content) <= entry.size_bytes else f"has more than {entry.size_bytes} bytes"
        raise DownloadError(
            f"the file of {entry.name} must have the SHA-256 {entry.sha256}; {path} {what}. Download {entry.url} again."
        )
    target = _place(entry, folder)
    with storage_errors("make", folder):
        folder.mkdir(parents=True, exist_ok=True)
    replace_file(target, content)
    return target


def _sha256(path: Path, size_bytes: int) -> str:
    """Hash of a regular file, read no further than one byte past its promised length."""
    with open_regular(path) as stream:
        return hashlib.sha256(stream.read(size_bytes + 1)).hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the only right to fetch a file, waiting for whoever holds it; it ends with the process."""
    with storage_errors("open", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # Without locks on this file system, two downloads may mix; the hash then tells.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _silent(done: int, total: int) -> None:
    pass
