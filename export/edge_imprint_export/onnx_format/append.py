"""Layers put behind or in front of a finished ONNX graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import ExportError
from edge_imprint_export.onnx_format.proto import (
    check,
    dtype_name,
    fresh,
    import_onnx,
    lengths,
    names_in,
    parse,
    rename,
    serialise,
    tensor,
)


def append_linear(content: bytes, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> bytes:
    """Put `weight @ embedding + bias` behind a network. The output keeps its name.

    Args:
        content: an .onnx file with one float32 output (n, dim).
        weight: shape (to, dim).
        bias: shape (to,).

    Raises:
        ExportError: the output is of another type or width.
        BundleError: the content is no ONNX model.
    """
    onnx = import_onnx()
    model = parse(content, "the network")
    graph = model.graph
    output = _only(graph.output, "output")
    weight, bias = np.asarray(weight, np.float32), np.asarray(bias, np.float32)
    width = (lengths(output) or (None,))[-1]
    fits = weight.ndim == 2 and bias.shape == weight.shape[:1] and width in (None, weight.shape[1])
    if not fits or len(lengths(output) or (0, 0)) != 2 or output.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise ExportError(
            f"a linear layer of weight {weight.shape} and bias {bias.shape} needs a float32 output "
            f"(n, {weight.shape[-1]}) before it; {output.name!r} is {_shown(output)}. Cut the network at its embedding"
        )
    taken = names_in(graph)
    name, inner = output.name, fresh("before_projection", taken)
    batch = output.type.tensor_type.shape.dim[0]
    rename(graph, name, inner)
    names = [fresh("projection.weight", taken), fresh("projection.bias", taken)]
    graph.initializer.extend([tensor(weight, names[0]), tensor(bias, names[1])])
    graph.node.append(onnx.helper.make_node("Gemm", [inner, *names], [name], fresh("projection", taken), transB=1))
    shape = [batch.dim_value if batch.HasField("dim_value") else batch.dim_param or None, len(weight)]
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    check(model, "the network with its projection")
    return serialise(model)


def raw_pixels(spec: InputSpec) -> InputSpec:
    """The input of a file that normalises pictures itself: RGB, as they are."""
    return replace(spec, colour="rgb", mean=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0))


def fold_preprocessing(content: bytes, spec: InputSpec, layout: str) -> bytes:
    """Put colour order and normalisation into a network: it then takes RGB pixels, uint8 (n, height, width, 3).

    Cameras, decoders and Pillow deliver pixels in this order, so a device passes on the bytes that it has. The
    arithmetic is that of `edge_imprint.backbones.preprocess.Preprocessor`, in float32 and in the same order, so that
    the network sees the same numbers to the last bit. Describe the result with `raw_pixels(spec)`, layout "nhwc"
    and dtype "uint8".

    Args:
        content: an .onnx file with one float32 picture input.
        spec: what happened to a picture before.
        layout: of the file's input, "nchw" or "nhwc".

    Raises:
        ExportError: the input is not float32, or has other sides.
        BundleError: the content is no ONNX model.
    """
    onnx = import_onnx()
    model = parse(content, "the network")
    graph = model.graph
    source = _only(graph.input, "input")
    sides = (3, spec.height, spec.width) if layout == "nchw" else (spec.height, spec.width, 3)
    shape = lengths(source) or ()
    fits = len(shape) == 4 and all(a in (None, b) for a, b in zip(shape[1:], sides, strict=True))
    if not fits or source.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise ExportError(
            f"preprocessing folds into a network that takes float32 pictures (n, {', '.join(map(str, sides))}); "
            f"{source.name!r} is {_shown(source)}. Leave --fold-preprocessing out"
        )
    taken = names_in(graph)
    name, inner = source.name, fresh("normalised", taken)
    rename(graph, name, inner)
    axis = 1 if layout == "nchw" else 3
    channels = [1, 3, 1, 1] if layout == "nchw" else [1, 1, 1, 3]
    steps: list[tuple[str, NDArray[Any] | None, dict[str, Any]]] = [("Cast", None, {"to": onnx.TensorProto.FLOAT})]
    if layout == "nchw":
        steps.append(("Transpose", None, {"perm": [0, 3, 1, 2]}))
    if spec.colour == "bgr":
        steps.append(("Gather", np.array([2, 1, 0]), {"axis": axis}))
    steps.append(("Sub", np.array(spec.mean, np.float32).reshape(channels), {}))
    steps.append(("Mul", np.array(spec.scale, np.float32).reshape(channels), {}))
    nodes, current = [], name
    for number, (operator, constant, attributes) in enumerate(steps):
        inputs = [current]
        if constant is not None:
            inputs.append(fresh(f"preprocessing.{operator.lower()}", taken))
            graph.initializer.append(tensor(constant, inputs[-1]))
        current = inner if number == len(steps) - 1 else fresh(f"pixels_{operator.lower()}", taken)
        label = fresh(f"preprocessing_{operator.lower()}", taken)
        nodes.append(onnx.helper.make_node(operator, inputs, [current], label, **attributes))
    rest = [type(node).FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    batch = source.type.tensor_type.shape.dim[0]
    open_or_fixed = batch.dim_value if batch.HasField("dim_value") else batch.dim_param or None
    pixels = [open_or_fixed, spec.height, spec.width, 3]
    del graph.input[:]
    graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, pixels))
    check(model, "the network with its preprocessing")
    return serialise(model)


def _only(values: Any, what: str) -> Any:
    if len(values) != 1:
        raise ExportError(f"a backbone has one {what}; this network has {len(values)}. Cut it at its embedding first")
    return values[0]


def _shown(value: Any) -> str:
    return f"{dtype_name(value.type.tensor_type.elem_type)} {lengths(value)}"
