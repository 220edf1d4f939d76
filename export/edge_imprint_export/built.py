"""One file of the bundle to be: its bytes, its entry in the manifest, and the same code that runs it on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import Backbone, FileSpec, InputSpec, Manifest, raw
from edge_imprint.backbones.embedding import find_embedding
from edge_imprint.backbones.flatbuffer import cut, read_graph
from edge_imprint.backbones.onnx import OnnxRunner
from edge_imprint.backbones.tflite import TfliteRunner
from edge_imprint.errors import BundleError
from edge_imprint_export.int8.choose import Chosen
from edge_imprint_export.options import FILE_NAMES


@dataclass(frozen=True)
class Built:
    """A file that was made.

    Attributes:
        format: one of `FORMATS`.
        content: bytes of the file.
        backbone: opened as a device opens it, on one thread.
        int8: how its int8 settings were chosen; None where nothing was quantised here.
    """

    format: str
    content: bytes
    backbone: Backbone
    int8: Chosen | None = None

    @property
    def spec(self) -> FileSpec:
        """The manifest's entry."""
        return self.backbone.file

    def embed(self, tensors: NDArray[np.generic]) -> NDArray[np.float32]:
        """Embeddings (n, dim) of prepared tensors (n, ...)."""
        return self.backbone.infer(tensors)


def open_built(format: str, content: bytes, spec: InputSpec | None, *, name: str, int8: Chosen | None = None) -> Built:
    """Open the bytes of a finished file.

    Args:
        format: one of `FORMATS`.
        content: bytes of the file, cut at its embedding.
        spec: what happens to a picture.
        name: of the bundle.
        int8: see `Built`.

    Raises:
        BundleError: the runtime refuses the file.
        MissingRuntimeError: there is no runtime for it.
    """
    path = Path(FILE_NAMES[format])
    runner: OnnxRunner | TfliteRunner
    if format.startswith("onnx"):
        runner = OnnxRunner(content, path.name, threads=1)
        dim = _width(runner.output_shape)
        manifest = raw.derive_onnx(
            path, content, input_shape=runner.input_shape, input_dtype=runner.input_dtype,
            embedding=runner.embedding, dim=dim, preprocessing=spec,
        )  # fmt: skip
    else:
        graph = read_graph(content, path.name)
        tensor = find_embedding(graph, path.name, graph.tensors[graph.outputs[0]].name)
        manifest = raw.derive_tflite(path, content, graph, tensor, spec, pictures=spec is not None)
        runner = TfliteRunner(cut(content, graph, tensor), path.name, threads=1)
    file = _with_precision(manifest.files[0], "int8" if format.endswith("int8") else "float32")
    manifest = Manifest(name, "unknown", "export in progress", manifest.dim, manifest.input, (file,))
    return Built(format, content, Backbone(manifest, file, runner, source=path.name, options={}), int8)


def _width(shape: tuple[int | None, ...]) -> int:
    if len(shape) != 2 or shape[1] is None:
        raise BundleError(f"an exported network must give (n, dim); it gives {shape}. Name an embedding of that shape.")
    return shape[1]


def _with_precision(file: FileSpec, precision: str) -> FileSpec:
    """An ONNX file takes and gives float32 whatever its layers are; what was asked for says which it is."""
    return replace(file, precision=precision)
