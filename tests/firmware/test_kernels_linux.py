"""The kernels that are chosen at run time: every one gives exact numbers and touches no byte that is not its own.

`c/kernels_linux.c` does the comparing, with pages that may not be touched around every row.
"""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
import subprocess
from pathlib import Path

import cbuild
import numpy as np
import pytest

CHECK = Path(__file__).parent / "c" / "kernels_linux.c"
EVEX = Path(__file__).parent / "c" / "kernels_linux_evex.c"
NAMES = ("eimp_kernels", "eimp_kernels_linux", "eimp_kernels_avx2", "eimp_kernels_avx512", "eimp_kernels_neon")
SOURCES = [cbuild.SRC / f"{name}.c" for name in NAMES]
RUNTIME = "-DEIMP_RUNTIME_KERNELS"
# What a processor must have for a kernel, as /proc/cpuinfo names it.
NEEDS = {
    "plain": set(),
    "avx2": {"avx2"},
    "avxvnni": {"avx2", "avx_vnni"},
    "vnni": {"avx512bw", "avx512_vnni"},
    "neon": {"asimd"},
    "neon_dot": {"asimddp"},
}
NAMED = {"plain": "plain c", "vnni": "avx512vnni", "neon_dot": "neon dotprod"}
KERNELS = {"x86_64": ("plain", "avx2", "avxvnni", "vnni"), "aarch64": ("plain", "neon", "neon_dot")}
HERE = KERNELS.get(platform.machine())

pytestmark = pytest.mark.skipif(
    HERE is None or platform.system() != "Linux", reason="kernels chosen at run time are for Linux on x86-64 and arm64"
)


def features() -> set[str]:
    """What this processor has."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return set(found[1].split()) if found else set()


def runs(kernel: str) -> bool:
    return features() >= NEEDS[kernel]


def check(program: Path, kernel: str, *emulator: str) -> str:
    """Run the comparisons; what it printed."""
    done = subprocess.run(
        [*emulator, str(program), kernel], capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.match(rf"{kernel}: (\d+) comparisons", done.stdout)
    assert found is not None
    assert int(found[1]) > 700_000
    return done.stdout


@pytest.mark.parametrize("build", ["gcc", "clang", "sanitizers"])
@pytest.mark.parametrize("kernel", HERE or ())
def test_every_kernel_is_exact_and_stays_in_its_memory(kernel: str, build: str) -> None:
    if not runs(kernel):
        pytest.skip(f"this processor has no {' '.join(sorted(NEEDS[kernel] - features()))}")
    if build == "clang" and shutil.which("clang") is None:
        pytest.skip("no clang here; on Debian: apt-get install clang")
    flags = cbuild.SANITIZE if build == "sanitizers" else ()
    cc = "clang" if build == "clang" else "cc"
    check(cbuild.build("kernels_linux", CHECK, *SOURCES, flags=(RUNTIME, *flags), cc=cc), kernel)


@pytest.mark.skipif(HERE is None or "avx2" not in HERE, reason="needs an x86-64 processor")
def test_the_kernel_of_256_bit_vnni_in_the_coding_of_avx512() -> None:
    if runs("avxvnni") or not features() >= {"avx512vl", "avx512_vnni"}:
        pytest.skip("tested as it is, or this processor has neither coding of the instruction (avx512vl, avx512_vnni)")
    sources = [EVEX if source.stem == "eimp_kernels_avx2" else source for source in SOURCES]
    check(cbuild.build("kernels_linux_evex", CHECK, *sources, flags=(RUNTIME,)), "avxvnni")


@pytest.mark.skipif(shutil.which("qemu-aarch64-static") is None, reason="apt-get install qemu-user-static")
@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None, reason="apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
)
@pytest.mark.parametrize(
    ("cpu", "kernel", "chosen"),
    [
        ("max", "neon_dot", "neon dotprod"),
        ("max", "neon", "neon dotprod"),
        ("cortex-a76", "neon_dot", "neon dotprod"),
        ("cortex-a76", "chosen", "neon dotprod"),
        ("cortex-a72", "neon", "neon"),
        ("cortex-a72", "chosen", "neon"),
    ],
)
def test_neon_on_emulated_processors(cpu: str, kernel: str, chosen: str) -> None:
    flags = ("-static", RUNTIME)
    program = cbuild.build("kernels_arm64", CHECK, *SOURCES, flags=flags, cc="aarch64-linux-gnu-gcc")
    told = check(program, kernel, "qemu-aarch64-static", "-cpu", cpu)
    assert told.endswith(f"this processor gets {chosen}\n")


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    loaded = cbuild.shared_library("kernels", *SOURCES, flags=(RUNTIME,))
    loaded.eimp_kernels_name.restype = ctypes.c_char_p
    loaded.eimp_dots.restype = None
    loaded.eimp_dots.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p
    ]  # fmt: skip
    return loaded


def test_the_best_kernel_of_this_processor_is_chosen(library: ctypes.CDLL) -> None:
    best = [kernel for kernel in HERE or () if runs(kernel)][-1]
    assert library.eimp_kernels_name() == NAMED.get(best, best).encode()


@pytest.mark.parametrize(
    ("count", "dim", "stride"), [(20, 256, 256), (3000, 256, 532), (5000, 256, 256), (2003, 1280, 1280)]
)
def test_numbers_of_numpy(library: ctypes.CDLL, count: int, dim: int, stride: int) -> None:
    rng = np.random.default_rng(count)
    rows = rng.integers(-128, 128, (count, stride), dtype=np.int8)
    vector = rng.integers(-128, 128, dim, dtype=np.int8)
    out = np.zeros(count, dtype=np.int32)
    library.eimp_dots(rows.ctypes.data, stride, count, vector.ctypes.data, dim, out.ctypes.data)
    np.testing.assert_array_equal(out, rows[:, :dim].astype(np.int32) @ vector.astype(np.int32))


def test_without_the_choice_the_library_has_plain_c_only() -> None:
    loaded = cbuild.shared_library("kernels_plain", *SOURCES)
    loaded.eimp_kernels_name.restype = ctypes.c_char_p
    assert loaded.eimp_kernels_name() == b"plain c"
    assert not hasattr(loaded, "eimp_dots_vnni")
    assert not hasattr(loaded, "eimp_dots_neon")
