"""Keep the chatter of libraries off the user's terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO

_lock = threading.RLock()


class Said:
    """What was said during `quiet`, from Python and from C++; read it before the block ends."""

    def __init__(self, low: BinaryIO | None, high: io.StringIO) -> None:
        self._low = low
        self._high = high

    def text(self) -> str:
        """Everything so far."""
        low = b""
        if self._low is not None:
            self._low.seek(0)
            low = self._low.read()
        return self._high.getvalue() + low.decode("utf-8", "replace")


@contextlib.contextmanager
def quiet() -> Iterator[Said]:
    """Take what anybody writes to standard output and standard error, warnings and logs included.

    The compiler inside LiteRT's converter is C++ and writes to file descriptors 1 and 2 itself, so the descriptors
    are lent to a file. What a library changes about logging is undone: `logging.warning` installs a handler for good.
    Errors are raised as ever.
    """
    with _lock, contextlib.ExitStack() as stack, tempfile.TemporaryFile() as low:
        high = io.StringIO()
        root = logging.getLogger()
        before = root.level, list(root.handlers), logging.root.manager.disable
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        lent = [stack.enter_context(_lent(descriptor, low)) for descriptor in (1, 2)]
        stack.enter_context(contextlib.redirect_stdout(high))
        stack.enter_context(contextlib.redirect_stderr(high))
        try:
            yield Said(low if any(lent) else None, high)
        finally:
            root.setLevel(before[0])
            root.handlers[:] = before[1]
            logging.disable(before[2])


@contextlib.contextmanager
def _lent(descriptor: int, file: BinaryIO) -> Iterator[bool]:
    """Lend a file descriptor to a file; False where there is none, as in a daemon."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # no stream, or a closed one
            stream.flush()
    try:
        real = os.dup(descriptor)
    except OSError:
        yield False
        return
    try:
        os.dup2(file.fileno(), descriptor)
        yield True
    finally:
        os.dup2(real, descriptor)
        os.close(real)
