"""Where the C sources are: beside this package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from edge_imprint.errors import StorageError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """One of the folders `c`, `boards` and `app` of firmware_bridge.

    Raises:
        StorageError: it is not there; the installation is damaged.
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise StorageError(f"the folder {name} of firmware_bridge must lie in {_PACKAGE}; install edge-imprint again")


def library() -> list[Path]:
    """The C library: every source and header of `c/src`, sorted by name."""
    return sorted(file for file in (folder("c") / "src").iterdir() if file.suffix in (".c", ".h"))
