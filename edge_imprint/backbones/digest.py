"""SHA-256 without OpenSSL where Python brings its own.

`hashlib` loads OpenSSL for whatever it is asked: 3.6 MB of resident memory and 7 ms, more than it then saves on the two
files of a bundle.
"""

from __future__ import annotations

import importlib


def sha256_hex(content: bytes) -> str:
    """The SHA-256 of these bytes as 64 hex digits.

    Example:
        >>> sha256_hex(b"")[:16]
        'e3b0c44298fc1c14'
    """
    for module in ("_sha2", "_sha256", "hashlib"):  # Python 3.12 and later; before; a build without its own
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        return str(found.sha256(content).hexdigest())
    raise AssertionError("hashlib is part of Python")
