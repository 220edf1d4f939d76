"""What one would write by hand for one network: a frame resized by Pillow, numbers by numpy, the runtime's session."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_imprint.backbones.embedding import find_embedding
from edge_imprint.backbones.flatbuffer import cut, read_graph
from edge_imprint.backbones.spec import FileSpec, InputSpec

Frame = NDArray[np.uint8]
Tensor = NDArray[Any]


class Bare:
    """A network's file and what is done to a picture, without checks, names, verdicts or a head.

    It is told what an `InputSpec` says and does it in the fewest steps: resize with a box, then one table or two
    operations of numpy.
    """

    def __init__(self, path: Path, spec: InputSpec, file: FileSpec, threads: int) -> None:
        self.run: Callable[[Tensor], Tensor] = (_onnx if path.suffix == ".onnx" else _tflite)(path, file, threads)
        self._size = (spec.width, spec.height)
        self._side = spec.resize_side
        self._nchw = file.layout == "nchw"
        self._mean, self._scale = np.float32(spec.mean), np.float32(spec.scale)
        self._dtype = np.dtype(file.dtype)
        stored = file.input_quantisation
        self._step, self._zero = (stored.scale, stored.zero_point) if stored else (1.0, 0)
        # A uint8 input that takes pixels as they are, the usual one, needs no arithmetic.
        pixels = np.arange(256)[:, None]
        reals = np.floor(np.round((pixels - self._mean.astype(float)) * self._scale / self._step, 6) + 0.5) + self._zero
        self._as_it_is = self._dtype == np.uint8 and bool((reals == pixels).all())

    def resize(self, image: Image.Image) -> Image.Image:
        """Pillow's own resize: the centre square, or the whole picture."""
        if self._side is None:
            return image.resize(self._size, Image.Resampling.BILINEAR)
        zoom = self._side / min(image.size)
        width, height = self._size[0] / zoom, self._size[1] / zoom
        left, top = (image.width - width) / 2, (image.height - height) / 2
        box = (max(left, 0.0), max(top, 0.0), min(left + width, image.width), min(top + height, image.height))
        return image.resize(self._size, Image.Resampling.BILINEAR, box=box)

    def tensor(self, image: Image.Image) -> Tensor:
        """The tensor of one picture."""
        pixels = np.asarray(self.resize(image))
        if self._as_it_is:
            return pixels[None]
        numbers = (pixels - self._mean) * self._scale
        if self._dtype != np.float32:
            numbers = np.clip(np.rint(numbers / self._step) + self._zero, *_limits(self._dtype))
        numbers = numbers.astype(self._dtype, copy=False)
        return np.ascontiguousarray(numbers.transpose(2, 0, 1)[None]) if self._nchw else numbers[None]

    def frame(self, frame: Frame) -> Tensor:
        """The network's output for a camera's frame (height, width, 3)."""
        return self.run(self.tensor(Image.fromarray(frame)))

    def jpeg(self, content: bytes) -> Tensor:
        """The network's output for a JPEG."""
        return self.run(self.tensor(Image.open(io.BytesIO(content)).convert("RGB")))


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _onnx(path: Path, file: FileSpec, threads: int) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, file.embedding or session.get_outputs()[0].name
    return lambda tensor: session.run([output], {name: tensor})[0]


def _tflite(path: Path, file: FileSpec, threads: int) -> Callable[[Tensor], Tensor]:
    """Up to the embedding, so that nobody pays for a classifier's last layer."""
    from ai_edge_litert.interpreter import Interpreter

    content = path.read_bytes()
    graph = read_graph(content, path.name)
    made = Interpreter(
        model_content=cut(content, graph, find_embedding(graph, path.name, file.embedding)), num_threads=threads
    )
    made.allocate_tensors()
    source, target = made.get_input_details()[0]["index"], made.get_output_details()[0]["index"]

    def run(tensor: Tensor) -> Tensor:
        made.set_tensor(source, tensor)
        made.invoke()
        output: Tensor = made.get_tensor(target)
        return output

    return run
