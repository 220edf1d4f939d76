"""The project's wheel for another processor, its C accelerator included, by the project's own setup.py."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from roots import PROJECT, PYTHON_VERSION, Root, SetupError, run_quietly

NEEDED = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE")
PACKAGES = ("edge_imprint", "export", "firmware_bridge")


def install(root: Root, folder: Path, work: Path) -> None:
    """Build the wheel and unpack it into `work/site`.

    Args:
        root: the machine that it is for.
        folder: of that root: Python's headers are in it.
        work: an empty folder.

    Raises:
        SetupError: there is no compiler for that machine, or it failed.
    """
    sources, built = work / "sources", work / "built"
    _copy_sources(sources)
    headers = folder / "usr" / "include"
    compiler = compiler_for(root)
    # How CPython's own build is told that it compiles for another machine; setuptools reads the same variables.
    (described,) = (folder / "usr/lib" / f"python{PYTHON_VERSION}").glob("_sysconfigdata__[!l]*.py")
    (work / "described").mkdir()
    shutil.copy2(described, work / "described")
    environment = {
        **os.environ,
        "PYTHONPATH": str(work / "described"),
        "_PYTHON_SYSCONFIGDATA_NAME": described.stem,
        "_PYTHON_HOST_PLATFORM": f"linux-{root.name}",
        "CC": compiler,
        "LDSHARED": f"{compiler} -shared",
        "CFLAGS": f"-I{headers}/python{PYTHON_VERSION} -idirafter {headers}",
    }
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run_quietly(
        *pip, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={built}", str(sources), env=environment
    )
    (wheel,) = built.glob("*.whl")
    target = [f"--target={work / 'site'}", f"--platform=linux_{root.name}", f"--python-version={PYTHON_VERSION}"]
    run_quietly(*pip, "install", "--no-deps", "--no-index", "--root-user-action=ignore", *target, str(wheel))
    if not list((work / "site" / "edge_imprint" / "head").glob("_native.*.so")):
        raise SetupError(
            f"{compiler} did not compile the C accelerator: setup.py leaves out what fails. Look with pip -v."
        )


def _copy_sources(target: Path) -> None:
    """The files that git would commit: building leaves its traces there and not in the checkout."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *NEEDED, *PACKAGES]
    listed = subprocess.run(listing, cwd=PROJECT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)


def compiler_for(root: Root) -> str:
    """The command that compiles for that machine, as a shell would read it."""
    if shutil.which(root.compiler):
        return root.compiler
    if importlib.util.find_spec("ziglang"):
        return f"{shlex.quote(sys.executable)} -m ziglang cc {root.zig}"
    raise SetupError(
        f"no compiler for {root.name} here. Install one: apt-get install "
        f"gcc-{root.compiler.removesuffix('-gcc')}, or pip install ziglang"
    )
