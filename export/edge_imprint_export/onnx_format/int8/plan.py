"""Which nodes compute in 8 bits and which tensors are stored in 8 bits, so that onnxruntime can fuse them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .graph import Graph

# Operators without weights that onnxruntime's processor kernels compute on 8-bit integers.
WEIGHTLESS = frozenset(
    ["Add", "Mul", "Sigmoid", "LeakyRelu", "HardSwish", "HardSigmoid", "Concat", "AveragePool", "GlobalAveragePool"]
)
# Weights are turned back to float32 at every picture: 2^17 take about 20 microseconds here.
LAST_WEIGHTS = 1 << 17
# Their output holds values of their input, so both have one range and the 8-bit kernel moves bytes.
MOVES = frozenset(
    [
        "MaxPool",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Split",
        "DepthToSpace",
        "SpaceToDepth",
    ]
)


def is_layer(graph: Graph, node: Any) -> bool:
    """Whether a node has constant float32 weights that onnxruntime multiplies as 8-bit integers."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in ("Conv", "Gemm", "MatMul"):
        return False
    weights = graph.constants.get(node.input[1])
    if weights is None or weights.dtype != np.float32 or weights.size == 0 or node.input[0] in graph.constants:
        return False
    bias = node.input[2] if len(node.input) > 2 else ""
    if bias and (bias not in graph.constants or graph.constants[bias].ndim != 1):
        return False
    if node.op_type == "MatMul":
        return bool(weights.ndim == 2)
    if node.op_type == "Gemm":
        plain = graph.attribute(node, "alpha", 1.0) == 1.0 and graph.attribute(node, "beta", 1.0) == 1.0
        return bool(plain and not graph.attribute(node, "transA", 0))
    return bool(weights.ndim in (3, 4))


def gate_slope(graph: Graph, node: Any) -> tuple[float, float]:
    """The alpha and beta of the clip(alpha x + beta, 0, 1) inside a HardSwish or HardSigmoid."""
    if node.op_type == "HardSwish":
        return 1 / 6, 0.5
    return float(graph.attribute(node, "alpha", 0.2)), float(graph.attribute(node, "beta", 0.5))


def is_last(graph: Graph, node: Any) -> bool:
    """Whether a layer is a small matrix product that writes the embedding.

    Its input, a mean over places, is finer than 8 bits can say, and it is a small part of all work: its weights are
    stored in 8 bits, and the product is computed in float32.
    """
    weights = graph.constants[node.input[1]]
    return node.op_type != "Conv" and graph.output == node.output[0] and weights.size <= LAST_WEIGHTS


@dataclass
class Plan:
    """What becomes 8-bit.

    Attributes:
        nodes: names of the nodes that compute in 8 bits.
        stored: names of layers whose weights alone are 8-bit.
        tensors: tensors stored in 8 bits, in graph order.
        written: of those that an 8-bit node writes, the tensor that it writes before the activation that 8 bits absorb.
        absorbed: names of activations that the range of 8 bits makes superfluous.
    """

    nodes: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    tensors: list[str] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)
    absorbed: set[str] = field(default_factory=set)


def result(graph: Graph, node: Any) -> tuple[str, list[str]]:
    """A node's output after the Relu and Clip that its 8-bit range can absorb, and the names of these."""
    name: str = node.output[0]
    absorbed: list[str] = []
    while True:
        reader = graph.only_reader(name)
        bounds = graph.clip_bounds(reader) if reader is not None else None
        # Zero is always within the range of 8 bits: a Clip that excludes it stays.
        if bounds is None or not bounds[0] <= 0.0 <= bounds[1]:
            return name, absorbed
        absorbed.append(reader.name)
        name = reader.output[0]


def _eligible(graph: Graph, node: Any) -> bool:
    if node.domain not in ("", "ai.onnx") or node.op_type not in WEIGHTLESS | MOVES or not node.input:
        return False
    data = node.input if node.op_type in WEIGHTLESS else node.input[:1]
    # A constant operand in 8 bits would cost accuracy; such a node stays in float.
    if any(not name or name in graph.constants for name in data):
        return False
    if node.op_type == "HardSigmoid" and min(gate_slope(graph, node)) <= 0.0:
        return False
    if node.op_type == "MaxPool" and len(node.output) > 1:
        return False
    return node.op_type not in MOVES or all(not n or n in graph.constants for n in node.input[1:])


def plan(graph: Graph, layers: frozenset[str]) -> Plan:
    """The largest set of 8-bit nodes about these layers in which every weightless node feeds another 8-bit node.

    A convolution's result is always stored in 8 bits: onnxruntime has no kernel that writes float. A matrix product
    has one, and stores 8 bits only for an 8-bit reader.
    """
    stored = {n.name for n in graph.nodes if n.name in layers and is_last(graph, n)}
    layers -= stored
    results = {node.name: result(graph, node) for node in graph.nodes}
    weightless = {n.name for n in graph.nodes if _eligible(graph, n)} - layers
    products = {n.name for n in graph.nodes if n.name in layers and n.op_type != "Conv"}
    while True:
        nodes, tensors = _forward(graph, layers, weightless, products, results)
        useful = set(layers)
        for node in reversed(graph.nodes):
            if node.name in nodes and node.name not in useful and _feeds(graph, node, useful, results):
                useful.add(node.name)
        fed = {n.name for n in graph.nodes if n.name in products and _feeds(graph, n, useful, results)}
        if useful == nodes and fed == products:
            break
        weightless, products = weightless & useful, fed
    made = Plan(nodes, stored)
    for node in graph.nodes:
        name, absorbed = results[node.name]
        if node.name in nodes and (name in tensors or node.op_type == "Split"):
            for output in node.output if node.op_type == "Split" else (name,):
                made.written[output] = output if node.op_type == "Split" else node.output[0]
            made.absorbed.update(absorbed if node.op_type != "Split" else ())
    order = [graph.input, *(o for n in graph.nodes for o in n.output)]
    made.tensors = [name for name in dict.fromkeys(order) if name in tensors]
    return made


def _feeds(graph: Graph, node: Any, useful: set[str], results: dict[str, tuple[str, list[str]]]) -> bool:
    outputs = node.output if node.op_type == "Split" else (results[node.name][0],)
    return any(reader.name in useful for name in outputs for reader in graph.consumers.get(name, []))


def _forward(
    graph: Graph,
    layers: frozenset[str],
    weightless: set[str],
    products: set[str],
    results: dict[str, tuple[str, list[str]]],
) -> tuple[set[str], set[str]]:
    nodes = set(layers)
    tensors = {n.input[0] for n in graph.nodes if n.name in layers}
    for node in graph.nodes:
        if node.name in layers:
            if node.op_type == "Conv" or node.name in products:
                tensors.add(results[node.name][0])
        elif node.name in weightless:
            data = node.input if node.op_type in WEIGHTLESS else node.input[:1]
            if all(name in tensors for name in data):
                nodes.add(node.name)
                tensors.update(node.output if node.op_type == "Split" else (results[node.name][0],))
    return nodes, tensors
