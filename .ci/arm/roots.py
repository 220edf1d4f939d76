"""The ARM roots: what is in them, and how one is made from nothing.

A root is a folder with Debian's Python for another processor and the wheels that pip would install there. Packages are
unpacked, not configured, so that nothing has to run while it is made, and it is kept in a cache under a name that
changes with everything it is made of.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
CONSTRAINTS = PROJECT / "constraints.txt"
MIRROR = os.environ.get("EDGE_IMPRINT_DEBIAN_MIRROR", "http://deb.debian.org/debian")
SUITE = "bookworm"
PYTHON = "/usr/bin/python3.11"
PYTHON_VERSION = "3.11"
SITE = "/usr/local/lib/python3.11/dist-packages"
DEBIAN = ("python3-minimal", "libpython3.11-stdlib", "libpython3.11-dev", "libstdc++6")
TOOLS = ("typer", "rich", "pytest", "hypothesis")


class SetupError(Exception):
    """Something that a root needs is missing on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Root:
    """One kind of machine.

    Attributes:
        name: what `platform.machine()` says there.
        architecture: Debian's word for it.
        qemu: the emulator on this machine.
        boards: folder of `boards` -> QEMU's name of its processor.
        debian: packages, with all that they depend on.
        wheels: requirements, with all that they depend on.
        lone_wheels: requirements without what they depend on, which Debian's packages are for.
        platforms: tags of wheels that run there.
        compiler: for the C accelerator.
        zig: the same for `python -m ziglang cc`, where that compiler is not installed.
    """

    name: str
    architecture: str
    qemu: str
    boards: dict[str, str]
    debian: tuple[str, ...]
    wheels: tuple[str, ...]
    lone_wheels: tuple[str, ...]
    platforms: tuple[str, ...]
    compiler: str
    zig: str


ROOTS = {
    "aarch64": Root(
        name="aarch64",
        architecture="arm64",
        qemu="qemu-aarch64-static",
        boards={"raspberry-pi-4": "cortex-a72", "raspberry-pi-5": "cortex-a76"},
        debian=DEBIAN,
        wheels=("numpy", "pillow", "onnxruntime", "ai-edge-litert", *TOOLS),
        lone_wheels=(),
        platforms=(*(f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)), "manylinux2014_aarch64"),
        compiler="aarch64-linux-gnu-gcc",
        zig="-target aarch64-linux-gnu.2.36",
    ),
    # PyPI has tflite-runtime for these machines, but neither numpy nor Pillow.
    "armv7l": Root(
        name="armv7l",
        architecture="armhf",
        qemu="qemu-arm-static",
        boards={"raspberry-pi-2": "cortex-a7"},
        debian=(*DEBIAN, "python3-numpy", "python3-pil"),
        wheels=TOOLS,
        lone_wheels=("tflite-runtime==2.14.0",),
        platforms=(*(f"manylinux_2_{minor}_armv7l" for minor in range(36, 16, -1)), "manylinux2014_armv7l"),
        compiler="arm-linux-gnueabihf-gcc",
        zig="-target arm-linux-gnueabihf.2.36 -mcpu=cortex_a7",
    ),
}


def cache_folder() -> Path:
    """Where roots are kept between runs; outside the checkout, because one is 300 MB."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edge-imprint" / "arm-roots"


def tool(name: str, package: str) -> str:
    """The path of a program, or what to install."""
    found = shutil.which(name)
    if found is None:
        raise SetupError(f"the ARM roots need {name}, which is not here. Install it: apt-get install {package}")
    return found


def key(root: Root) -> str:
    """Changes with everything that a root is made of."""
    digest = hashlib.sha256(repr((root, MIRROR, SUITE, TOOLS)).encode())
    for file in (Path(__file__), HERE / "launcher.c", CONSTRAINTS, Path(tool(root.qemu, "qemu-user-static"))):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def ready(root: Root) -> Path:
    """The root's folder, made first where the cache does not have it.

    Raises:
        SetupError: a tool is missing, or a step of the making failed. Nothing half-made is left in the cache.
    """
    folder = cache_folder() / f"{root.name}-{key(root)}"
    with _locked(folder):
        if not folder.is_dir():
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed: the lock says that it is over
            try:
                _make(root, partial)
                partial.rename(folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    return folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(root: Root, folder: Path) -> None:
    if os.geteuid() != 0:
        raise SetupError("making an ARM root needs root's rights (chroot, mount). Run it with sudo, or as root in CI.")
    run_quietly(
        tool("mmdebstrap", "mmdebstrap"),
        "--quiet",
        "--variant=extract",
        f"--architectures={root.architecture}",
        f"--include={','.join(root.debian)}",
        SUITE,
        str(folder),
        MIRROR,
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    pip += [
        "--root-user-action=ignore",
        f"--target={folder}{SITE}",
        "--only-binary=:all:",
        f"--python-version={PYTHON_VERSION}",
    ]
    pip += [f"--platform={platform}" for platform in root.platforms]
    run_quietly(*pip, f"--constraint={CONSTRAINTS}", *root.wheels)
    if root.lone_wheels:
        run_quietly(*pip, "--no-deps", *root.lone_wheels)
    python = folder / PYTHON.lstrip("/")
    python.rename(f"{python}.arm")
    run_quietly(
        tool("cc", "gcc"), "-O2", "-static", f'-DPYTHON="{PYTHON}"', str(HERE / "launcher.c"), "-o", str(python)
    )
    shutil.copy2(tool(root.qemu, "qemu-user-static"), folder / "usr/bin/qemu")
    for empty in ("dev/shm", "proc", "sys/devices/system/cpu", "work"):
        (folder / empty).mkdir(parents=True, exist_ok=True)
    # What Debian's packages do when they are configured: choose the library that answers to a common name, and compile
    # the modules, which an emulator would do slowly at each start.
    for library in ("blas", "lapack"):
        for file in (folder / "usr/lib").glob(f"*/{library}/lib{library}.so.3"):
            (file.parents[1] / file.name).symlink_to(f"{library}/{file.name}")
    where = (f"/usr/lib/python{PYTHON_VERSION}", "/usr/lib/python3/dist-packages", SITE)
    run_quietly("chroot", str(folder), PYTHON, "-m", "compileall", "-q", *where)


def run_quietly(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a command whose words matter only when it fails.

    Raises:
        SetupError: it failed; the end of what it said is in the message.
    """
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env)
    if done.returncode != 0:
        raise SetupError(f"{' '.join(command[:4])} ... failed with status {done.returncode}:\n{done.stdout[-3000:]}")
