"""A fresh start without edge-imprint: onnxruntime, Pillow and numpy alone. Run by the suite `cold_start` as a script.

Arguments: the .onnx file, a picture to teach, a picture to recognise.
"""

import time

start = time.perf_counter_ns()
import sys  # noqa: E402

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from PIL import Image  # noqa: E402

imported = time.perf_counter_ns()
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
source = session.get_inputs()[0].name
side = session.get_inputs()[0].shape[-1]
constructed = time.perf_counter_ns()


def embedding(path):  # type: ignore[no-untyped-def]
    """A picture's embedding, of length 1: the middle of the picture, scaled to [-1, 1]."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    short = min(picture.size)
    left, top = (picture.width - short) / 2, (picture.height - short) / 2
    small = picture.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + short, top + short))
    pixels = (np.asarray(small, np.float32) - 127.5) / 127.5
    (row,) = session.run(None, {source: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])})[0]
    return row / np.linalg.norm(row)


labels, rows = ["taught"], np.stack([embedding(sys.argv[2])])
taught = time.perf_counter_ns()
label = labels[int(np.argmax(rows @ embedding(sys.argv[3])))]
answered = time.perf_counter_ns()
from pathlib import Path  # noqa: E402

rollup = Path("/proc/self/smaps_rollup")  # not in every kernel
memory = Path("/proc/self/status").read_text() + (rollup.read_text() if rollup.exists() else "")
print(label, start, imported, constructed, taught, answered, memory.replace("\n", ";"))
