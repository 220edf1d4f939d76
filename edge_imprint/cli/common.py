"""What several commands share: option types, pictures in folders, and the lock around a state file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_imprint.errors import ImageError, StorageError, UsageError

if TYPE_CHECKING:
    from edge_imprint.head import ImprintHead

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"})

State = Annotated[Path, typer.Option("--state", metavar="FILE", help="The state file: what was learnt so far.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Method = Annotated[
    str,
    typer.Option("--method", metavar="M", help="auto, proxies or ridge; auto takes ridge where the budget affords it."),
]
Images = Annotated[
    list[Path],
    typer.Argument(metavar="IMAGE...", show_default=False, help="Pictures, or folders of pictures."),
]


def expand_images(images: Sequence[Path]) -> list[Path]:
    """Replace each folder by its picture files, sorted by name; other paths stay as they are.

    Raises:
        ImageError: a path does not exist, or a folder holds no picture.
    """
    expanded: list[Path] = []
    for path in images:
        if path.is_dir():
            found = pictures_in(path)
            if not found:
                raise ImageError(
                    f"a folder must hold at least one picture; {path} holds none that ends in "
                    f"{', '.join(sorted(PICTURE_SUFFIXES))}"
                )
            expanded += found
        elif not path.exists():
            raise ImageError(f"no such picture: {path}")
        else:
            expanded.append(path)
    return expanded


def pictures_in(folder: Path) -> list[Path]:
    """The picture files directly in a folder, sorted by name; hidden files are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def existing_state(path: Path) -> Path:
    """Resolve links to the file itself, so that saving replaces the file and not the link.

    Raises:
        StorageError: there is no such file.
    """
    if not path.exists():
        raise StorageError(f"no state file {path}; create it with: edge-imprint learn LABEL IMAGE... --state {path}")
    return path.resolve()


@contextlib.contextmanager
def locked(state: Path) -> Iterator[Path]:
    """Hold the only right to change a state file, waiting for whoever holds it; yields the resolved path.

    The lock is on the folder: saving renames a new file over the old one, so a lock on the file itself would
    be on the wrong file a moment later, and a side file would stay behind. It ends with the process, however
    that ends.

    Raises:
        StorageError: the folder does not exist or cannot be locked.
    """
    path = state.resolve()
    if path.is_dir():
        raise UsageError(f"--state must name a file; {state} is a folder")
    try:
        import fcntl
    except ImportError:  # no such locks outside Unix: there, one process at a time is up to the caller
        yield path
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise StorageError(
            f"the folder of the state file cannot be opened: {path.parent} ({error.strerror})"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)


def label_as_taught(head: ImprintHead, label: str) -> str | int:
    """The class that a word on the command line means: a program may have taught the number 7 and not "7"."""
    return next((known for known in head.shots_per_class() if str(known) == label), label)


def usage(head: ImprintHead, state: Path) -> dict[str, object]:
    """What a command that changed a state says of it in JSON."""
    return {
        "classes": len(head.classes_),
        "bytes_used": head.nbytes,
        "budget": head.budget,
        "state": str(state),
    }


def size_text(size: int) -> str:
    """Bytes for people: `12.3 KB`, with 1 KB = 1,024 bytes.

    >>> size_text(65536), size_text(100)
    ('64.0 KB', '100 B')
    """
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KB"


def percent(confidence: float | None) -> tuple[str, ...]:
    """A confidence as the last column of a table's row, which has none where there is none."""
    return () if confidence is None else (f"{100 * confidence:.0f} %",)
