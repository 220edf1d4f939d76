"""Cut an ONNX network at its embedding: what follows it is dropped, weights included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones.backbone import pool
from edge_imprint.errors import ExportError
from edge_imprint_export.onnx_format.checks import check_weights
from edge_imprint_export.onnx_format.embedding import ancestors, candidates, find_embedding, no_embedding
from edge_imprint_export.onnx_format.fusion import drop_unused
from edge_imprint_export.onnx_format.graph import Graph, is_one_place
from edge_imprint_export.onnx_format.proto import array, dtype_name, fresh, import_onnx, names_in, rename
from edge_imprint_export.onnx_format.trial import run

INPUT, OUTPUT = "picture", "embedding"

# Where the scale of an integer result stands among the inputs; the zero point follows.
_SCALE_AT = {"QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6, "QGemm": 7, "QLinearAdd": 6, "QLinearMul": 6}
_SCALE_AT |= {"QLinearGlobalAveragePool": 3, "QLinearAveragePool": 3, "QLinearSigmoid": 3, "QLinearLeakyRelu": 3}
# Element types of positions and decisions: int16 and wider, unsigned too, text, bool.
_COUNTS = frozenset({4, 5, 6, 7, 8, 9, 12, 13})
_KEEPS_SCALE = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "MaxPool", "Slice"})


@dataclass(frozen=True)
class Cut:
    """A network that ends in its embedding.

    Attributes:
        model: one input "picture", one output "embedding", float32 (n, dim).
        embedding: name of the chosen tensor in the original.
        dim: width of the embedding.
        candidates: tensors that could have been chosen, in graph order.
        notes: what was decided, one sentence each.
    """

    model: Any
    embedding: str
    dim: int
    candidates: tuple[str, ...]
    notes: tuple[str, ...]


def cut(model: Any, picture: NDArray[Any], where: str, embedding: str | None = None) -> Cut:
    """Cut a model at its embedding.

    A map is averaged over its places, an integer embedding is turned into real numbers.

    Args:
        model: a ModelProto, modified. Its picture's sides are fixed, its batch is open or 1.
        picture: a tensor that fits its input; the shape of the result of one run is believed more than the shapes that
            can be inferred.
        where: name of the file, for messages.
        embedding: name of a tensor or a node; None finds it.

    Raises:
        ExportError: nothing is like an embedding, or it needs more inputs than the picture.
        BundleError: onnxruntime refuses the network.
    """
    graph = Graph(model)
    others = candidates(graph)
    found = find_embedding(graph, where, embedding)
    name = _dequantised(graph, found.tensor)
    _check_inputs(graph, name, where)
    if graph.types.get(name) in _COUNTS:
        raise ExportError(no_embedding(graph, where, f"{found.tensor!r} is {dtype_name(graph.types[name])}"))
    notes = [found.note]
    total = _weight_bytes(model)
    _keep_until(model, graph, name)
    dropped = total - _weight_bytes(model)
    if dropped:
        notes.append(f"{dropped:,} of {total:,} bytes of weights came after the embedding and were dropped")
    rename(model.graph, _picture(model).name, _free(model, INPUT))
    current = _as_float(model, graph, name)
    _set_output(model, current, graph.types.get(name) if current == name else None, None)
    result = run(model, where, picture)
    steps = _to_row(result.shape, picture.shape)
    if steps is None:
        raise ExportError(no_embedding(graph, where, _why_not(found.tensor, result.shape)))
    if not np.isfinite(result).all():
        check_weights(model, where)
        raise ExportError(f"an embedding must be finite; {where} gives NaN or infinity for a picture of noise")
    if steps:
        places = " of its places" if "GlobalAveragePool" in steps else ""
        notes.append(
            f"{found.tensor!r} has shape {result.shape}; the embedding is the mean{places}"
        ) if places else None
        current = _append(model, current, steps)
    if current != OUTPUT:
        rename(model.graph, current, _free(model, OUTPUT))
    dim = _width(result.shape, steps, picture.shape)
    _set_output(model, OUTPUT, import_onnx().TensorProto.FLOAT, [_batch(model), dim])
    return Cut(model, found.tensor, dim, others, tuple(notes))


def _picture(model: Any) -> Any:
    weights = {weight.name for weight in model.graph.initializer}
    return next(value for value in model.graph.input if value.name not in weights)


def _check_inputs(graph: Graph, name: str, where: str) -> None:
    needed: set[str] = set()
    for number in ancestors(graph, [name]):
        needed.update(graph.nodes[number].input)
    inputs = [value for value in graph.inputs if value in needed]
    if len(inputs) == 1:
        return
    if not inputs:
        raise ExportError(no_embedding(graph, where, f"{name!r} does not depend on the picture"))
    raise ExportError(
        f"a backbone takes one input, a picture; the embedding of {where} needs {len(inputs)}: "
        f"{', '.join(map(repr, inputs))}. Make the others constants, or choose an earlier --embedding"
    )


def _dequantised(graph: Graph, name: str) -> str:
    """The tensor after QuantizeLinear and DequantizeLinear, where one of them follows: it is what later layers saw."""
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        readers = [node for node in graph.nodes if name in node.input]
        if kind == "DequantizeLinear" and not _is_integer(graph, name):
            return name
        if readers and all(node.op_type == kind and node.input[0] == name for node in readers):
            name = readers[0].output[0]
    return name


def _is_integer(graph: Graph, name: str) -> bool:
    maker = graph.maker(graph.through(name, _KEEPS_SCALE))
    return (maker is not None and maker.op_type in _SCALE_AT) or graph.types.get(name) in (2, 3)  # uint8, int8


def _keep_until(model: Any, graph: Graph, name: str) -> None:
    """Drop what the tensor does not depend on: nodes, weights, inputs and outputs."""
    kept = sorted(ancestors(graph, [name]))
    nodes = [type(graph.nodes[number]).FromString(graph.nodes[number].SerializeToString()) for number in kept]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    del model.graph.output[:]
    model.graph.output.add().name = name
    del model.graph.quantization_annotation[:]
    drop_unused(model)
    read = {source for node in nodes for source in node.input}
    # Old files list initialisers among the inputs; without that entry they are constants for the optimiser.
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name in read - weights]
    copies = [type(value).FromString(value.SerializeToString()) for value in inputs]
    del model.graph.input[:]
    model.graph.input.extend(copies)
    used = {node.domain for node in nodes} | {""}
    for number in reversed(range(len(model.opset_import))):
        if model.opset_import[number].domain not in used | {"ai.onnx"}:
            del model.opset_import[number]


def _weight_bytes(model: Any) -> int:
    constants = [a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute]
    return sum(array(weight).nbytes for weight in (*model.graph.initializer, *constants) if weight.dims)


def _free(model: Any, name: str) -> str:
    """Make sure that no inner tensor has this name, so that an end of the graph can have it."""
    names = names_in(model.graph)
    ends = {_picture(model).name, *(value.name for value in model.graph.output)}
    if name in names - ends:
        rename(model.graph, name, fresh(f"{name}_inside", names))
    return name


def _as_float(model: Any, graph: Graph, name: str) -> str:
    """Append DequantizeLinear to an integer tensor, Cast to one of another width; the name of the result."""
    onnx = import_onnx()
    taken = names_in(model.graph)
    kind = graph.types.get(name)
    if _is_integer(graph, name):
        maker = graph.maker(graph.through(name, _KEEPS_SCALE))
        at = _SCALE_AT.get(maker.op_type) if maker is not None else None
        if maker is None or at is None or len(maker.input) <= at + 1:
            operator = maker.op_type if maker is not None else "the input"
            raise ExportError(
                f"an embedding must be real numbers; {name!r} is stored as integers, and the scale of {operator} is "
                "not known. Use --embedding NAME with a tensor behind DequantizeLinear"
            )
        node = onnx.helper.make_node("DequantizeLinear", [name, *maker.input[at : at + 2]], [fresh("real", taken)])
    elif kind in (10, 11, 16):  # float16, float64, bfloat16
        node = onnx.helper.make_node("Cast", [name], [fresh("real", taken)], to=onnx.TensorProto.FLOAT)
    else:
        return name
    node.name = fresh(f"embedding_{node.op_type.lower()}", taken)
    model.graph.node.append(node)
    return str(node.output[0])


def _to_row(shape: tuple[int, ...], picture: tuple[int, ...]) -> tuple[str, ...] | None:
    """Operators that make (n, dim) of an output; None where there is no way."""
    if len(shape) == 2 and shape[0] == 1:
        return ()
    if len(shape) != 4 or shape[0] != 1:
        return None
    if is_one_place(shape):
        return ("Flatten",)
    layout = "nchw" if picture[1] == 3 else "nhwc"
    square = picture[2] in (picture[1], picture[3])
    probe = np.zeros(shape, np.float32)
    # Which axis holds the channels is decided by the same rule as on the device.
    channels_last = pool(probe, layout, square).shape[1] == shape[3] != shape[1] or (
        shape[1] == shape[3] and layout == "nhwc"
    )
    return ("Transpose", "GlobalAveragePool", "Flatten") if channels_last else ("GlobalAveragePool", "Flatten")


def _width(shape: tuple[int, ...], steps: tuple[str, ...], picture: tuple[int, ...]) -> int:
    if not steps:
        return int(shape[1])
    if steps == ("Flatten",):
        return int(np.prod(shape[1:]))
    return int(shape[3] if steps[0] == "Transpose" else shape[1])


def _append(model: Any, name: str, steps: tuple[str, ...]) -> str:
    onnx = import_onnx()
    taken = names_in(model.graph)
    for operator in steps:
        attributes: dict[str, Any] = {"perm": [0, 3, 1, 2]} if operator == "Transpose" else {}
        result = fresh(f"embedding_{operator.lower()}", taken)
        label = fresh(f"embedding_{operator.lower()}_node", taken)
        model.graph.node.append(onnx.helper.make_node(operator, [name], [result], label, **attributes))
        name = result
    _set_output(model, name, None, None)
    return name


def _why_not(name: str, shape: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return f"{name!r} is a sequence of {shape[1]} tokens, {shape}; choose the class token or the mean of the tokens"
    return f"{name!r} has shape {shape}, not one row per picture"


def _batch(model: Any) -> int | str:
    axis = _picture(model).type.tensor_type.shape.dim[0]
    return int(axis.dim_value) if axis.HasField("dim_value") else str(axis.dim_param or "N")


def _set_output(model: Any, name: str, kind: int | None, shape: list[int | str] | None) -> None:
    onnx = import_onnx()
    del model.graph.output[:]
    if kind is None:
        model.graph.output.add().name = name
    else:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, shape))
