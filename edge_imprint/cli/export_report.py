"""What `info` tells of the report that an export left beside the manifest."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

REPORT_NAME = "report.json"
MOST_BYTES = 8 << 20


def read_report(bundle: Path) -> dict[str, Any] | None:
    """The summary of a bundle's export report.

    A report is for people and nothing depends on it: one that is damaged or of another schema is no error.

    Returns:
        verdict, and for each file format, verdict, cosine_min, cosine_mean; None when there is no report that can
        be read.
    """
    try:
        with (bundle / REPORT_NAME).open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            return None
        raw = json.loads(content)
        return {
            "verdict": str(raw["verdict"]["grade"]),
            "files": {
                str(file["file"]): {
                    "verdict": str(file["verdict"]["grade"]),
                    "cosine_min": _finite(file["parity"]["cosine_min"]),
                    "cosine_mean": _finite(file["parity"]["cosine_mean"]),
                }
                for file in raw["files"]
            },
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _finite(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(f"not finite: {number}")
    return number


def report_line(summary: dict[str, Any]) -> str:
    """The summary in one line.

    >>> report_line({"verdict": "pass", "files": {"b.onnx": {"verdict": "pass", "cosine_min": 1.0}}})
    'pass; cosine to the source at least: b.onnx 1.0000'
    """
    files = ", ".join(f"{name} {file['cosine_min']:.4f}" for name, file in summary["files"].items())
    return f"{summary['verdict']}; cosine to the source at least: {files}"
