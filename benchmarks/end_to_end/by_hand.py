"""What a user without edge-imprint writes: Pillow, a few lines of numpy, and the runtime."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_imprint.backbones import Backbone, FileSpec, InputSpec
from edge_imprint.backbones.embedding import find_embedding
from edge_imprint.backbones.flatbuffer import cut, read_graph

Frame = NDArray[np.uint8] | bytes
Run = Callable[[NDArray[Any]], NDArray[Any]]


def decode(frame: Frame) -> Image.Image:
    """An RGB picture of a camera's array or of a JPEG's bytes, all of it in memory."""
    if isinstance(frame, np.ndarray):
        return Image.fromarray(frame)
    with Image.open(io.BytesIO(frame)) as opened:
        return opened.convert("RGB")


def resize(picture: Image.Image, spec: InputSpec) -> Image.Image:
    """Pillow's own resize to the network's size: the same filter over the same middle of the picture."""
    size, bilinear = (spec.width, spec.height), Image.Resampling.BILINEAR
    if spec.resize_side is None:
        return picture.resize(size, bilinear)
    zoom = spec.resize_side / min(picture.size)
    width, height = size[0] / zoom, size[1] / zoom
    left, top = max(0.0, (picture.width - width) / 2), max(0.0, (picture.height - height) / 2)
    box = (left, top, min(left + width, picture.width), min(top + height, picture.height))
    return picture.resize(size, bilinear, box=box)


class Normalise:
    """The tensor of a small picture, whole planes or rows at a time; what does not change is computed once.

    Pixels that a network with an integer input takes as they are, or less 128, are not made floats on the way.

    Args:
        spec: the network's input: mean and scale per channel.
        file: its layout, dtype and quantisation.
    """

    def __init__(self, spec: InputSpec, file: FileSpec) -> None:
        mean, gain = np.asarray(spec.mean, np.float32), np.asarray(spec.scale, np.float32)
        self._planes, self._dtype = file.layout == "nchw", np.dtype(file.dtype)
        self._zero = 0
        self._shift: int | None = None
        if file.input_quantisation is not None:
            gain = gain / np.float32(file.input_quantisation.scale)
            self._zero = file.input_quantisation.zero_point
        if self._dtype.kind in "iu" and np.abs(gain - 1).max() < 1e-5 and np.ptp(mean) == 0:
            self._shift = self._zero - int(mean[0])
        spread = (lambda row: row[:, None, None]) if self._planes else (lambda row: np.tile(row, spec.width))
        self._mean, self._gain = spread(mean), spread(gain)

    def __call__(self, small: Image.Image) -> NDArray[Any]:
        """Shape (1, height, width, 3) or (1, 3, height, width), of the network's dtype."""
        pixels = np.asarray(small)
        shape = pixels.shape
        pixels = pixels.transpose(2, 0, 1) if self._planes else pixels.reshape(len(pixels), -1)
        if self._shift is not None:
            values = pixels if self._shift == 0 else (pixels.astype(np.int16) + self._shift).astype(self._dtype)
        else:
            values = (pixels - self._mean) * self._gain
            if self._dtype.kind in "iu":
                limits = np.iinfo(self._dtype)
                values = np.clip(np.floor(values + np.float32(0.5)) + self._zero, limits.min, limits.max)
        return np.ascontiguousarray(values if self._planes else values.reshape(shape), self._dtype)[None]


def bare_runtime(backbone: Backbone, path: Path, threads: int) -> Run:
    """The runtime alone on a ready tensor: an onnxruntime session or a LiteRT interpreter of its own.

    Args:
        backbone: says which file of a bundle it is, and its embedding.
        path: the file; of a .tflite with a classifier, what lies before the embedding runs, as in `backbone`.
        threads: of one run.
    """
    content = path.read_bytes()
    if backbone.file.format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0].name
        return lambda tensor: np.asarray(session.run([backbone.file.embedding], {source: tensor})[0])
    from ai_edge_litert.interpreter import Interpreter

    graph = read_graph(content, str(path))
    content = cut(content, graph, find_embedding(graph, str(path), backbone.file.embedding))
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def run(tensor: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(source, tensor)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(target))

    return run
