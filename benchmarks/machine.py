"""What the numbers were measured on: processor, memory, operating system, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from edge_imprint.profiling.runtimes import installed

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = (
    "edge-imprint", "numpy", "Pillow", "scikit-learn", "onnxruntime", "ai-edge-litert", "tflite-runtime"
)  # fmt: skip
# What a run and a report write.
OUTPUTS = ("benchmarks/results", "README.md", "docs/RESULTS.md")


def describe() -> dict[str, Any]:
    """CPU model, cores, memory in bytes, operating system and how busy the machine was."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or "not available",
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": _os_name(),
        "kernel": platform.release(),
        "load_average_1min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Python and every library that a suite may use; one that is not installed is left out."""
    return {"python": platform.python_version(), **installed(LIBRARIES)}


def commit() -> str:
    """The commit measured, with "+changes" when the checkout differs from it; "none" outside a checkout."""
    try:
        head = _git("rev-parse", "HEAD")
        # Results are the output of a run: they do not make the code that was measured a different one.
        changed = _git("status", "--porcelain", "--", ".", *(f":!{name}" for name in OUTPUTS))
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return head + ("+changes" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()
