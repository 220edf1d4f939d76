"""A web server on this machine that does everything a server can do wrong, and a backbone to fetch from it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge_imprint_export.public import download
from edge_imprint_export.public.download import fetch
from edge_imprint_export.public.registry import PublicBackbone, registry

CONTENT = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(250)) * 40  # 320,000 bytes, 5 chunks
OTHER = CONTENT[::-1]
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT in the manner that its server is set to; each request is noted."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        number = len(self.server.requests)
        self.server.requests.append(dict(self.headers))
        getattr(self, "on_" + self.server.manner)(number)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, body: bytes, *, ranges: bool = True, etag: str = '"one"', length: int | None = None) -> None:
        """A correct answer to this request, or one with another Content-Length."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if ranges and asked and self.headers.get("If-Range", etag) == etag:
            start = int(asked[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def first_half(self, etag: str = '"one"') -> None:
        self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:HALF])
        self.wfile.flush()

    def on_right(self, number: int) -> None:
        self.answer(CONTENT)

    def on_truncates(self, number: int) -> None:
        self.first_half() if number == 0 else self.answer(CONTENT)

    def on_always_truncates(self, number: int) -> None:
        self.first_half()

    def on_truncates_and_ignores_range(self, number: int) -> None:
        self.first_half() if number == 0 else self.answer(CONTENT, ranges=False)

    def on_stalls(self, number: int) -> None:
        if number == 0:
            self.first_half()
            self.server.over.wait(60)
        else:
            self.answer(CONTENT)

    def on_never_answers(self, number: int) -> None:
        self.server.over.wait(10)

    def on_drips(self, number: int) -> None:
        self.first_half()
        while not self.server.over.wait(0.05):
            try:
                self.wfile.write(b"x")
            except OSError:
                return

    def on_says_too_few(self, number: int) -> None:
        self.answer(CONTENT, length=HALF)

    def on_says_too_many(self, number: int) -> None:
        self.answer(CONTENT, length=len(CONTENT) + 1)

    def on_wrong_file(self, number: int) -> None:
        self.answer(OTHER)

    def on_sign_in_page(self, number: int) -> None:
        self.answer(b"<html>Sign in</html>")

    def on_changes_between(self, number: int) -> None:
        """The file that the first half came from is gone, and with it its ETag."""
        self.first_half('"old"') if number == 0 else self.answer(CONTENT, etag='"new"')

    def on_changes_silently(self, number: int) -> None:
        """Another file, put together from the first half of one and the second of another unless the hash tells."""
        if number == 0:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(OTHER[:HALF])
        else:
            self.answer(CONTENT)

    def on_endless(self, number: int) -> None:
        """No Content-Length, and more bytes than were promised, without an end."""
        self.send_response(200)
        self.end_headers()
        while not self.server.over.is_set():
            try:
                self.wfile.write(CONTENT)
            except OSError:
                return
            self.server.sent += len(CONTENT)

    def on_another_part(self, number: int) -> None:
        if number == 0:
            self.first_half()
        elif number == 1:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(CONTENT) - 7))
            self.end_headers()
            self.wfile.write(CONTENT[7:])
        else:
            self.answer(CONTENT)

    def on_no_such_range(self, number: int) -> None:
        if "Range" in self.headers:
            self.send_error(416)
        else:
            self.answer(CONTENT)

    def on_missing(self, number: int) -> None:
        self.send_error(404)

    def on_busy_once(self, number: int) -> None:
        self.send_error(503) if number == 0 else self.answer(CONTENT)

    def on_broken(self, number: int) -> None:
        self.send_error(500)

    def on_hangs_up(self, number: int) -> None:
        if number:
            self.answer(CONTENT)

    def redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def on_circle(self, number: int) -> None:
        self.redirect(self.path)

    def on_to_a_file(self, number: int) -> None:
        self.redirect("file:///etc/hostname")

    def on_to_ftp(self, number: int) -> None:
        self.redirect("ftp://127.0.0.1/x.tflite")

    def on_moved(self, number: int) -> None:
        self.redirect("/elsewhere.tflite") if number == 0 else self.answer(CONTENT)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.manner = "right"
        self.requests: list[dict[str, str]] = []
        self.sent = 0
        self.over = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hung up: that is what it was made to do

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/folder/tiny.tflite"


@contextlib.contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, with no proxy before it and no long waits between attempts."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", download.MIRROR_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "BACKOFF_S", 0.01)
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made
        finally:
            made.over.set()
            made.shutdown()
            thread.join()


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """An address on this machine that refuses every connection: its port is taken, and nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/tiny.tflite"


def tiny_entry() -> PublicBackbone:
    """A backbone whose file is CONTENT."""
    return dataclasses.replace(
        registry()[0],
        name="tiny",
        url="https://example.invalid/tiny.tflite",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
    )


def get(entry: PublicBackbone, server: Server, cache: Path, **options: object) -> Path:
    return fetch(entry, cache=cache, **{"url": server.url, "timeout_s": 2.0, **options})  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    """What lies in the cache, but for the locks."""
    return sorted(path.suffix for path in folder.iterdir() if path.suffix != ".lock") if folder.is_dir() else []
