"""Normalisation put in front of a float32 .tflite file."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import ExportError
from edge_imprint_export.tflite_format.flatfile import schema
from edge_imprint_export.tflite_format.network import FLOAT32, Network
from edge_imprint_export.tflite_format.writing import Buffer, write


def raw_float(content: bytes, spec: InputSpec) -> bytes:
    """Let a float32 .tflite file take the RGB values 0 to 255 of pixels, still as float32.

    Colour order and normalisation become one 1x1 convolution in front, the layer that
    `torch_to_tflite(fold="raw_float")` makes and that `TfliteQuantiser` turns into exact integers.

    Args:
        content: a file with one float32 input (1, height, width, 3) and one output. Not modified.
        spec: what happened to a picture before.

    Raises:
        BundleError: a damaged file.
        ExportError: another input.
    """
    network = Network(content)
    shape = network.shape(network.input)
    if len(shape) != 4 or shape[3] != 3 or network.tensors[network.input].type != FLOAT32:
        raise ExportError(
            f"preprocessing folds into a .tflite file that takes float32 pictures (1, height, width, 3); it takes "
            f"{shape}. Leave --fold-preprocessing out"
        )
    scale = np.asarray(spec.scale, np.float64)
    turned = spec.colour == "bgr"
    weight = np.diag(scale)[:, ::-1].reshape(3, 1, 1, 3) if turned else scale.reshape(1, 1, 1, 3)
    generated = schema()
    fed = _add(network, "pixels", shape, None)
    weights = _add(network, "normalisation_weight", weight.shape, weight)
    bias = _add(network, "normalisation_bias", (3,), -scale * np.asarray(spec.mean, np.float64))
    name = "CONV_2D" if turned else "DEPTHWISE_CONV_2D"
    same = {"padding": generated.Padding.VALID, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    operator = generated.OperatorT(
        opcodeIndex=_code(network.model, getattr(generated.BuiltinOperator, name)),
        inputs=np.asarray([fed, weights, bias], np.int32),
        outputs=np.asarray([network.input], np.int32),
    )
    if turned:
        operator.builtinOptionsType = generated.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = generated.Conv2DOptionsT(**same)
    else:
        operator.builtinOptionsType = generated.BuiltinOptions.DepthwiseConv2DOptions
        operator.builtinOptions = generated.DepthwiseConv2DOptionsT(**same, depthMultiplier=1)
    network.graph.operators = [operator, *network.graph.operators]
    network.graph.inputs = np.asarray([fed], np.int32)
    return write(network.model)


def _add(network: Network, name: str, shape: Any, values: Any) -> int:
    """Append a float32 tensor, a constant where there are values; returns its number."""
    buffer = 0
    if values is not None:
        network.model.buffers.append(Buffer(np.asarray(values, np.float32).view(np.uint8).ravel()))
        buffer = len(network.model.buffers) - 1
    taken = {tensor.name for tensor in network.graph.tensors}
    while name.encode() in taken:
        name += "_"
    tensor = schema().TensorT(shape=np.asarray(shape, np.int32), type=FLOAT32, buffer=buffer, name=name.encode())
    network.graph.tensors.append(tensor)
    return len(network.graph.tensors) - 1


def _code(model: Any, number: int) -> int:
    """Place of an operator code in a model's list, in which it is entered if need be."""
    for place, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
            return place
    model.operatorCodes.append(
        schema().OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=1)
    )
    return len(model.operatorCodes) - 1
