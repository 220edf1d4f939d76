"""Versions of everything that takes part."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from typing import Any

_DISTRIBUTIONS = (
    "edge-imprint",
    "numpy",
    "Pillow",
    "onnxruntime",
    "onnxruntime-gpu",
    "ai-edge-litert",
    "tflite-runtime",
)


def versions() -> dict[str, Any]:
    """Python and what is installed of what may run a backbone; nothing of it is imported.

    Example:
        >>> "python" in versions()
        True
    """
    return {"python": platform.python_version(), **installed(_DISTRIBUTIONS)}


def installed(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of those that are installed, in their order.

    Example:
        >>> list(installed(["numpy", "no such thing"]))
        ['numpy']
    """
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def kernels() -> str:
    """What does the head's arithmetic: the C library's kernel, or numpy.

    Example:
        >>> kernels() != ""
        True
    """
    from edge_imprint.head.engine import VARIABLE, native_is_there

    if os.environ.get(VARIABLE) == "numpy" or not native_is_there():
        return "numpy"
    from edge_imprint.head import _native

    return _native.kernels()
