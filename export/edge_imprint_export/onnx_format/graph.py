"""A view of an ONNX graph for finding the embedding in it: who makes and reads each tensor, and its shape."""

from __future__ import annotations

from typing import Any

from edge_imprint_export.onnx_format.fusion import reads
from edge_imprint_export.onnx_format.proto import inferred, lengths

Shape = tuple[int | None, ...]

# Operators that hand on what they get: other numbers perhaps, but one for one.
QUANTISERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
HANDS_ON = QUANTISERS | {"Identity", "Dropout", "Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze"}
POOLS = frozenset({"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "AveragePool", "MaxPool"})
QLINEAR_POOLS = frozenset({"QLinearGlobalAveragePool", "QLinearReduceMean", "QLinearAveragePool"})
LINEAR = frozenset({"Gemm", "MatMul", "Conv", "QLinearMatMul", "QGemm", "QLinearConv", "MatMulInteger", "ConvInteger"})
# Position of the weight among the inputs, where it is not the second.
WEIGHT_AT = {"QLinearMatMul": 3, "QGemm": 3, "QLinearConv": 3}


class Graph:
    """What `find_embedding` and `cut` ask of a model.

    Attributes:
        model: the ModelProto; not modified here.
        nodes: in the order of the file, which the format requires to be the order of computing.
        makers: tensor name to position in `nodes`.
        shapes: tensor name to shape, as far as ONNX can infer it.
        inputs: names of the real inputs, without initialisers that old files list there too.
        constants: names of tensors that no picture changes.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.makers = {name: number for number, node in enumerate(self.nodes) for name in node.output if name}
        weights = {w.name for w in model.graph.initializer}
        weights |= {w.values.name for w in model.graph.sparse_initializer}
        self.inputs = [value.name for value in model.graph.input if value.name not in weights]
        self.constants = set(weights)
        for node in self.nodes:
            if not reads(node) - self.constants and "Random" not in node.op_type:
                self.constants.update(name for name in node.output if name)
        self.shapes, self.types = _inferred(model)

    def maker(self, name: str) -> Any | None:
        """The node that computes a tensor."""
        number = self.makers.get(name)
        return None if number is None else self.nodes[number]

    def rank(self, name: str) -> int | None:
        """Number of axes, where it is known."""
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)

    def data(self, node: Any) -> str:
        """The first input that depends on the picture; "" for none."""
        return next((name for name in node.input if name and name not in self.constants), "")

    def is_row(self, name: str) -> bool:
        """Whether a tensor has one row per picture: (n, dim), or a map or a sequence of one place."""
        shape = self.shapes.get(name)
        if shape is None or not 2 <= len(shape) <= 4:
            return False
        # More than one number: a picture's sum or its class is no embedding.
        return (len(shape) == 2 and shape[1] != 1) or (len(shape) == 4 and is_one_place(shape))

    def through(self, name: str, kinds: frozenset[str]) -> str:
        """Walk from a tensor towards the input through operators of these kinds."""
        for _ in self.nodes:  # at most; a damaged graph may go round in circles
            node = self.maker(name)
            if node is None or node.op_type not in kinds or not self.data(node):
                return name
            name = self.data(node)
        return name


def is_one_place(shape: Shape) -> bool:
    """Whether a map has height and width 1, in either layout."""
    return len(shape) == 4 and (shape[2:] == (1, 1) or shape[1:3] == (1, 1))


def _inferred(model: Any) -> tuple[dict[str, Shape], dict[str, int]]:
    """Shapes and element types, as far as they are known."""
    graph = inferred(model)
    shapes: dict[str, Shape] = {}
    types: dict[str, int] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = lengths(value)
        types[value.name] = value.type.tensor_type.elem_type
        if shape is not None:
            shapes[value.name] = shape
    for weight in graph.initializer:
        shapes[weight.name] = tuple(weight.dims)
        types[weight.name] = weight.data_type
    return shapes, types
