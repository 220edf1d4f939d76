"""One HTTP answer appended to a partial file: ranges, redirects, stalls, and what each fault means."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse, InvalidURL
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from edge_imprint import __version__
from edge_imprint.atomic import storage_errors
from edge_imprint.errors import DownloadError

Progress = Callable[[int, int], None]

CHUNK_BYTES = 1 << 16
# A link slower than this for `timeout_s` counts as stalled: a server that sends a byte now and then is no better.
MIN_BYTES_PER_S = 100

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


class PassingFaultError(Exception):
    """A fault that the next attempt may not meet; its text completes "the download of X failed: "."""


class _Redirects(request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise HTTPError(req.full_url, code, f"redirected to {newurl}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> request.OpenerDirector:
    """An opener for http and https only: urllib's own would also read file:, ftp: and data: addresses."""
    opener = request.OpenerDirector()
    handlers: list[request.BaseHandler] = [
        request.ProxyHandler(), request.HTTPHandler(), request.HTTPSHandler(), request.UnknownHandler(),
        request.HTTPDefaultErrorHandler(), request.HTTPErrorProcessor(), _Redirects(),
    ]  # fmt: skip
    for handler in handlers:
        opener.add_handler(handler)
    return opener


class Transfer:
    """Attempts to fetch one file of known length.

    Attributes:
        joined: whether the partial file now holds bytes of more than one answer, which may be of different files.
    """

    def __init__(self, url: str, size_bytes: int, timeout_s: float) -> None:
        """Prepare; nothing is sent yet. `url` is http or https, `timeout_s` the longest silence, above 0."""
        self.url = url
        self.size_bytes = size_bytes
        self.timeout_s = timeout_s
        self.joined = False
        self._etag: str | None = None

    def attempt(self, part: io.FileIO, progress: Progress) -> None:
        """Append what is missing to `part`, opened for appending; on failure it keeps what has come.

        Never reads more than `size_bytes` in all.

        Raises:
            PassingFaultError: worth another attempt.
            DownloadError: not worth one.
            StorageError: the partial file cannot be written.
        """
        have = part.seek(0, os.SEEK_END)
        with self._faults(part):
            asked = request.Request(self.url, headers=self._headers(have))
            opened: HTTPResponse = _opener().open(asked, timeout=self.timeout_s)
        with contextlib.closing(opened) as answer:
            if have and not self._continues(answer, have, part):
                have = empty(part)
            self.joined = have > 0
            self._check_length(answer, have)
            etag = answer.headers.get("ETag", "")
            self._etag = etag if etag.startswith('"') else None  # a weak one (W/"...") may not be used with If-Range
            self._copy(answer, part, have, progress)

    def _headers(self, have: int) -> dict[str, str]:
        headers = {"User-Agent": f"edge-imprint/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._etag is not None:
                headers["If-Range"] = self._etag
        return headers

    def _continues(self, answer: HTTPResponse, have: int, part: io.FileIO) -> bool:
        """Whether the answer begins where the partial file ends; False: it is the whole file from its start."""
        if answer.status != 206:
            return False
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found and int(found[1]) == have and found[2] in (str(self.size_bytes), "*"):
            return True
        empty(part)
        raise PassingFaultError("the server sent another part of the file than was asked for")

    def _check_length(self, answer: HTTPResponse, have: int) -> None:
        """Refuse a wrong file (a sign-in page, a newer version) before its bytes are read."""
        if answer.length is not None and have + answer.length != self.size_bytes:
            raise DownloadError(f"the server's file has {have + answer.length} bytes, not {self.size_bytes}")

    def _copy(self, answer: HTTPResponse, part: io.FileIO, have: int, progress: Progress) -> None:
        progress(have, self.size_bytes)
        since, recent = time.monotonic(), 0
        while have < self.size_bytes:
            with self._faults(part):
                chunk = answer.read1(min(CHUNK_BYTES, self.size_bytes - have))
            if not chunk:
                raise PassingFaultError(f"the connection ended after {have} of {self.size_bytes} bytes")
            with storage_errors("write", part.name):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[part.write(rest) or 0 :]
            have += len(chunk)
            recent += len(chunk)
            progress(have, self.size_bytes)
            if time.monotonic() - since >= self.timeout_s:
                if recent < MIN_BYTES_PER_S * self.timeout_s and have < self.size_bytes:
                    raise PassingFaultError(f"only {recent} bytes came in {self.timeout_s:g} s")
                since, recent = time.monotonic(), 0

    @contextlib.contextmanager
    def _faults(self, part: io.FileIO) -> Iterator[None]:
        """Sort what urllib and the socket raise into faults that may pass and those that will not."""
        silence = f"nothing came for {self.timeout_s:g} s"
        try:
            yield
        except HTTPError as error:
            error.close()
            if 300 <= error.code < 400:
                raise DownloadError("the server redirects in a circle or to an address that is not http") from None
            reason = f"the server answered {error.code} {error.reason}".rstrip()
            if error.code == 416:  # the server's file ends before the partial one: start again
                empty(part)
            if error.code in _MAY_PASS or error.code == 416:
                raise PassingFaultError(reason) from None
            raise DownloadError(reason) from None
        except URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise PassingFaultError(silence) from None
            if isinstance(error.reason, ConnectionResetError | BrokenPipeError):
                raise PassingFaultError("the connection was lost") from None
            reason = getattr(error.reason, "strerror", None) or str(error.reason)
            raise DownloadError(f"no connection ({reason})") from None
        except TimeoutError:
            raise PassingFaultError(silence) from None
        except (InvalidURL, ValueError) as error:
            raise DownloadError(f"the address cannot be used ({error})") from None
        except (HTTPException, OSError) as error:
            raise PassingFaultError(f"the connection was lost ({type(error).__name__})") from None


def empty(part: io.FileIO) -> int:
    """Throw away what has come; 0, the bytes that are left."""
    with storage_errors("write", part.name):
        part.truncate(0)
        return part.seek(0)
