"""What happens to a picture when mean, scale and colour order are in the network: nothing but resizing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_imprint.backbones import InputSpec, Preprocessor
from edge_imprint.backbones.flatbuffer import Tensor, read_graph
from edge_imprint.errors import ExportError
from edge_imprint_export.sources.source import OnnxSource, Source, TfliteSource


def folded_input(source: Source) -> InputSpec:
    """The input rule of files that take the pixels of a resized RGB picture as they are, uint8.

    A float32 network gets a rule without mean and scale: they go into its graph. An integer one is not touched; its
    rule stays, if that rule gives every pixel its own value already.

    Raises:
        ExportError: the network takes no pictures, or integers that are not a picture's pixels.
    """
    spec = source.input
    if spec is None:
        raise ExportError(
            f"preprocessing is what happens to a picture; {source.name} takes none. Leave --fold-preprocessing out"
        )
    raw = replace(spec, colour="rgb", mean=(0.0,) * 3, scale=(1.0,) * 3)
    if isinstance(source, TfliteSource):
        tensor = input_tensor(source)
        if tensor.dtype == "float32":
            return raw
        fits = spec.colour == "rgb" and _takes_pixels(spec, tensor)
    elif isinstance(source, OnnxSource) and source.dtype != "float32":
        fits = source.dtype == "uint8" and spec == raw
    else:
        return raw
    if not fits:
        raise ExportError(
            f"nothing can be folded into an integer input; {source.name} takes other values than the pixels of an RGB "
            "picture. Leave --fold-preprocessing out, or --mean, --std and --colour"
        )
    return spec


def input_tensor(source: TfliteSource) -> Tensor:
    """The tensor that a .tflite file is fed."""
    graph = read_graph(source.content, source.name)
    return graph.tensors[graph.inputs[0]]


def _takes_pixels(spec: InputSpec, tensor: Tensor) -> bool:
    """Whether each pixel becomes itself in an integer tensor, less 128 where that is signed."""
    signed = tensor.dtype == "int8"
    step, zero_point = tensor.quantisation or (1.0, -128 if signed else 0)
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    square = replace(spec, height=16, width=16, resize="squash", resize_side=None)
    fed = (step, zero_point + 128 * signed)
    return bool(np.array_equal(Preprocessor(square, layout="nhwc", dtype="uint8", quantisation=fed)([every])[0], every))
