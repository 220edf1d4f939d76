"""What every error of the command line looks like, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path


def refused(done, *words):
    """Assert the contract of an error; `words` must all be in its line."""
    assert done.code == 2, done
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("Error: ")
    for word in words:
        assert word in done.err, done.err


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
