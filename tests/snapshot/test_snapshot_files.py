"""Saving and loading on a real file system: full disks, missing permissions, other people's files."""

from __future__ import annotations

import fcntl
import os
import resource
import stat
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import pytest

from edge_imprint import snapshot
from edge_imprint.errors import SnapshotCorruptError, SnapshotVersionError, StorageError

OLD = {"HEAD": b"old", "PROXIES8": bytes(range(100))}
NEW = {"HEAD": b"new", "PROXIES8": bytes(200_000)}


def refused(path: Path, message: str) -> None:
    """Assert that saving fails with the path and this message, and changes nothing in the folder."""
    before = {entry.name for entry in path.parent.iterdir()} if path.parent.is_dir() else None
    with pytest.raises(StorageError, match=message) as raised:
        snapshot.write(path, NEW)
    assert str(path) in str(raised.value)
    if before is not None:
        assert {entry.name for entry in path.parent.iterdir()} == before


@pytest.fixture
def tmpfs(tmp_path):
    """A disk of 64 KiB, as a function of mount options; needs root."""
    mounted = []

    def mount(options: str = "size=64k") -> Path:
        folder = tmp_path / "disk"
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("mounting a small disk is not allowed here; run the tests as root to try it")
        mounted.append(folder)
        return folder

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_write_then_read_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "kitchen.eimp"
    for sections in (OLD, NEW, OLD, {}):
        snapshot.write(path, sections)
        assert snapshot.read(path) == sections
        assert snapshot.read(str(path)) == sections
        assert list(tmp_path.iterdir()) == [path]


def test_relative_path_and_longest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("kitchen.eimp", "k" * 255):
        snapshot.write(name, OLD)
        assert snapshot.read(name) == OLD


def test_full_disk_keeps_the_old_snapshot(tmpfs):
    path = tmpfs() / "kitchen.eimp"
    snapshot.write(path, OLD)
    refused(path, "No space left on device. Free some space or choose a file on another disk")
    assert snapshot.read(path) == OLD
    snapshot.write(path, {"HEAD": b"room again: the temporary file is gone"})


def test_read_only_disk(tmpfs):
    path = tmpfs() / "kitchen.eimp"
    snapshot.write(path, OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(path.parent)], check=True)
    refused(path, "Read-only file system. Mount the disk for writing or choose another folder")
    assert snapshot.read(path) == OLD


@pytest.mark.parametrize("limit", [0, 1, 24, 4096, 199_999])
def test_file_size_limit_keeps_the_old_snapshot(tmp_path, limit):
    """A write that stops half-way for real, for everybody: no root needed (Python ignores SIGXFSZ)."""
    path = tmp_path / "kitchen.eimp"
    snapshot.write(path, OLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        refused(path, r"File too large. Raise the file size limit \(ulimit -f\)")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert snapshot.read(path) == OLD


def test_no_permission():
    """A folder that may be read but not written; root becomes an ordinary user for the moment."""
    folder = Path(tempfile.mkdtemp())  # not tmp_path: an ordinary user may not enter root's
    path = folder / "kitchen.eimp"
    snapshot.write(path, OLD)
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        refused(path, "Permission denied. Change the permissions of the file and its folder")
        assert snapshot.read(path) == OLD
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        path.unlink()
        folder.rmdir()


def test_targets_that_cannot_be_a_snapshot(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "folder", "Is a directory. Name a file, not a folder")
    refused(tmp_path / "file" / "kitchen.eimp", "Not a directory. Part of the path is a file")
    refused(tmp_path / "missing" / "kitchen.eimp", "No such file or directory. .* mkdir -p")
    refused(tmp_path / "pipe", "not a regular file")
    refused(tmp_path / "loop", "loop")
    refused(tmp_path / ("x" * 256), "File name too long. Choose a shorter name")
    with pytest.raises(StorageError, match="null"):
        snapshot.write(f"{tmp_path}/a\0b", NEW)
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_reading_what_is_no_snapshot_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it: reading must not wait
    for name, message in [
        ("missing", "No such file"),
        ("", "Is a directory"),
        ("pipe", "not a regular file"),
    ]:
        with pytest.raises(StorageError, match=f"cannot read {tmp_path}.*{message}"):
            snapshot.read(tmp_path / name)
    with pytest.raises(StorageError, match="null"):
        snapshot.read(f"{tmp_path}/a\0b")


def test_errors_of_the_content_name_the_file(tmp_path):
    path = tmp_path / "kitchen.eimp"
    path.write_bytes(b"")
    with pytest.raises(SnapshotCorruptError, match=f"{path}: the file is truncated"):
        snapshot.read(path)
    newer = bytearray(snapshot.encode({}))
    newer[8] = 2
    newer[20:24] = zlib.crc32(newer[:20]).to_bytes(4, "little")
    path.write_bytes(newer)
    with pytest.raises(SnapshotVersionError, match=rf"{path}: .* 1\.x; this one is 2\.0"):
        snapshot.read(path)


def test_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    try:
        with pytest.raises(SnapshotCorruptError, match=f"{path}: .* at most .* has {1 << 40}"):
            snapshot.read(path)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_new_file_follows_the_umask_and_an_old_one_keeps_its_mode(tmp_path, umask):
    path = tmp_path / "kitchen.eimp"
    previous = os.umask(umask)
    try:
        snapshot.write(path, OLD)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
        for mode in (0o666, 0o600, 0o640):
            path.chmod(mode)
            snapshot.write(path, OLD)
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(previous)


def test_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    link = tmp_path / "kitchen.eimp"
    link.symlink_to("data/real.eimp")
    for sections in (OLD, NEW):
        snapshot.write(link, sections)
        assert link.is_symlink()
        assert snapshot.read(tmp_path / "data" / "real.eimp") == sections
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["real.eimp"]


def test_only_abandoned_temporary_files_are_swept(tmp_path):
    abandoned = tmp_path / ".edge-imprint-00000000000000aa.tmp"
    alive = tmp_path / ".edge-imprint-00000000000000bb.tmp"
    others = [tmp_path / ".edge-imprint-notes.tmp", tmp_path / "x.tmp", tmp_path / f"{abandoned.name}.bak"]
    folder = tmp_path / ".edge-imprint-00000000000000cc.tmp"
    folder.mkdir()
    for path in (abandoned, alive, *others):
        path.write_bytes(b"half a snapsh")
    with alive.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        snapshot.write(tmp_path / "kitchen.eimp", OLD)
    assert not abandoned.exists()
    assert all(path.exists() for path in (alive, *others, folder))


def test_concurrent_writers_never_take_each_others_files(tmp_path):
    path = tmp_path / "kitchen.eimp"
    program = (
        "import sys; from edge_imprint import snapshot\n"
        "for turn in range(60): snapshot.write(sys.argv[1], {'WHO': sys.argv[2].encode() * 999})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), name]) for name in "abcd"]
    seen = set()
    try:
        while any(writer.poll() is None for writer in writers):
            if path.exists():
                seen.add(snapshot.read(path)["WHO"])
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [writer.returncode for writer in writers] == [0] * 4
    assert seen <= {letter * 999 for letter in (b"a", b"b", b"c", b"d")}
    assert list(tmp_path.iterdir()) == [path]
