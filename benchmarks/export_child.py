"""Exports one network in a process of its own: `python -m benchmarks.export_child NAME OUT [CALIBRATION]` prints JSON.

The peak of its resident memory is the export's; the children that measure files are not in it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data import data_folder
from edge_imprint.backbones import InputSpec, read_manifest

Made = tuple[Any, InputSpec | None]


def _pictures(side: int) -> InputSpec:
    return InputSpec(side, side, resize="shorter_side_then_centre_crop", resize_side=round(side * 8 / 7))


def _default() -> Made:
    import edge_imprint

    folder = Path(edge_imprint.__file__).parent / "backbones" / "default"
    return folder / "backbone.onnx", read_manifest(folder).input


def _mobilenet_v1() -> Made:
    from benchmarks.dequantised import mobilenet_v1_quarter

    return mobilenet_v1_quarter(data_folder() / "backbones"), _pictures(128)


def _mobilenet_v2(side: int) -> Made:
    from benchmarks.dequantised import mobilenet_v2

    return mobilenet_v2(data_folder() / "backbones"), _pictures(side)


def _vit() -> Made:
    from benchmarks.small_vit import SIDE, small_vit

    return small_vit(data_folder()), InputSpec(SIDE, SIDE, resize="shorter_side_then_centre_crop", resize_side=64)


NETWORKS: dict[str, tuple[str, Callable[[], Made]]] = {
    "default": ("default backbone, 80", _default),
    "mobilenet_v1_0.25_128": ("MobileNetV1 0.25, 128", _mobilenet_v1),
    "mobilenet_v2_96": ("MobileNetV2 1.0, 96", lambda: _mobilenet_v2(96)),
    "mobilenet_v2_224": ("MobileNetV2 1.0, 224", lambda: _mobilenet_v2(224)),
    "vit": ("small ViT, 48", _vit),
}


GATES = (0.99, 0.98, 0.0)
"""`min_cosine`: the default, and what is asked for where that cannot be had."""


def main(name: str, out: Path, calibration: Path) -> dict[str, Any]:
    """Export with the default settings, or with the first lower gate that lets it pass, and say what it took."""
    from edge_imprint.errors import ParityError
    from edge_imprint_export import export_backbone

    source, spec = NETWORKS[name][1]()
    for gate in GATES:
        start = time.perf_counter()
        try:
            export_backbone(source, out, calibration=calibration, input=spec, min_cosine=gate, name=name)
        except ParityError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"seconds": seconds, "peak_bytes": peak, "min_cosine": gate}
    raise AssertionError("a gate of 0 lets everything pass")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
