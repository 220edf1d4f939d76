"""The packed matrix of the second-moment head, compiled as the extension is and called without the head around it."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError, DataMissingError
from benchmarks.machine import ROOT

SRC = ROOT / "firmware_bridge" / "c" / "src"
FLAGS = ("-O3", "-std=c99", "-ffp-contract=off", "-DEIMP_RUNTIME_KERNELS")


class MomentLibrary:
    """Factor and solutions in C; buffers belong to the caller."""

    def __init__(self, folder: Path) -> None:
        """Compile into a folder, which must stay as long as this is used.

        Raises:
            DataMissingError: there is no C compiler.
            BenchmarkError: it refuses the source.
        """
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            raise DataMissingError("packed matrix: no C compiler; on Debian: apt-get install gcc")
        built = folder / "eimp_moment.so"
        command = [compiler, *FLAGS, "-shared", "-fPIC", str(SRC / "eimp_moment.c"), "-o", str(built), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"{' '.join(command)} failed: {done.stderr.strip()}")
        library = ctypes.CDLL(str(built))
        pointer = ctypes.c_void_p
        self._factor, self._solve = library.eimp_moment_factor, library.eimp_moment_solve
        self._factor.argtypes = [pointer, pointer, ctypes.c_uint32, ctypes.c_float, pointer]
        self._solve.argtypes = [pointer, pointer, ctypes.c_uint32]
        self._factor.restype = self._solve.restype = None
        self.at_once = _constant("EIMP_MOMENT_SIDES")
        self._scratch = np.zeros(_constant("EIMP_MOMENT_SCRATCH_BYTES") // 4, np.float32)

    def factor(self, scatter: NDArray[np.int32], out: NDArray[np.float32], dim: int, floor: float) -> None:
        """The factor of a packed int32 matrix, (dim (dim + 1) / 2,), into `out`."""
        self._factor(scatter.ctypes.data, out.ctypes.data, dim, floor, self._scratch.ctypes.data)

    def solve(self, factors: NDArray[np.float32], x: NDArray[np.float32]) -> None:
        """Solve in place for blocks of right-hand sides, (blocks, dim, `at_once`)."""
        for block in x:
            self._solve(factors.ctypes.data, block.ctypes.data, len(block))


def _constant(name: str) -> int:
    found = re.search(rf"#define {name} (\d+)u", (SRC / "eimp_moment.h").read_text(encoding="ascii"))
    if found is None:
        raise BenchmarkError(f"eimp_moment.h does not define {name}")
    return int(found[1])
