"""Results kept between runs: a full run takes most of an hour, and goes on where it stopped.

A result is found again by everything that it follows from: the shots and test pictures, byte for byte, the options, the
code that made it and the libraries' versions. Nothing has to be thrown away by hand.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.data import cache_folder

LIBRARIES = ("numpy", "scikit-learn")
Kept = dict[str, NDArray[np.float64]]


def fingerprint(paths: Iterable[Path]) -> str:
    """What the code in these files does: Python without comments and docstrings, any other file byte for byte."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(path.name.encode() + b"\0")
        digest.update(_statements(content) if path.suffix == ".py" else content)
    return digest.hexdigest()


def _statements(content: bytes) -> bytes:
    tree = ast.parse(content)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return ast.dump(tree).encode()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def key_of(*parts: str | NDArray[np.generic]) -> str:
    """A name for what follows from these texts and arrays."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        digest.update(b"\0")
    for library in LIBRARIES:
        digest.update(metadata.version(library).encode() + b"\0")
    return digest.hexdigest()


def kept(key: str, make: Callable[[], Mapping[str, ArrayLike]]) -> Kept:
    """The arrays that `make` returned when it was last called with this key, or returns now; float64."""
    path = cache_folder() / "learning" / f"{key[:40]}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    made = {name: np.asarray(value, np.float64) for name, value in make().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez_compressed(temporary, **made)  # type: ignore[arg-type]
    temporary.replace(path)
    return made
