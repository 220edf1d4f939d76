"""What the numbers of a report were measured on and made with; no host name, no date."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "edge-imprint", "numpy", "Pillow", "torch", "onnx", "onnxscript", "onnxruntime", "litert-torch", "ai-edge-litert",
    "ai-edge-quantizer", "tflite-runtime", "tensorflow", "transformers", "timm",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory in bytes, system and Python."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of every package that may take part in an export and is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for name, _, value in (line.partition(":") for line in lines):
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()
