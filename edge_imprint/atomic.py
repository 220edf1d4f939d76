"""Replace a file: a kill, a full disk or a power cut leaves the old content or the new, never neither.

And work in a folder that an interrupt at any moment leaves nothing of.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge_imprint.errors import EdgeImprintError, StorageError

__all__ = ["open_regular", "replace_file", "scratch_folder", "storage_errors"]

_TEMP_NAME = re.compile(r"\.edge-imprint-[0-9a-f]{16}\.tmp")

_WAYS_OUT = {
    errno.ENOSPC: "Free some space or choose a file on another disk",
    errno.EDQUOT: "Free some space or choose a file on another disk",
    errno.EFBIG: "Raise the file size limit (ulimit -f)",
    errno.EACCES: "Change the permissions of the file and its folder, or choose another folder",
    errno.EPERM: "Change the permissions of the file and its folder, or choose another folder",
    errno.EROFS: "Mount the disk for writing or choose another folder",
    errno.ENOENT: "Check the path; a missing folder is made with mkdir -p",
    errno.ENOTDIR: "Part of the path is a file: choose another folder",
    errno.EISDIR: "Name a file, not a folder",
    errno.ENAMETOOLONG: "Choose a shorter name",
}


@contextlib.contextmanager
def scratch_folder(parent: str | os.PathLike[str] | None = None, prefix: str = "edge-imprint-") -> Iterator[Path]:
    """A new folder for this user alone, gone with all it holds at the end of the block, Ctrl-C at any moment included.

    `tempfile.TemporaryDirectory` makes the folder before anything knows its name: a Ctrl-C in between leaves it.

    Args:
        parent: where it is made; the system's folder for temporary files by default.
        prefix: of its name, before 16 hexadecimal digits.

    Raises:
        OSError: the folder cannot be made.

    Example:
        >>> with scratch_folder() as folder:
        ...     _ = (folder / "part").write_bytes(b"1")
        >>> folder.exists()
        False
    """
    import shutil
    import tempfile  # here, since starting up needs neither

    folder = Path(tempfile.gettempdir() if parent is None else parent, f"{prefix}{os.urandom(8).hex()}")
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except BaseException:  # an interrupt; on the way out of it rmtree may also close a descriptor twice
            shutil.rmtree(folder, ignore_errors=True)
            raise KeyboardInterrupt from None


@contextlib.contextmanager
def storage_errors(action: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the operating system says into a StorageError with the path and the way out.

    Args:
        action: the verb after "cannot", such as "save".
        path: what the message names.

    Raises:
        StorageError: instead of any OSError raised inside.

    Example:
        >>> with storage_errors("read", "mug.eimp"):
        ...     raise FileNotFoundError(2, "No such file or directory")
        Traceback (most recent call last):
        ...
        edge_imprint.errors.StorageError: cannot read mug.eimp: No such file or directory. Check the path; \
a missing folder is made with mkdir -p
    """
    try:
        yield
    except EdgeImprintError:  # says already what is wrong; some of them are a ValueError as well
        raise
    except OSError as error:
        way_out = _WAYS_OUT.get(error.errno or 0, "Check the path and the disk")
        raise StorageError(f"cannot {action} {os.fspath(path)}: {error.strerror or error}. {way_out}") from error
    except (ValueError, RuntimeError) as error:  # a NUL character; a loop of links (before Python 3.13)
        raise StorageError(f"cannot {action} {os.fspath(path)!r}: {error}. Check the path") from error


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; anything else (folder, pipe, device) is refused without waiting.

    Args:
        path: the file.

    Returns:
        The open file. The caller closes it.

    Raises:
        OSError: missing, unreadable, or not a regular file.

    Example:
        >>> open_regular("/dev/null")
        Traceback (most recent call last):
        ...
        OSError: [Errno 22] not a regular file
    """
    # Non-blocking: opening a pipe that nobody writes to would otherwise wait forever.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb", closefd=True)
    try:
        _check_regular(os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that `path` holds the old bytes or the new at every moment, and the new on return.

    A temporary file in the same folder is written and flushed to the disk, renamed over `path`, and the
    folder is flushed. A symbolic link stays and its target is replaced. Permissions of an existing file are
    kept. Temporary files of killed writers are removed on the way; those of living writers are not.

    Args:
        path: the file to create or replace. Its folder must exist.
        content: the whole new file.

    Raises:
        StorageError: missing folder, no permission, disk full, not a regular file. The old file is unchanged
            and the temporary one is gone; only if flushing the folder itself fails is the new file in place.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     replace_file(f"{folder}/note", b"mug")
        ...     Path(folder, "note").read_bytes()
        b'mug'
    """
    with storage_errors("save", path):
        target = Path(path).resolve()
        mode = _existing_mode(target)
        # Opened first: a missing or forbidden folder fails before anything is written.
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _sweep(target.parent)
            while not _replaced(target, content, mode):
                pass
            try:
                os.fsync(folder)
            except OSError as error:
                if error.errno != errno.EINVAL:  # EINVAL: this file system has no such operation
                    raise
        finally:
            os.close(folder)


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")


def _existing_mode(target: Path) -> int | None:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    _check_regular(mode)
    return mode & 0o777


def _replaced(target: Path, content: bytes, mode: int | None) -> bool:
    """Write a temporary file and rename it; False when another writer swept it away before it was locked."""
    temp = target.with_name(f".edge-imprint-{os.urandom(8).hex()}.tmp")
    file = -1
    # The name is known before the file exists, so that an interrupt at any moment finds it to remove it.
    try:
        file = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        if not _locked(file) or os.fstat(file).st_nlink == 0:
            temp.unlink(missing_ok=True)
            return False
        if mode is not None and os.fstat(file).st_mode & 0o777 != mode:
            with contextlib.suppress(PermissionError):  # FAT keeps no permissions
                os.fchmod(file, mode)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
        temp.replace(target)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    finally:
        if file >= 0:
            os.close(file)
    return True


def _locked(file: int) -> bool:
    """Take the lock that marks a temporary file as in use; the kernel releases it when its process dies.

    A process number in the name would not do: it means nothing in another container, and numbers come again.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system: then no sweep gets one either
        return True
    return True


def _sweep(folder: Path) -> None:
    """Remove temporary files whose writers are dead. Never fails: it is a courtesy of the next save."""
    with contextlib.suppress(OSError):
        for temp in [entry for entry in folder.iterdir() if _TEMP_NAME.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                file = os.open(temp, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    temp.unlink()
                finally:
                    os.close(file)
