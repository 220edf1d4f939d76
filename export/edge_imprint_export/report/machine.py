"""What the numbers of a report were measured on and made with; no host name, no date."""

from __future__ import annotations

import os
import platform
from typing import Any

from edge_imprint.profiling.machine import processor
from edge_imprint.profiling.runtimes import installed

PACKAGES = (
    "edge-imprint", "numpy", "Pillow", "torch", "onnx", "onnxscript", "onnxruntime", "litert-torch", "ai-edge-litert",
    "ai-edge-quantizer", "tflite-runtime", "tensorflow", "transformers", "timm",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory in bytes, system and Python."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of every package that may take part in an export and is installed."""
    return installed(PACKAGES)
