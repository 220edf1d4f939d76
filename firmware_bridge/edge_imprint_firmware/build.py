"""Build a generated project once, and keep the program in a cache of the user.

The cache is $EDGE_IMPRINT_CACHE/firmware, else $XDG_CACHE_HOME/edge-imprint/firmware, else
~/.cache/edge-imprint/firmware. A program's name there is the hash of everything it is made of.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from edge_imprint.atomic import scratch_folder, storage_errors
from edge_imprint.errors import EdgeImprintError, MissingRuntimeError
from edge_imprint_firmware.boards import Board
from edge_imprint_firmware.generate import MARKER, generate
from edge_imprint_firmware.options import HeadOptions

_MAKE_LIMIT_S = 600.0


class BuildError(EdgeImprintError):
    """A project does not build; the message ends with what the compiler said."""


def compiler() -> str:
    """What to give to `make` as CC: $EDGE_IMPRINT_FIRMWARE_CC, arm-none-eabi-gcc, or zig from PyPI.

    Raises:
        MissingRuntimeError: none of them is installed.
    """
    chosen = os.environ.get("EDGE_IMPRINT_FIRMWARE_CC")
    if chosen:
        return chosen
    if shutil.which("arm-none-eabi-gcc"):
        return "arm-none-eabi-gcc"
    if importlib.util.find_spec("ziglang"):
        return f"{shlex.quote(sys.executable)} -m ziglang cc"
    raise MissingRuntimeError(
        "no compiler for Arm here. On Debian: apt-get install gcc-arm-none-eabi; anywhere: pip install ziglang"
    )


def cache_folder() -> Path:
    """Where built programs are kept for this user; it need not exist yet.

    Raises:
        StorageError: the user has no home folder and no variable names another.
    """
    own, xdg = os.environ.get("EDGE_IMPRINT_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if own:
        return Path(own) / "firmware"
    with storage_errors("find", "the home folder"):
        base = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache"
    return base / "edge-imprint" / "firmware"


def program(board: Board, options: HeadOptions, state: str | Path | None = None) -> Path:
    """The program for a board, built unless it is in the cache already.

    Raises:
        BuildError: the compiler refuses it.
        MissingRuntimeError: no compiler, or no make.
        And what `generate` raises.
    """
    cc = compiler()
    cache = cache_folder()
    with storage_errors("write", cache):
        cache.mkdir(parents=True, exist_ok=True)
        with scratch_folder(cache, ".building-") as scratch:
            project = scratch / "project"
            generate(project, board, options, state=state)
            target = cache / f"{_digest(project, cc)}.elf"
            if not target.exists():
                make(project, cc)
                (project / "firmware.elf").replace(target)  # whoever comes second replaces it by the same
    return target


def make(project: Path, cc: str, *arguments: str) -> str:
    """Run make in a generated project; returns what it printed.

    Raises:
        BuildError: it failed.
        MissingRuntimeError: there is no make.
    """
    if shutil.which("make") is None:
        raise MissingRuntimeError("no make here. On Debian: apt-get install make")
    command = ["make", "--silent", f"--jobs={os.cpu_count() or 1}", f"CC={cc}", *arguments]
    # What an outer make hands down is not meant for this one.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    try:
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=_MAKE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{project} did not build within {_MAKE_LIMIT_S:.0f} s with {cc}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        telling = ("error:", "undefined reference", "undefined symbol", "overflowed", "multiple definition")
        first = next(
            (line for line in said if any(word in line for word in telling)), said[-1] if said else "no reason"
        )
        raise BuildError(f"{project} does not build with {cc}: {first.strip()}")
    return done.stdout


def _digest(project: Path, cc: str) -> str:
    """A hash of the compiler and of every file but the marker, which holds the folder's name."""
    digest = hashlib.sha256(cc.encode())
    first = shutil.which(shlex.split(cc)[0])
    if first:
        status = Path(first).resolve().stat()
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    for file in sorted(path for path in project.rglob("*") if path.is_file() and path.name != MARKER):
        digest.update(f"\n{file.relative_to(project)} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]
