"""Ctrl-C at any moment, also while libraries are loading.

Python raises KeyboardInterrupt wherever the program happens to be. Inside `import torch` that can be a place that turns
it into another error, or prints it and goes on. So the key is remembered as well.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_pressed = False


class StoppedError(Exception):
    """A command was interrupted; the text says what that left."""


@contextmanager
def heeded() -> Iterator[None]:
    """Remember Ctrl-C while this lasts; KeyboardInterrupt comes as ever.

    Where Ctrl-C is ignored (a background job) or is somebody else's already, nothing changes.
    """
    global _pressed
    _pressed = False
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, _remember)
    sys.unraisablehook = _hushed
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = hook


def pressed() -> bool:
    """Whether Ctrl-C was pressed since `heeded` began."""
    return _pressed


@contextmanager
def leaves(what: str) -> Iterator[None]:
    """Whatever Ctrl-C becomes in here, it ends as `StoppedError`.

    Args:
        what: an interruption has left.

    Raises:
        StoppedError: Ctrl-C was pressed and the work ended early.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(what) from None
    except Exception:
        if _pressed:
            raise StoppedError(what) from None
        raise


def check() -> None:
    """Raise what a library has swallowed.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if _pressed:
        raise KeyboardInterrupt


def _remember(number: int, frame: Any) -> None:
    global _pressed
    _pressed = True
    raise KeyboardInterrupt


def _hushed(unraisable: Any) -> None:
    """Python prints a KeyboardInterrupt that came in a callback of no caller; `check` raises it again."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
