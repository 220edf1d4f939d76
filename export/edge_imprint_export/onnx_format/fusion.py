"""Small rewrites that make a graph cheaper and easier to quantise, without changing what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint_export.onnx_format.folding import fold
from edge_imprint_export.onnx_format.proto import array, fresh, import_onnx, inferred, names_in, tensor


def simplify(model: Any) -> None:
    """Fold batch norms into convolutions, name global pools for what they are, and fold what is known, in place."""
    fold_batch_norm(model)
    name_global_pools(model)
    fold(model)
    drop_unused(model)


def drop_unused(model: Any) -> None:
    """Remove nodes whose result nobody reads, then initialisers that nobody reads, in place."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(reads(node))
    if len(kept) < len(graph.node):
        copies = [type(node).FromString(node.SerializeToString()) for node in reversed(kept)]
        del graph.node[:]
        graph.node.extend(copies)
    for number in reversed(range(len(graph.initializer))):
        if graph.initializer[number].name not in needed:
            del graph.initializer[number]
    for number in reversed(range(len(graph.sparse_initializer))):
        if graph.sparse_initializer[number].values.name not in needed:
            del graph.sparse_initializer[number]


def reads(node: Any) -> set[str]:
    """Names that a node reads, those that its subgraphs take from outside included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
            for inner in graph.node:
                names |= reads(inner)
            names |= {output.name for output in graph.output}
    return names - {""}


def _readers(graph: Any) -> dict[str, int]:
    """How often each tensor is read; the graph's outputs count."""
    count: dict[str, int] = {}
    for name in [name for node in graph.node for name in reads(node)] + [output.name for output in graph.output]:
        count[name] = count.get(name, 0) + 1
    return count


def fold_batch_norm(model: Any) -> None:
    """Conv -> BatchNormalization becomes one Conv, in place, where nothing else reads between the two."""
    graph = model.graph
    values = {initialiser.name: initialiser for initialiser in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    count = _readers(graph)
    taken = names_in(graph)
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        conv = makers.get(norm.input[0])
        constants = [values.get(name) for name in norm.input[1:5]]
        if conv is None or conv.op_type != "Conv" or count.get(conv.output[0]) != 1 or None in constants:
            continue
        if conv.input[1] not in values or not all(name in values for name in conv.input[2:3] if name):
            continue
        gain, shift, mean, variance = (array(constant).astype(np.float64) for constant in constants)
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        factor = gain / np.sqrt(variance + epsilon)
        weight = array(values[conv.input[1]])
        bias = array(values[conv.input[2]]) if len(conv.input) > 2 and conv.input[2] else np.zeros(len(weight))
        if not len(weight) == len(factor) == len(bias):
            continue
        folded = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
        new_weight = _add(graph, taken, conv.input[1], folded.astype(weight.dtype))
        new_bias = _add(graph, taken, f"{conv.input[1]}_bias", (shift + (bias - mean) * factor).astype(weight.dtype))
        del conv.input[1:]
        conv.input.extend([new_weight, new_bias])
        conv.output[0] = norm.output[0]
        graph.node.remove(norm)
        makers = {name: node for node in graph.node for name in node.output}


def _add(graph: Any, taken: set[str], wanted: str, values: NDArray[Any]) -> str:
    name = fresh(wanted, taken)
    graph.initializer.append(tensor(values, name))
    return name


def name_global_pools(model: Any) -> None:
    """ReduceMean over height and width of a map becomes GlobalAveragePool, in place.

    It is the same sum; quantisers and the accelerators of a Jetson know it only by that name. A Flatten follows where
    the mean dropped the axes.
    """
    onnx = import_onnx()
    graph = model.graph
    constants = {initialiser.name: initialiser for initialiser in graph.initializer}
    constants.update({n.output[0]: n.attribute[0].t for n in graph.node if n.op_type == "Constant" and n.attribute})
    means = [node for node in graph.node if node.op_type == "ReduceMean"]
    ranks, taken = (_ranks(model) if means else {}), names_in(graph)
    for node in means:
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        axes = attributes.get("axes")
        if axes is None and len(node.input) > 1 and node.input[1] in constants:
            axes = array(constants[node.input[1]]).tolist()
        if axes is None or ranks.get(node.input[0]) != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
            continue
        node.op_type = "GlobalAveragePool"
        del node.attribute[:]
        del node.input[1:]
        if not attributes.get("keepdims", 1):
            row, node.output[0] = node.output[0], fresh(f"{node.output[0]}_pooled", taken)
            label = fresh(f"{node.name or row}_flatten", taken)
            graph.node.insert(
                list(graph.node).index(node) + 1, onnx.helper.make_node("Flatten", [node.output[0]], [row], label)
            )


def _ranks(model: Any) -> dict[str, int]:
    graph = inferred(model)
    shaped = [v for v in (*graph.value_info, *graph.input, *graph.output) if v.type.tensor_type.HasField("shape")]
    return {value.name: len(value.type.tensor_type.shape.dim) for value in shaped}
