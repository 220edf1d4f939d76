"""The C library's own interface, compiled for this machine and called with ctypes.

    python -m benchmarks.identity.c_head head.so aarch64-linux-gnu-gcc

compiles it for another one, which finds it by the environment variable `EDGE_IMPRINT_C_HEAD`.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head.labels import Label, decode_label, encode_label

SRC = Path(__file__).resolve().parents[2] / "firmware_bridge" / "c" / "src"
VARIABLE = "EDGE_IMPRINT_C_HEAD"
VERDICTS = ("unknown", "uncertain", "known")
READ = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)


class _Config(ctypes.Structure):
    _fields_ = (
        ("dim", ctypes.c_uint32),
        ("budget", ctypes.c_uint32),
        ("false_accept_ppm", ctypes.c_uint32),
        ("max_proxies", ctypes.c_uint16),
        ("shrinkage", ctypes.c_uint16),
        ("backbone_bytes", ctypes.c_uint16),
        ("undo", ctypes.c_uint8),
    )


class _Answer(ctypes.Structure):
    _fields_ = (
        ("label", ctypes.c_uint8 * 32),
        ("class_index", ctypes.c_uint32),
        ("cosine_q23", ctypes.c_int32),
        ("verdict", ctypes.c_uint8),
    )


class _Snapshot(ctypes.Structure):
    _fields_ = (
        ("head", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
        ("sections", ctypes.c_uint32),
        ("crc", ctypes.c_uint32),
        ("table_crc", ctypes.c_uint32),
        ("length", ctypes.c_uint32 * 12),
        ("section_crc", ctypes.c_uint32 * 12),
    )


class CError(Exception):
    """The C library refused; `code` is negative."""

    def __init__(self, code: int) -> None:
        """Keep the code."""
        super().__init__(f"code {code}")
        self.code = code


def build(target: Path, *compiler: str) -> None:
    """Compile the library in plain C into a shared library that stops at undefined behaviour.

    Args:
        target: the file that is made.
        compiler: the C compiler of the machine that it is for, with its own options.
    """
    # Not those for microcontrollers: the flash store and the serial protocol.
    left_out = ("eimp_store", "eimp_frame", "eimp_rpc")
    sources = [str(path) for path in sorted(SRC.glob("*.c")) if not path.name.startswith(left_out)]
    undefined = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    command = [*compiler, "-std=c99", "-O2", *undefined, "-shared", "-fPIC", f"-I{SRC}", *sources, "-o", str(target)]
    subprocess.run(command, check=True)


@functools.cache
def library() -> ctypes.CDLL:
    """The library that `EDGE_IMPRINT_C_HEAD` names, or one that is compiled with the host's compiler.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    if given := os.environ.get(VARIABLE):
        target = Path(given)
    else:
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("no C compiler; on Debian: apt-get install gcc")
        target = Path(tempfile.mkdtemp(prefix="eimp-identity-")) / "head.so"
        build(target, compiler)
    made = ctypes.CDLL(str(target))
    for name in ("eimp_arena_size", "eimp_ridge_arena_size"):
        getattr(made, name).restype = ctypes.c_size_t
    made.eimp_ridge_head.restype = ctypes.c_void_p
    made.eimp_find.restype = ctypes.c_int32
    return made


def _check(code: int) -> None:
    if code < 0:
        raise CError(code)


def _label(label: Label) -> Any:
    return ctypes.create_string_buffer(encode_label(label), 32)


def _pointer(row: NDArray[np.int16]) -> Any:
    return row.ctypes.data_as(ctypes.c_void_p)


class CHead:
    """A head in C; embeddings are int16 rows. The bytes behind its arena are watched: it must not write there."""

    _GUARD = b"\xa5" * 64

    def __init__(
        self,
        dim: int,
        budget: int,
        max_proxies: int = 21,
        undo: int = 2,
        ppm: int = 50_000,
        method: str = "proxies",
        room: int = 256,
    ) -> None:
        """Make an arena of exactly the size that it says it needs, and a head in it."""
        self._c = library()
        self.dim, self.method = dim, method
        self._config = config = _Config(dim, budget, ppm, max_proxies, 20, room, undo)
        size = self.arena_bytes = self._call("arena_size", ctypes.byref(config))
        self._memory = ctypes.create_string_buffer(size + len(self._GUARD) + 8)
        start = -ctypes.addressof(self._memory) % 8
        self._end = start + size
        self._memory[self._end : self._end + 64] = self._GUARD
        arena = ctypes.c_void_p(ctypes.addressof(self._memory) + start)
        self._own = ctypes.c_void_p()  # what the functions of the method take: the head, or what is around it
        more = (None,) if method == "ridge" else ()  # no base
        code = self._call("init", arena, ctypes.c_size_t(size), ctypes.byref(config), *more, ctypes.byref(self._own))
        _check(code)
        self._head = ctypes.c_void_p(self._c.eimp_ridge_head(self._own)) if method == "ridge" else self._own

    def _call(self, name: str, *arguments: Any) -> int:
        """A function that each method has."""
        prefix = "eimp_ridge" if self.method == "ridge" else "eimp"
        return int(getattr(self._c, f"{prefix}_{name}")(*arguments))

    def most_snapshot_bytes(self) -> int:
        """Bytes of the largest snapshot that a head of its config writes."""
        return self._call("snapshot_max_size", ctypes.byref(self._config))

    def check_guard(self) -> None:
        """Fail where something was written behind the arena."""
        assert self._memory[self._end : self._end + 64] == self._GUARD, "the C library wrote behind its arena"

    def learn(self, rows: NDArray[np.int16], label: Label) -> None:
        """Learn shots one after the other."""
        for row in rows:
            _check(self._call("learn", self._own, _label(label), _pointer(row)))

    def predict(self, rows: NDArray[np.int16]) -> list[tuple[Label, int, str]]:
        """Label, cosine times 2^23 and verdict of each row; of ridge `confidences_q16` keeps how sure it is."""
        found, self.confidences_q16 = [], []
        for row in rows:
            answer, confidence = _Answer(), ctypes.c_uint32()
            more = (ctypes.byref(confidence),) if self.method == "ridge" else ()
            _check(self._call("predict", self._own, _pointer(row), ctypes.byref(answer), *more))
            self.confidences_q16.append(confidence.value)
            found.append((decode_label(bytes(answer.label)), answer.cosine_q23, VERDICTS[answer.verdict]))
        return found

    def scores(self, row: NDArray[np.int16], classes: int) -> NDArray[np.int32]:
        """Each class's cosine times 2^23."""
        out = np.empty(classes, np.int32)
        _check(self._call("scores", self._own, _pointer(row), out.ctypes.data_as(ctypes.c_void_p)))
        return out

    def undo(self) -> None:
        """Take the last shot back."""
        _check(self._call("undo", self._own))

    def forget(self, label: Label) -> None:
        """Remove a class."""
        _check(self._call("forget", self._own, _label(label)))

    def merge(self, other: CHead) -> None:
        """Add what another head learnt."""
        _check(self._call("merge", self._own, other._own))

    def set_backbone(self, text: str) -> None:
        """Say what made the embeddings."""
        raw = text.encode()
        _check(self._c.eimp_set_backbone(self._head, raw, ctypes.c_size_t(len(raw))))

    def snapshot(self, piece: int = 1 << 20) -> bytes:
        """The snapshot, read in pieces."""
        opened = _Snapshot()
        self._c.eimp_snapshot_open(self._head, ctypes.byref(opened))
        out = b""
        while len(out) < opened.size:
            count = min(piece, opened.size - len(out))
            part = ctypes.create_string_buffer(count)
            _check(self._c.eimp_snapshot_read(ctypes.byref(opened), ctypes.c_uint32(len(out)), part, count))
            out += part.raw
        return out

    def load(self, blob: bytes, fail_after: int | None = None) -> None:
        """Take over a snapshot; `fail_after` lets that many reads succeed."""
        held = ctypes.create_string_buffer(blob, len(blob))
        left = [fail_after]

        def read(_: Any, offset: int, out: int, count: int) -> int:
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    return -13
            assert offset + count <= len(blob), "the C library read beyond the snapshot"
            ctypes.memmove(out, ctypes.addressof(held) + offset, count)
            return 0

        callback = READ(read)
        _check(self._c.eimp_snapshot_load(self._head, callback, None, ctypes.c_uint32(len(blob))))


if __name__ == "__main__":
    build(Path(sys.argv[1]), *sys.argv[2:])
