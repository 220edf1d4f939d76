"""What one machine makes of the same three pictures and the same shots.

    python tests/arm/observe.py reference.json

The pictures are drawn in whole numbers, so that they are the same bytes with any version of numpy or Pillow.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint import ImprintHead, snapshot
from edge_imprint.backbones import load_backbone
from edge_imprint.head import codec

KINDS = [("onnx", "float32"), ("onnx", "int8"), ("tflite", "int8")]
DIM = 64


def pictures() -> list[NDArray[np.uint8]]:
    """Stripes, rings and dots, none of them square or of the size that the network takes."""
    y, x = np.mgrid[0:97, 0:131].astype(np.int64)
    stripes = np.where((x // 9 + y // 31) % 2 == 0, 230, 40)
    rings = (x - 65) ** 2 + (y - 48) ** 2
    dots = np.where((x % 16 - 8) ** 2 + (y % 16 - 8) ** 2 < 30, 250, 90)
    grain = (x * 7919 + y * 104729 + x * y * 31) % 23
    layers = [
        (stripes, 255 - stripes, stripes // 2),
        (rings // 13 % 256, rings // 29 % 256, 128 + 0 * rings),
        (dots, dots // 3, 255 - dots),
    ]
    return [(np.stack(layer, axis=-1) * 10 // 11 + grain[..., None]).astype(np.uint8) for layer in layers]


def embeddings(form: str, precision: str) -> NDArray[np.float32]:
    """The default backbone's, (3, 256)."""
    return load_backbone("default", runtime=form, precision=precision, threads=1).embed(pictures())


def taught() -> ImprintHead:
    """A head that was taught, forgot and took back: 120 shots of 7 classes in a budget that they fill."""
    rng = np.random.Generator(np.random.PCG64(20))
    centres = rng.integers(-20000, 20000, (7, 3, DIM))
    head = ImprintHead(DIM, "8KB", max_proxies=8)
    for number in range(120):
        label = number * 5 % 7
        shot = centres[label, number % 3] + rng.integers(-9000, 9000, DIM)
        head.partial_fit(shot[None].astype(np.int16), label)
        if number % 40 == 39:
            head.undo()
    head.forget(3)
    return head


def snapshot_of(head: ImprintHead) -> bytes:
    """The bytes that `save` writes."""
    return snapshot.encode(codec.sections(head, None))


def observe() -> dict[str, Any]:
    """Everything above, for another machine to compare with."""
    return {
        "machine": platform.machine(),
        "embeddings": {f"{form} {precision}": embeddings(form, precision).tolist() for form, precision in KINDS},
        "snapshot": snapshot_of(taught()).hex(),
    }


def read(path: Path) -> dict[str, Any]:
    """What `observe` found on the other machine."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(observe()))
