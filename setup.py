"""What pyproject.toml cannot say: the C library as an optional extension, and its sources inside the wheel.

Without a C compiler the package is built all the same, and `edge_imprint.head` computes with numpy.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
BRIDGE = Path("firmware_bridge")
C = BRIDGE / "c" / "src"
# The serial protocol and the flash store are for microcontrollers.
NOT_FOR_PYTHON = ("eimp_store", "eimp_frame", "eimp_rpc")
SOURCES = sorted(p for p in (ROOT / C).glob("*.c") if not p.name.startswith(NOT_FOR_PYTHON))
GLUE = [Path("edge_imprint", "head", name) for name in ("_nativemodule.c", "_nativeridge.c")]
GLUE_HEADER = Path("edge_imprint", "head", "_native.h")
# What `edge_imprint_firmware` writes projects from; it looks for them beside itself where it is installed.
SHIPPED = ("c", "boards", "app")


def source_digest() -> str:
    """SHA-256 of everything that the extension is compiled from: tests compare it with the sources that are there."""
    headers = sorted((ROOT / C).glob("*.h"))
    digest = hashlib.sha256()
    for path in [*SOURCES, *headers, *(ROOT / path for path in [*GLUE, GLUE_HEADER])]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


class BuildWithSources(build_py):
    """Copies the folders of C sources into the package that needs them."""

    def run(self) -> None:
        """Build, then copy; an editable installation uses the folders where they are."""
        super().run()
        if getattr(self, "editable_mode", False):
            return
        for name in SHIPPED:
            target = Path(self.build_lib, "edge_imprint_firmware", name)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / BRIDGE / name, target)


setup(
    ext_modules=[
        Extension(
            "edge_imprint.head._native",
            sources=[*map(str, GLUE), *(str(path.relative_to(ROOT)) for path in SOURCES)],
            include_dirs=[str(C), str(GLUE_HEADER.parent)],
            depends=[str(GLUE_HEADER)],
            define_macros=[("EIMP_RUNTIME_KERNELS", None), ("EIMP_SOURCE_DIGEST", f'"{source_digest()}"')],
            extra_compile_args=[] if sys.platform == "win32" else ["-O3", "-std=c99", "-ffp-contract=off"],
            libraries=[] if sys.platform == "win32" else ["m"],
            optional=True,
        )
    ],
    cmdclass={"build_py": BuildWithSources},
)
