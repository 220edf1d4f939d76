"""The cache of public backbones: offline, damaged, full, interrupted, and used by two processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_server import CONTENT, HALF, OTHER, Server, get, names, refusing, serving, tiny_entry

from edge_imprint.errors import DownloadError, StorageError
from edge_imprint_export.public import download
from edge_imprint_export.public.download import cache_folder, cached, fetch
from edge_imprint_export.public.registry import PublicBackbone


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as made:
        yield made


@pytest.fixture
def nowhere() -> Iterator[str]:
    with refusing() as url:
        yield url


@pytest.fixture
def entry() -> PublicBackbone:
    return tiny_entry()


def test_a_file_is_fetched_once_and_then_comes_from_the_cache(
    entry: PublicBackbone, server: Server, tmp_path: Path, nowhere: str
) -> None:
    seen: list[tuple[int, int]] = []
    path = get(entry, server, tmp_path / "a" / "b", progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path.name == f"tiny-{entry.sha256[:12]}.tflite"
    assert names(path.parent) == [".tflite"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert get(entry, server, path.parent) == path == cached(entry, cache=path.parent)
    assert len(server.requests) == 1
    assert "Range" not in server.requests[0]
    assert get(entry, server, path.parent, url=nowhere) == path  # offline as well


@pytest.mark.parametrize("left", ["right", "wrong", "whole", "whole but wrong", "longer", "whole, beyond the server"])
def test_what_an_earlier_process_left_is_continued_or_replaced(
    entry: PublicBackbone, server: Server, tmp_path: Path, left: str
) -> None:
    part = tmp_path / f"tiny-{entry.sha256[:12]}.part"
    part.write_bytes(
        {
            "right": CONTENT[:HALF],
            "wrong": OTHER[:HALF],
            "whole": CONTENT,
            "whole but wrong": OTHER,
            "longer": CONTENT + b"x",
            "whole, beyond the server": CONTENT[:-1],
        }[left]
    )
    if left == "whole, beyond the server":
        server.manner = "no_such_range"
    seen: list[int] = []
    assert get(entry, server, tmp_path, progress=lambda done, total: seen.append(done)).read_bytes() == CONTENT
    assert names(tmp_path) == [".tflite"]
    if left == "right":
        assert server.requests[0]["Range"] == f"bytes={HALF}-"
        assert len(server.requests) == 1
        assert seen[0] == HALF
    elif left == "whole":
        assert server.requests == []


def test_a_damaged_cached_file_is_noticed_and_fetched_anew(
    entry: PublicBackbone, server: Server, tmp_path: Path, nowhere: str
) -> None:
    path = get(entry, server, tmp_path)
    for damaged in (CONTENT[:-1], CONTENT[:-1] + b"?", b"", CONTENT + b"?"):
        path.write_bytes(damaged)
        assert cached(entry, cache=tmp_path) is None
        assert get(entry, server, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 5
    path.write_bytes(b"")
    with pytest.raises(DownloadError, match="no connection"):
        get(entry, server, tmp_path, url=nowhere)


def test_a_file_of_the_user_is_verified_and_kept(entry: PublicBackbone, server: Server, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT)
    cache = tmp_path / "cache"
    path = get(entry, server, cache, from_file=mine)
    assert path.read_bytes() == CONTENT
    assert get(entry, server, cache) == path
    assert server.requests == []
    for wrong, message in (
        (OTHER, "must have the SHA-256"),
        (CONTENT + b"x", "more than 320000 bytes"),
        (b"", "has e3b0"),
    ):
        mine.write_bytes(wrong)
        with pytest.raises(DownloadError, match=message):
            get(entry, server, cache, from_file=mine)
    for missing in (tmp_path / "none.tflite", tmp_path, Path("/dev/zero")):
        with pytest.raises(StorageError, match="cannot read"):
            get(entry, server, cache, from_file=missing)
    assert path.read_bytes() == CONTENT


def test_the_mirror_and_the_folders_come_from_the_environment(
    entry: PublicBackbone, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_IMPRINT_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv(download.MIRROR_VARIABLE, server.url.rpartition("/")[0] + "/")
    assert fetch(entry, timeout_s=0.5).parent == tmp_path / "own" / "backbones" == cache_folder()
    assert len(server.requests) == 1
    monkeypatch.delenv("EDGE_IMPRINT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "edge-imprint" / "backbones"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "edge-imprint" / "backbones"


def test_a_cache_that_cannot_be_written(entry: PublicBackbone, server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot make"):
        get(entry, server, tmp_path / "file" / "cache")
    (tmp_path / f"tiny-{entry.sha256[:12]}.part").mkdir()
    with pytest.raises(StorageError, match="cannot open"):
        get(entry, server, tmp_path)
    assert server.requests == []


PROGRAM = """
import dataclasses, resource, sys
from pathlib import Path
from edge_imprint.errors import EdgeImprintError
from edge_imprint_export.public.download import fetch
from edge_imprint_export.public.registry import registry

url, cache, sha256, size, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
entry = dataclasses.replace(registry()[0], name="tiny", sha256=sha256, size_bytes=int(size))
try:
    print(fetch(entry, cache=Path(cache), url=url, timeout_s=60, progress=lambda *done: print(*done, flush=True)))
except EdgeImprintError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def start(entry: PublicBackbone, server: Server, cache: Path, limit: int = 0) -> subprocess.Popen[str]:
    words = [server.url, str(cache), entry.sha256, str(entry.size_bytes), str(limit)]
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


def test_a_full_disk(entry: PublicBackbone, server: Server, tmp_path: Path) -> None:
    """A limit on the size of a file fails a write half way, as a full disk does."""
    process = start(entry, server, tmp_path, limit=100_000)
    _, error = process.communicate(timeout=30)
    assert error.startswith("StorageError: cannot write ")
    assert process.returncode == 1
    assert names(tmp_path) == []


def test_ctrl_c_keeps_what_has_come_for_the_next_time(entry: PublicBackbone, server: Server, tmp_path: Path) -> None:
    server.manner = "stalls"
    process = start(entry, server, tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"{HALF} "):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert names(tmp_path) == [".part"]
    server.over.set()
    seen: list[int] = []
    assert get(entry, server, tmp_path, progress=lambda done, total: seen.append(done)).read_bytes() == CONTENT
    assert seen[0] == HALF
    assert server.requests[1]["Range"] == f"bytes={HALF}-"


def test_two_processes_at_once_download_once(entry: PublicBackbone, server: Server, tmp_path: Path) -> None:
    server.manner = "stalls"
    first = start(entry, server, tmp_path)
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith(f"{HALF} "):
            break
    second = start(entry, server, tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the first
        second.wait(timeout=1.5)
    server.over.set()
    ends = [process.communicate(timeout=30)[0].splitlines()[-1] for process in (first, second)]
    assert ends[0] == ends[1] == str(tmp_path / f"tiny-{entry.sha256[:12]}.tflite")
    assert len(server.requests) == 2  # the first's, broken off and continued
    assert Path(ends[0]).read_bytes() == CONTENT
