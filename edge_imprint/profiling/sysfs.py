"""Small files of /proc and /sys, any of which may be missing, forbidden or odd on the next board."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

Missing: TypeAlias = dict[str, str]
"""What stands in for a value that could not be had: `{"not_available": why}`."""


def not_available(why: str) -> Missing:
    """The stand-in for a value.

    Example:
        >>> not_available("no sensor")
        {'not_available': 'no sensor'}
    """
    return {"not_available": why}


def is_missing(value: Any) -> bool:
    """Whether a value is such a stand-in."""
    return isinstance(value, dict) and set(value) == {"not_available"}


def text(path: Path) -> str | Missing:
    """A file's text without what surrounds it; device trees end their strings with a zero byte."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \n\t")
    except OSError as error:
        return not_available(f"{path}: {error.strerror or error}")


def number(path: Path, scale: float = 1.0) -> float | Missing:
    """A file's whole number, times `scale`."""
    found = text(path)
    if isinstance(found, dict):
        return found
    try:
        return int(found) * scale
    except ValueError:
        return not_available(f"{path}: {found[:40]!r} is no number")


def folders(parent: Path, pattern: str) -> list[Path]:
    """Folders of that pattern in the order of the numbers in their names; none where the parent cannot be read."""
    try:
        found = [path for path in parent.glob(pattern) if path.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda path: (len(path.name), path.name))


def first_there(values: Iterable[Any], why: str) -> Any:
    """The first value that is there, or that none is."""
    return next((value for value in values if value and not is_missing(value)), not_available(why))
