"""Cut a .tflite file at its embedding, and extend it at either end, by rewriting the flatbuffer.

The result is a file of its own: the operators that the embedding needs, their tensors, weights and operator codes,
and nothing else. What is computed does not change by a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_imprint.backbones.backbone import map_axes
from edge_imprint.backbones.embedding import candidates, find_embedding
from edge_imprint.backbones.flatbuffer import Graph, Tensor
from edge_imprint.errors import BundleError, ExportError
from edge_imprint_export.tflite_format.extend import append_linear, append_pool, uint8_input
from edge_imprint_export.tflite_format.extraction import extract
from edge_imprint_export.tflite_format.flatfile import OpenFile, open_axes, open_file
from edge_imprint_export.tflite_format.writing import write

__all__ = ["Cut", "append_linear", "cut", "uint8_input"]

# Operators that run another subgraph: what they compute cannot be read off the graph.
_CONTROL_FLOW = {
    "IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE",
    "STABLEHLO_REDUCE", "STABLEHLO_REDUCE_WINDOW", "STABLEHLO_SORT", "STABLEHLO_SCATTER",
}  # fmt: skip
# Operators that keep something between two pictures outside of the graph's tensors.
_STATE = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT"}
_EMBEDDING_DTYPES = ("float32", "int8", "uint8")


@dataclass(frozen=True)
class Cut:
    """A .tflite file that was cut at its embedding.

    Attributes:
        content: bytes of the new file; its only output is the embedding, one row per picture.
        embedding: the output's name in it.
        pooled: whether a global average pool was appended, because the tensor was a map.
        dropped_operators: how many operators the embedding did not need.
        dropped_tensors: how many tensors went with them.
        dropped_bytes: by how much the file is smaller; the names of weights and recorded ranges count too.
    """

    content: bytes
    embedding: str
    pooled: bool
    dropped_operators: int
    dropped_tensors: int
    dropped_bytes: int


def cut(content: bytes, embedding: str | None = None, name: str = "the file") -> Cut:
    """Cut a .tflite file at its embedding.

    Args:
        content: the file's bytes. Not modified.
        embedding: name of the tensor; None lets `find_embedding` choose. A map of rank 4 that is named, or
            in which the network ends, gets a global average pool behind it.
        name: what to call the file in messages.

    Returns:
        The new file; the same bytes in, the same bytes out.

    Raises:
        BundleError: a damaged file, no such tensor, or none with one row per picture.
        ExportError: several inputs, an input whose size is open, control flow, or weights in another file.
        MissingRuntimeError: LiteRT is not installed.
    """
    opened = open_file(content, name)
    graph = opened.graph
    tensor = _choose(graph, name, embedding)
    operators, inputs = _needed(opened, tensor)
    open_sides = open_axes(opened, inputs[0])
    if open_sides:
        raise ExportError(
            f"the input must have a fixed size; input {graph.tensors[inputs[0]].name!r} of {name} leaves axis "
            f"{', '.join(map(str, open_sides))} open. Convert it again with a fixed size."
        )
    model = extract(opened, operators, inputs, (tensor.index,))
    pooled = not tensor.is_row
    if pooled:
        append_pool(model, _axes(graph, inputs[0], tensor))
    main = model.subgraphs[0]
    new = write(model)
    return Cut(
        content=new,
        embedding=main.tensors[main.outputs[0]].name.decode("utf-8", "replace"),
        pooled=pooled,
        dropped_operators=len(graph.operators) - len(operators),
        dropped_tensors=len(graph.tensors) - (len(main.tensors) - 2 * pooled),
        dropped_bytes=len(content) - len(new),
    )


def _choose(graph: Graph, name: str, embedding: str | None) -> Tensor:
    try:
        tensor = find_embedding(graph, name, embedding)
    except BundleError:
        last = graph.tensors[graph.outputs[0]]
        if embedding is not None or len(graph.outputs) > 1 or len(last.shape) != 4:
            raise
        tensor = last
    if not (tensor.is_row or len(tensor.shape) == 4) or tensor.dtype not in _EMBEDDING_DTYPES:
        raise BundleError(
            f"an embedding must be one row per picture, or a map of rank 4 to be averaged, of "
            f"{', '.join(_EMBEDDING_DTYPES)}; tensor {tensor.name!r} of {name} is {tensor.dtype} {tensor.shape}. "
            f"Name one of: {', '.join(repr(n) for n in candidates(graph)[-8:]) or 'none found'}."
        )
    return tensor


def _needed(opened: OpenFile, tensor: Tensor) -> tuple[list[int], list[int]]:
    """Numbers of the operators that compute a tensor, in the order they run, and of the inputs they read."""
    graph = opened.graph
    wanted, operators = {tensor.index}, []
    for number in range(len(graph.operators) - 1, -1, -1):
        operator = graph.operators[number]
        if wanted.isdisjoint(operator.outputs):
            continue
        _check_operator(opened, number)
        operators.append(number)
        wanted.difference_update(operator.outputs)
        wanted.update(i for i in operator.inputs if i >= 0)
    inputs = [i for i in dict.fromkeys(graph.inputs) if i in wanted]
    if not operators or not inputs:
        raise BundleError(
            f"an embedding must be computed from the network's input; tensor {tensor.name!r} of {opened.name} is not. "
            f"Name one of: {', '.join(repr(n) for n in candidates(graph)[-8:]) or 'none found'}."
        )
    if len(inputs) > 1:
        names = ", ".join(f"{graph.tensors[i].name!r} {graph.tensors[i].shape}" for i in inputs)
        raise ExportError(
            f"a backbone takes one input; the embedding of {opened.name} needs {len(inputs)}: {names}. "
            "Name a tensor that needs one of them only, or use another network."
        )
    return operators[::-1], inputs


def _check_operator(opened: OpenFile, number: int) -> None:
    name = opened.operators[number]
    if name in _CONTROL_FLOW:
        raise ExportError(
            f"a backbone must be a plain graph; {opened.name} runs another one in its operator {name} (number "
            f"{number}). Name an embedding before it, or convert the network without control flow."
        )
    if name in _STATE:
        raise ExportError(
            f"an embedding must depend on its input alone; {opened.name} keeps a variable with its operator {name} "
            f"(number {number}). Convert the network with constant weights."
        )


def _axes(graph: Graph, source: int, tensor: Tensor) -> tuple[int, int]:
    """Height and width of a map, by the rule with which the runtime averages one."""
    shape = graph.tensors[source].shape
    layout = "nchw" if len(shape) == 4 and shape[1] == 3 and shape[3] != 3 else "nhwc"
    sides = shape[1:3] if layout == "nhwc" else shape[2:4]
    return map_axes(tensor.shape, layout, len(shape) == 4 and sides[0] == sides[1])
