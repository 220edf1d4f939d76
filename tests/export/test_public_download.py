"""Downloads against a real web server on this machine that does everything a server can do wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_server import CONTENT, HALF, OTHER, Server, get, names, refusing, serving, tiny_entry

from edge_imprint.errors import DownloadError, EdgeImprintError
from edge_imprint_export.public import transfer
from edge_imprint_export.public.download import cached
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


@pytest.mark.parametrize(
    ("manner", "requests"),
    [
        ("truncates", 2),
        ("truncates_and_ignores_range", 2),
        ("stalls", 2),
        ("changes_between", 2),
        ("changes_silently", 3),
        ("another_part", 3),
        ("busy_once", 2),
        ("hangs_up", 2),
        ("moved", 2),
    ],
)
def test_faults_that_pass_are_survived(
    entry: PublicBackbone, server: Server, tmp_path: Path, manner: str, requests: int
) -> None:
    server.manner = manner
    assert get(entry, server, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == requests
    assert names(tmp_path) == [".tflite"]


def test_the_rest_is_asked_for_and_only_of_the_same_file(entry: PublicBackbone, server: Server, tmp_path: Path) -> None:
    server.manner = "truncates"
    seen: list[int] = []
    get(entry, server, tmp_path, progress=lambda done, total: seen.append(done))
    assert server.requests[1]["Range"] == f"bytes={HALF}-"
    assert server.requests[1]["If-Range"] == '"one"'
    assert seen == sorted(seen)  # nothing came twice


@pytest.mark.parametrize(
    ("manner", "message", "requests"),
    [
        ("always_truncates", r"the connection ended after 160000 of 320000 bytes \(5 attempts\)", 5),
        ("never_answers", r"nothing came for 0\.3 s \(5 attempts\)", 5),
        ("drips", r"only \d+ bytes came in 0\.3 s \(5 attempts\)", 5),
        ("says_too_few", "the server's file has 160000 bytes, not 320000", 1),
        ("says_too_many", "the server's file has 320001 bytes, not 320000", 1),
        ("sign_in_page", "the server's file has 20 bytes, not 320000", 1),
        ("wrong_file", f"its SHA-256 must be .*; the server's file has {hashlib.sha256(OTHER).hexdigest()}", 1),
        ("endless", "its SHA-256 must be", 1),
        ("missing", "the server answered 404 Not Found", 1),
        ("broken", r"the server answered 500 Internal Server Error \(5 attempts\)", 5),
        ("circle", "the server redirects in a circle", None),
        ("to_a_file", "to an address that is not http", 1),
        ("to_ftp", "to an address that is not http", 1),
    ],
)
def test_faults_that_stay_are_told_with_the_way_out(
    entry: PublicBackbone, server: Server, tmp_path: Path, manner: str, message: str, requests: int | None
) -> None:
    if manner == "endless":  # its first bytes must be wrong, else the file would be right and its end never asked for
        entry = dataclasses.replace(entry, sha256="0" * 64)
    server.manner = manner
    started = time.monotonic()
    with pytest.raises(DownloadError, match=message) as caught:
        get(entry, server, tmp_path, timeout_s=0.3 if manner in ("never_answers", "drips") else 5)
    assert time.monotonic() - started < 10
    assert str(caught.value).startswith("the download of tiny failed: ")
    assert str(caught.value).endswith(
        f"Try again later, or download {server.url} in another way and name the file with --from FILE."
    )
    assert requests is None or len(server.requests) == requests
    # What came of the right file is kept, nothing else; never under the final name.
    assert names(tmp_path) == ([".part"] if manner in ("always_truncates", "drips") else [])
    assert cached(entry, cache=tmp_path) is None


def test_never_more_is_read_than_was_promised(entry: PublicBackbone, server: Server, tmp_path: Path) -> None:
    server.manner = "endless"
    seen: list[int] = []
    assert get(entry, server, tmp_path, progress=lambda done, total: seen.append(done)).read_bytes() == CONTENT
    assert max(seen) == len(CONTENT)


def test_no_network(entry: PublicBackbone, tmp_path: Path, server: Server, nowhere: str) -> None:
    with pytest.raises(DownloadError, match=r"failed: no connection \(Connection refused\)"):
        get(entry, server, tmp_path, url=nowhere)
    for host in ("[", "127.0.0.1:port", "a" * 64 + ".example", "a b"):
        with pytest.raises(DownloadError, match=r"failed: (the address cannot be used|no connection)"):
            get(entry, server, tmp_path, url=f"http://{host}/tiny.tflite")
    for url in ("file:///etc/hostname", "ftp://127.0.0.1/x.tflite", "tiny.tflite", ""):
        with pytest.raises(DownloadError, match="must begin with http"):
            get(entry, server, tmp_path, url=url)
    assert names(tmp_path) == []


def test_a_callback_that_fails_is_not_taken_for_the_network(
    entry: PublicBackbone, server: Server, tmp_path: Path
) -> None:
    def broken(done: int, total: int) -> None:
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError):
        get(entry, server, tmp_path, progress=broken)


def test_one_error_for_every_way_to_fail() -> None:
    assert issubclass(DownloadError, EdgeImprintError)
    assert not issubclass(transfer.PassingFaultError, EdgeImprintError)  # it never leaves the package
