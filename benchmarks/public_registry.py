"""`python -m benchmarks.public_registry [--check]`: the measured figures of the list of public backbones.

They are written into `registry.json` from the result of the suite `public_backbones`, so that what
`edge-imprint backbones` shows is what was measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.results import Result

REGISTRY = ROOT / "export" / "edge_imprint_export" / "public" / "registry.json"
DATA = {"clothing_5_shots": "clothing_small", "cifar10_5_shots": "cifar10_subset"}


def measured(result: Result, name: str) -> dict[str, Any]:
    """The fields `measured` of one backbone; null what the result does not have."""

    def value(found: list[results.Measurement], divisor: float, digits: int) -> float | None:
        return round(found[0].value / divisor, digits) if found else None

    where = {"backbone": name, "method": "mean"}
    figures: dict[str, Any] = {
        field: value(list(result.select("balanced_accuracy", **where, data=data)), 1, 1) for field, data in DATA.items()
    }
    sizes = list(result.select("cut_size", backbone=name))
    machine = (
        f"{result.machine['cpu']} ({result.machine['architecture']}), one thread, "
        f"ai-edge-litert {result.versions['ai-edge-litert']}"
    )
    return {
        "date": result.date[:10],
        "machine": machine,
        **figures,
        "cut_bytes": int(sizes[0].value) if sizes else None,
        "latency_ms": value(list(result.select("embed", backbone=name)), 1e6, 2),
    }


def fresh(text: str, result: Result) -> str:
    """The list with the figures of this result.

    Raises:
        BenchmarkError: the result is of a quick run.
    """
    if result.quick:
        raise BenchmarkError(f"{result.suite}.json is of a quick run, too short to trust; run it without --quick")
    content = json.loads(text)
    for entry in content["backbones"]:
        entry["measured"] = measured(result, entry["name"])
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str], path: Path = REGISTRY, folder: Path = results.FOLDER) -> int:
    """Write the figures, or with `--check` compare only; 2 when they differ or cannot be read."""
    text = path.read_text(encoding="utf-8")
    try:
        new = fresh(text, results.load("public_backbones", folder))
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if new == text:
        return 0
    if "--check" in arguments:
        print("benchmarks: registry.json differs; write it with: python -m benchmarks.public_registry", file=sys.stderr)
        return 2
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
