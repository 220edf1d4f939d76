"""How fast one thread reads memory, and which caches there are: `memory_stream.c`, compiled for this processor."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError, DataMissingError

SOURCE = Path(__file__).with_suffix(".c")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 1024, "M": 1024**2}


def reader(folder: Path) -> Callable[[NDArray[np.int8]], int]:
    """A call that reads every byte of an array (but for the last 511) and gives the sum of its 64-bit words.

    Args:
        folder: where the library is built; it must stay as long as the call is used.

    Raises:
        DataMissingError: there is no C compiler.
        BenchmarkError: it refuses the source, or the reader does not read what it should.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise DataMissingError("bandwidth of the memory: no C compiler; on Debian: apt-get install gcc")
    library = folder / "memory_stream.so"
    command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(SOURCE), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    stream = ctypes.CDLL(str(library)).memory_stream
    stream.restype = ctypes.c_uint64
    stream.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def read(array: NDArray[np.int8]) -> int:
        return int(stream(array.ctypes.data, array.nbytes))

    sample = np.random.default_rng(0).integers(-128, 128, 512 * 9, dtype=np.int8)
    if read(sample) != int(sample.view(np.uint64).sum()):
        raise BenchmarkError(f"{SOURCE.name} does not add up what it reads")
    return read


def caches() -> dict[str, int]:
    """Bytes of the first core's data caches by level, as the operating system tells; empty where it does not."""
    found: dict[str, int] = {}
    for index in sorted(CACHES.glob("index*")):
        values: dict[str, Any] = {
            name: (index / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size")
        }
        if values["type"] != "Instruction":
            found[f"L{values['level']}"] = int(values["size"][:-1]) * UNITS[values["size"][-1]]
    return found
