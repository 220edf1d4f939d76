"""Operators put before or behind the graph of a .tflite file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import BundleError, ExportError
from edge_imprint_export.tflite_format.extraction import extract
from edge_imprint_export.tflite_format.flatfile import OpenFile, open_file, schema
from edge_imprint_export.tflite_format.writing import add_buffer, write

_FLOAT32, _INT32, _UINT8, _INT8 = 0, 2, 3, 9
_DTYPES = {_FLOAT32: "float32", _UINT8: "uint8", _INT8: "int8"}


def _whole(content: bytes) -> tuple[OpenFile, Any]:
    """A file with one input and one output as a model."""
    opened = open_file(content, "the file")
    graph = opened.graph
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ExportError(
            f"a file must have one input and one output to be extended; it has {len(graph.inputs)} and "
            f"{len(graph.outputs)}. Cut it at its embedding first."
        )
    return opened, extract(opened, range(len(graph.operators)), graph.inputs, graph.outputs)


def _quantisation(scale: Any, zero_point: Any, axis: int = 0) -> Any:
    return schema().QuantizationParametersT(
        scale=np.atleast_1d(np.asarray(scale, np.float32)),
        zeroPoint=np.atleast_1d(np.asarray(zero_point, np.int64)),
        quantizedDimension=axis,
    )


def _add_tensor(model: Any, name: str, shape: Any, kind: int, quantisation: Any = None, data: Any = None) -> int:
    """Append a tensor to a model, and return its number."""
    tensors = model.subgraphs[0].tensors
    taken = {tensor.name for tensor in tensors}
    unique, number = name.encode(), 1
    while unique and unique in taken:
        number += 1
        unique = f"{name}_{number}".encode()
    tensors.append(
        schema().TensorT(
            shape=np.asarray(shape, np.int32),
            type=kind,
            buffer=0 if data is None else add_buffer(model, data),
            name=unique,
            quantization=quantisation,
        )
    )
    return len(tensors) - 1


def _operator(
    model: Any, name: str, version: int, inputs: list[int], outputs: list[int], options: tuple[str, Any] | None = None
) -> Any:
    """A new operator of a model, not yet in its list."""
    generated = schema()
    number = getattr(generated.BuiltinOperator, name)
    known = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    if number in known:
        index = known.index(number)
        model.operatorCodes[index].version = max(version, model.operatorCodes[index].version)
    else:
        index = len(known)
        code = generated.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=version)
        model.operatorCodes.append(code)
    made = generated.OperatorT(
        opcodeIndex=index, inputs=np.asarray(inputs, np.int32), outputs=np.asarray(outputs, np.int32)
    )
    if options is not None:
        made.builtinOptionsType, made.builtinOptions = getattr(generated.BuiltinOptions, options[0]), options[1]
    return made


def append_pool(model: Any, axes: tuple[int, int]) -> None:
    """Average a model's output, a map of rank 4, over two axes; an integer map stays in its quantisation."""
    graph = model.subgraphs[0]
    source = int(graph.outputs[0])
    stored = graph.tensors[source]
    shape = [int(stored.shape[axis]) for axis in range(4) if axis not in axes]
    where = _add_tensor(model, "", (2,), _INT32, data=np.asarray(axes, np.int32).view(np.uint8))
    name = stored.name.decode("utf-8", "replace") + "/global_average_pool"
    pooled = _add_tensor(model, name, shape, stored.type, stored.quantization)
    options = ("ReducerOptions", schema().ReducerOptionsT(keepDims=False))
    version = 1 if stored.type == _FLOAT32 else 2
    graph.operators.append(_operator(model, "MEAN", version, [source, where], [pooled], options))
    graph.outputs = np.asarray([pooled], np.int32)


def append_linear(
    content: bytes,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    output_range: tuple[float, float] | None = None,
) -> bytes:
    """Put a linear layer behind the embedding of a .tflite file: a projection, usually.

    A float embedding gets a float layer. An integer one gets an int8 layer with weights per channel, in int8 and
    out, whose output is quantised so that it holds `output_range`; what lies outside saturates. An embedding of
    old-style uint8 is first turned to int8, which is exact.

    Args:
        content: a file with one input and one output, a row of `weight.shape[1]`. Not modified.
        weight: shape (out, in), finite.
        bias: shape (out,), finite.
        output_range: lowest and highest real value of the output; needed for an integer embedding.

    Returns:
        The new file, whose output is named "embedding".

    Raises:
        BundleError: a damaged file.
        ExportError: weights that do not fit, or no range for an integer embedding.
    """
    _, model = _whole(content)
    graph = model.subgraphs[0]
    source = int(graph.outputs[0])
    stored = graph.tensors[source]
    weight, bias = np.asarray(weight, np.float32), np.asarray(bias, np.float32)
    width = int(np.prod(stored.shape[1:]))
    if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
        raise ExportError(
            f"a linear layer behind an embedding of {width} must have weights (n, {width}) and a bias (n,); got "
            f"{weight.shape} and {bias.shape}."
        )
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ExportError("weights of a linear layer must be finite; got NaN or infinity. Make the projection again.")
    if stored.type == _FLOAT32:
        rows = _add_tensor(model, "", weight.shape, _FLOAT32, data=weight.view(np.uint8).ravel())
        shift = _add_tensor(model, "", bias.shape, _FLOAT32, data=bias.view(np.uint8))
        projected = _add_tensor(model, "embedding", (1, len(bias)), _FLOAT32)
        version = 1
    else:
        if output_range is None:
            raise ExportError(
                "a linear layer behind an integer embedding needs the range of its output; got none. "
                "Measure it on the calibration pictures."
            )
        if stored.type == _UINT8:
            source = _to_int8(model, source)
        rows, shift = _integer_weights(model, graph.tensors[source], weight, bias)
        projected = _add_tensor(model, "embedding", (1, len(bias)), _INT8, _holding(*output_range))
        version = 4
    options = ("FullyConnectedOptions", schema().FullyConnectedOptionsT())
    graph.operators.append(_operator(model, "FULLY_CONNECTED", version, [source, rows, shift], [projected], options))
    graph.outputs = np.asarray([projected], np.int32)
    return write(model)


def _to_int8(model: Any, source: int) -> int:
    """Requantise a model's uint8 tensor to int8: the same scale, 128 less."""
    graph = model.subgraphs[0]
    stored = graph.tensors[source]
    scale, zero_point = _scale_of(stored)
    signed = _add_tensor(model, _name(stored) + "/int8", stored.shape, _INT8, _quantisation(scale, zero_point - 128))
    graph.operators.append(_operator(model, "QUANTIZE", 1, [source], [signed], _quantize_options()))
    return signed


def _quantize_options() -> tuple[str, Any]:
    return "QuantizeOptions", schema().QuantizeOptionsT()


def _name(tensor: Any) -> str:
    return str((tensor.name or b"").decode("utf-8", "replace"))


def _scale_of(tensor: Any) -> tuple[float, int]:
    stored = tensor.quantization
    if stored is None or stored.scale is None or len(stored.scale) != 1 or not stored.scale[0] > 0:
        raise BundleError(
            f"an integer tensor must say what its numbers stand for; {_name(tensor)!r} has no single scale. "
            "Convert the file again."
        )
    zero_points = stored.zeroPoint
    return float(stored.scale[0]), int(zero_points[0]) if zero_points is not None and len(zero_points) else 0


def _integer_weights(
    model: Any, source: Any, weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> tuple[int, int]:
    """Weights as int8 per row and symmetric, and the bias in the accumulator's own steps."""
    # A row of zeros has any scale; its bias then decides, as below.
    steps = np.abs(weight).max(axis=1).astype(np.float64) / 127
    # The bias must fit its int32 with room for the sum of products: at most 2^30 steps.
    scale, _ = _scale_of(source)
    steps = np.maximum(steps, np.abs(bias).astype(np.float64) / (scale * (1 << 30)))
    # Kernels refuse steps that are many powers of two apart; a row this small is lost in the others anyway.
    steps = np.maximum(steps, 1e-6 * (steps.max() or 1.0)).astype(np.float32)
    integers = np.clip(np.rint(weight / steps[:, None]), -127, 127).astype(np.int8)
    products = steps.astype(np.float64) * scale
    shifts = np.rint(bias / products).astype(np.int32)
    zeros = np.zeros(len(bias), np.int64)
    rows = _add_tensor(
        model, "", weight.shape, _INT8, _quantisation(steps, zeros), data=integers.view(np.uint8).ravel()
    )
    shift = _add_tensor(model, "", bias.shape, _INT32, _quantisation(products, zeros), data=shifts.view(np.uint8))
    return rows, shift


def _holding(low: float, high: float) -> Any:
    """The quantisation of an int8 tensor that holds a range, and zero exactly."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if not np.isfinite([low, high]).all() or low == high:
        raise ExportError(
            f"the range of an output must be finite and wider than nothing; got {low:g} to {high:g}. "
            "Measure it on the calibration pictures."
        )
    scale = np.float32((high - low) / 255)
    return _quantisation(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def uint8_input(content: bytes) -> bytes:
    """Let a .tflite file take uint8, so that a device feeds the bytes of a picture as they are.

    In front of an int8 input the same numbers are 128 higher, with the same scale and the same real values. A
    float32 input then takes the values 0 to 255 themselves: a network that wants other real values must have its
    normalisation folded in before.

    Args:
        content: a file with one input and one output. Not modified.

    Returns:
        The new file; the same bytes when the input is uint8 already.

    Raises:
        BundleError: a damaged file.
        ExportError: an input of another type.
    """
    opened, model = _whole(content)
    graph = model.subgraphs[0]
    source = int(graph.inputs[0])
    stored = graph.tensors[source]
    if stored.type == _UINT8:
        return content
    if stored.type == _INT8:
        scale, zero_point = _scale_of(stored)
        fed = _add_tensor(model, "picture", stored.shape, _UINT8, _quantisation(scale, zero_point + 128))
        first = _operator(model, "QUANTIZE", 1, [fed], [source], _quantize_options())
    elif stored.type == _FLOAT32:
        fed = _add_tensor(model, "picture", stored.shape, _UINT8)
        options = schema().CastOptionsT(inDataType=_UINT8, outDataType=_FLOAT32)
        first = _operator(model, "CAST", 1, [fed], [source], ("CastOptions", options))
    else:
        dtype = opened.graph.tensors[opened.graph.inputs[0]].dtype
        raise ExportError(f"an input must be {', '.join(_DTYPES.values())} to be fed uint8; it is {dtype}.")
    graph.operators.insert(0, first)
    graph.inputs = np.asarray([fed], np.int32)
    return write(model)
