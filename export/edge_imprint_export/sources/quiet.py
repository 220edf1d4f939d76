"""Libraries that load networks talk a lot; a command has its own words."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings, log records, progress bars and prints of libraries off the terminal; exceptions pass."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def first_line(error: BaseException, longest: int = 200) -> str:
    """The first line of an error's text that says something, for a message of one line."""
    lines = (line.strip() for line in str(error).splitlines())
    # Messages of ours go on after it, with a full stop of their own.
    text = next((line for line in lines if line), type(error).__name__)
    text = text.partition(" (unhinted: ")[0].rstrip(".:")  # torch's own notes on the sizes of its symbols
    return text if len(text) <= longest else text[: longest - 3] + "..."
