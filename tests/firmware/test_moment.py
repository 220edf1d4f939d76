"""The packed matrix in C gives numpy's bits: every compiler's build here, every instruction set, an emulated board.

`edge_imprint.head.moment` is the written order; `tests/head/test_moment.py` says how exact it is.
"""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
from pathlib import Path

import cbuild
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.firmware import program
from edge_imprint.head import moment
from edge_imprint_firmware.boards import BOARDS

SOURCE = cbuild.SRC / "eimp_moment.c"
FREESTANDING = cbuild.ROOT / "firmware_bridge" / "boards" / "freestanding"
MATH = FREESTANDING / "math.h"
CHECK = Path(__file__).parent / "c" / "moment_board.c"
HEADER = (cbuild.SRC / "eimp_moment.h").read_text(encoding="ascii")
# vmla.f32 and vmls.f32 are not among them: they round the product, as the written order does.
FUSED = re.compile(r"^\s+(v?fn?m(?:la|ls|add|sub|a|s)\S*)\s", re.MULTILINE)
SIZES = (1, 2, 3, 4, 7, 15, 16, 17, 31, 32, 33, 64, 65, 130, 256, 300)
COUNTS = (1, 5, 16, 17, 220)
FLOOR = np.float32(0.25)
GUARD = np.float32(1234.5)
# Names of builds: compiler, flags. The plain ones have no choice at run time, as on a microcontroller.
BUILDS = {
    "plain": ("cc", ("-O2",)),
    "small": ("cc", ("-Os",)),
    "undefined": ("cc", ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")),
    "chosen": ("cc", ("-O3", "-DEIMP_RUNTIME_KERNELS")),
    "native": ("cc", ("-O3", "-march=native")),
    "clang": ("clang", ("-O3", "-DEIMP_RUNTIME_KERNELS")),
    "clang native": ("clang", ("-O3", "-march=native")),
}


def constant(name: str) -> int:
    """A number that the header defines."""
    found = re.search(rf"#define {name} (\d+)u", HEADER)
    assert found is not None
    return int(found[1])


class Kernels:
    """A build of the C functions, with numpy's signatures and guards around what is written."""

    def __init__(self, build: str) -> None:
        cc, flags = BUILDS[build]
        if shutil.which(cc) is None:
            pytest.skip(f"no {cc} here; on Debian: apt-get install clang gcc")
        built = cbuild.build("moment.so", SOURCE, flags=("-shared", "-fPIC", *flags), cc=cc)
        self.library = ctypes.CDLL(str(built))
        pointer, number = ctypes.c_void_p, ctypes.c_uint32
        for name, arguments in {
            "has_room": (pointer, pointer, number),
            "add": (pointer, pointer, number, ctypes.c_int32),
            "factor": (pointer, pointer, number, ctypes.c_float, pointer),
            "solve": (pointer, pointer, number),
        }.items():
            getattr(self.library, f"eimp_moment_{name}").argtypes = arguments
            getattr(self.library, f"eimp_moment_{name}").restype = ctypes.c_int if name == "has_room" else None

    def has_room(self, scatter: NDArray[np.int32], shot: NDArray[np.int16]) -> bool:
        return bool(self.library.eimp_moment_has_room(scatter.ctypes.data, shot.ctypes.data, len(shot)))

    def add(self, scatter: NDArray[np.int32], shot: NDArray[np.int16], sign: int) -> None:
        self.library.eimp_moment_add(scatter.ctypes.data, shot.ctypes.data, len(shot), sign)

    def factor(self, scatter: NDArray[np.int32]) -> NDArray[np.float32]:
        size, room = len(scatter), constant("EIMP_MOMENT_SCRATCH_BYTES") // 4
        out, scratch = np.full(size + 32, GUARD), np.full(room + 32, GUARD)
        self.library.eimp_moment_factor(
            scatter.ctypes.data, out[16:].ctypes.data, moment.dim_of(scatter), FLOOR, scratch[16:].ctypes.data
        )
        for guarded, used in ((out, size), (scratch, room)):
            assert (guarded[:16] == GUARD).all()
            assert (guarded[16 + used :] == GUARD).all()
        return out[16 : 16 + size]

    def solve(self, factors: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
        dim, count = x.shape
        at_once = constant("EIMP_MOMENT_SIDES")
        solved = np.zeros((dim, -(-count // at_once) * at_once), np.float32)
        solved[:, :count] = x
        for first in range(0, count, at_once):
            guarded = np.full(dim * at_once + 32, GUARD)
            guarded[16:-16] = solved[:, first : first + at_once].ravel()
            self.library.eimp_moment_solve(factors.ctypes.data, guarded[16:].ctypes.data, dim)
            assert (guarded[:16] == GUARD).all()
            assert (guarded[-16:] == GUARD).all()
            solved[:, first : first + at_once] = guarded[16:-16].reshape(dim, at_once)
        return solved[:, :count]


@pytest.fixture(scope="module", params=BUILDS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return Kernels(request.param)


def scatters(dim: int) -> dict[str, NDArray[np.int32]]:
    """Matrices of every kind that a head can meet, and worse."""
    rng = np.random.default_rng(dim)
    made = {"zero": np.zeros(moment.packed_size(dim), np.int32)}
    for name, shots, size in (("well", 2 * dim + 5, 800), ("singular", max(1, dim // 3), 3000), ("large", 9, 32767)):
        made[name] = np.zeros(moment.packed_size(dim), np.int32)
        for shot in rng.normal(0, size, (shots, dim)).clip(-32767, 32767).astype(np.int16):
            moment.add(made[name], shot, 1)
    # Diagonals from one unit to the most there is, in no order; what is beside them is up to the rounding.
    made["huge range"] = rng.integers(-(2**24), 2**24, moment.packed_size(dim)).astype(np.int32)
    made["huge range"][moment.diagonal(dim)] = (2.0 ** rng.uniform(0, 30, dim)).astype(np.int32)
    # Solutions that get smaller by 2^-30 a step: they end in numbers below the least normal one.
    made["chain"] = np.zeros(moment.packed_size(dim), np.int32)
    made["chain"][moment.diagonal(dim)] = moment.MOST
    made["chain"][moment.diagonal(dim)[1:] - 1] = 1
    return made


def factored(scatter: NDArray[np.int32]) -> NDArray[np.float32]:
    out = np.empty(len(scatter), np.float32)
    with np.errstate(all="ignore"):
        moment.factor(scatter, out, FLOOR)
    return out


def assert_bits(ours: NDArray[np.float32], numpys: NDArray[np.float32], text: str) -> None:
    """Equal bits; a NaN has no sign or payload worth comparing."""
    there = ~(np.isnan(ours) & np.isnan(numpys))
    differ = np.count_nonzero(ours.view(np.uint32)[there] != numpys.view(np.uint32)[there])
    assert differ == 0, f"{text}: {differ} of {ours.size} numbers differ"


@functools.cache
def expected(dim: int) -> list[tuple[str, NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]]:
    """Of every matrix its name, itself, numpy's factor, and numpy's solutions below the right-hand sides."""
    rng = np.random.default_rng(dim + 1)
    rows = []
    for name, scatter in scatters(dim).items():
        factors = factored(scatter)
        sides = rng.normal(0, 1, (2, dim, max(COUNTS) if dim in (17, 130) else 17)).astype(np.float32)
        sides[:, :, 0] = np.arange(dim) == dim - 1
        sides[1] = sides[0]
        with np.errstate(all="ignore"):
            moment.solve(factors, sides[1])
        rows.append((name, scatter, factors, sides))
    return rows


@pytest.mark.parametrize("dim", SIZES)
def test_factor_and_solution_have_numpys_bits(kernels: Kernels, dim: int) -> None:
    for name, scatter, factors, (sides, solutions) in expected(dim):
        assert_bits(kernels.factor(scatter), factors, f"factor of {name}, dim {dim}")
        for count in (count for count in COUNTS if count <= sides.shape[1]):
            ours = kernels.solve(factors, sides[:, :count])
            assert_bits(ours, np.ascontiguousarray(solutions[:, :count]), f"{count} solutions of {name}, dim {dim}")


def test_the_chain_does_end_below_the_least_normal_number() -> None:
    x = np.zeros((16, 1), np.float32)
    x[-1] = 1
    moment.solve(factored(scatters(16)["chain"]), x)
    least = np.finfo(np.float32).smallest_normal
    assert ((x != 0) & (np.abs(x) < least)).any(), "numpy here flushes small numbers to zero"


@pytest.mark.parametrize("dim", [1, 2, 3, 16, 65, 130])
def test_sums_are_numpys_and_are_taken_back_exactly(kernels: Kernels, dim: int) -> None:
    rng = np.random.default_rng(dim)
    ours = rng.integers(-(2**24), 2**24, moment.packed_size(dim)).astype(np.int32)
    before, numpys = ours.copy(), ours.copy()
    shots = rng.integers(-32767, 32768, (20, dim)).astype(np.int16)
    shots[0], shots[1] = 32767, -32767
    for shot in shots:
        kernels.add(ours, shot, 1)
        moment.add(numpys, shot, 1)
    np.testing.assert_array_equal(ours, numpys)
    for shot in shots[::-1]:
        kernels.add(ours, shot, -1)
    np.testing.assert_array_equal(ours, before)


def test_room_ends_where_numpy_says(kernels: Kernels) -> None:
    shot = np.array([0, 32767, -100], np.int16)
    gain = (32767 * 32767 + 512) >> 10
    for over in (-1, 0, 1):
        scatter = np.zeros(moment.packed_size(3), np.int32)
        scatter[moment.diagonal(3)[1]] = moment.MOST - gain + over
        assert kernels.has_room(scatter, shot) is moment.has_room(scatter, shot) is (over <= 0)


@pytest.mark.parametrize(
    ("cc", "flags"),
    [
        ("aarch64-linux-gnu-gcc", ("-O3",)),
        ("arm-linux-gnueabihf-gcc", ("-O3", "-mfpu=neon-vfpv4", "-mfloat-abi=hard")),
        ("arm-none-eabi-gcc", ("-O2", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")),
        ("arm-none-eabi-gcc", ("-O2", "-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard")),
        ("cc", ("-O3", "-march=haswell")),
        ("clang", ("-O3", "--target=aarch64-linux-gnu", "-isystem", "/usr/aarch64-linux-gnu/include")),
        ("clang", ("-O3", "-march=x86-64-v4")),
    ],
)
def test_nothing_is_fused_where_the_processor_could(cc: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which(cc) is None:
        pytest.skip(f"no {cc} here; on Debian: apt-get install clang gcc-aarch64-linux-gnu gcc-arm-none-eabi")
    includes = [f"-I{cbuild.SRC}", "-idirafter", str(FREESTANDING)]
    if cc == "arm-none-eabi-gcc" and not MATH.is_file():
        pytest.skip("boards/freestanding has no math.h yet, so nothing compiles for boards")
    listing = tmp_path / "moment.s"
    command = [cc, "-std=c99", "-ffreestanding", *flags, *includes, "-S", str(SOURCE), "-o", str(listing)]
    subprocess.run(command, check=True)
    assert FUSED.findall(listing.read_text(encoding="utf-8")) == []


def test_the_look_for_fused_instructions_finds_them() -> None:
    for line in ("vfmadd231ps", "vfnmadd213ss", "fmls", "fmadd", "fmsub", "vfms.f32", "vfma.f32"):
        assert FUSED.findall(f"\t{line}\tx, y\n") == [line]
    for line in ("vmulps", "vsubps", "fmul", "fsub", "vmul.f32", "vmls.f32", "mls", "mla", "fmov", "vmov"):
        assert FUSED.findall(f"\t{line}\tx, y\n") == []


@pytest.mark.skipif(bool(program.missing_tools()), reason=f"needs: {program.missing_tools()}")
@pytest.mark.skipif(not MATH.is_file(), reason="boards/freestanding has no math.h yet, so nothing compiles for boards")
class TestBoards:
    """Emulated microcontrollers, with and without registers for floating point."""

    @pytest.mark.parametrize("name", ["microbit", "mps2-an386", "mps2-an500", "mps3-an547"])
    def test_a_board_has_numpys_bits(self, name: str, tmp_path: Path) -> None:
        built = program.build(BOARDS[name], tmp_path / name, [SOURCE, CHECK], ("-Os",))
        done = program.run(BOARDS[name], built)
        assert (done.status, done.text) == (0, f"{told_by_numpy(33)}\n")

    @pytest.mark.parametrize("optimisation", ["-Os", "-O2", "-O3"])
    def test_stack_is_small(self, optimisation: str, tmp_path: Path) -> None:
        for board in BOARDS.values():
            includes = [f"-I{cbuild.SRC}", f"-I{FREESTANDING}"]
            command = [program.COMPILER, *board.core.gcc.split(), *cbuild.STRICT, "-ffreestanding", optimisation]
            subprocess.run(
                [*command, "-fstack-usage", *includes, "-c", str(SOURCE), "-o", str(tmp_path / "m.o")], check=True
            )
            usage = (tmp_path / "m.su").read_text(encoding="ascii").splitlines()
            assert max(int(line.split("\t")[1]) for line in usage) < 512


def told_by_numpy(dim: int) -> str:
    """What `c/moment_board.c` prints: Fletcher-like sums of the bits of factor and solutions."""
    seed = np.uint32(1)
    values = []
    for _ in range(40 * dim):
        seed = np.uint32((int(seed) * 1664525 + 1013904223) % 2**32)
        values.append((int(seed) >> 20) - 2048)
    scatter = np.zeros(moment.packed_size(dim), np.int32)
    for shot in np.array(values, np.int16).reshape(40, dim):
        moment.add(scatter, shot, 1)
    factors = factored(scatter)
    x = np.fromfunction(lambda i, r: (i * 7 + r * 3) % 11 - 5, (dim, 16)).astype(np.float32)
    moment.solve(factors, x)
    return f"{digest(factors):08x} {digest(x.ravel()):08x}"


def digest(numbers: NDArray[np.float32]) -> int:
    total = 2166136261
    for bits in numbers.view(np.uint32).tolist():
        total = (total ^ bits) * 16777619 % 2**32
    return total
