"""C sources of the firmware library, compiled for tests and loaded with ctypes or run as programs."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "firmware_bridge" / "c" / "src"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


@functools.cache
def _folder() -> Path:
    """Where this process builds; removed by nobody but the system, so that a failing binary can be looked at."""
    return Path(tempfile.mkdtemp(prefix="eimp-cbuild-"))


def compiler(name: str = "cc") -> str:
    """The compiler's path; the test is skipped where there is none."""
    found = shutil.which(os.environ.get("CC", name) if name == "cc" else name)
    if found is None:
        pytest.skip(f"no {name} here; on Debian: apt-get install gcc")
    return found


def build(output: str, *sources: Path, flags: Sequence[str] = (), cc: str = "cc") -> Path:
    """Compile and link; the same request in one process is built once. A warning is an error."""
    command = [compiler(cc), *STRICT, "-O2", *flags, f"-I{SRC}", *map(str, sources)]
    key = hashlib.sha256(repr((output, command)).encode()).hexdigest()[:12]
    target = _folder() / f"{key}-{output}"
    if not target.exists():
        done = subprocess.run([*command, "-o", str(target), "-lm"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return target


def shared_library(output: str, *sources: Path, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """Compile into a shared library and load it."""
    return ctypes.CDLL(str(build(f"{output}.so", *sources, flags=("-shared", "-fPIC", *flags))))
