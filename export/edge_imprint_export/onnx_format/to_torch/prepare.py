"""Rewrites of an ONNX graph before it is translated, so that its layers look as torch's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_imprint_export.onnx_format.fusion import drop_unused, simplify
from edge_imprint_export.onnx_format.proto import array, fresh, import_onnx, names_in, tensor


def prepare(model: Any) -> None:
    """Fold batch norms, make linear layers of products with constants, and join the parts of a GELU, in place."""
    constants_to_weights(model)
    simplify(model)
    _linear_layers(model)
    _gelu(model)
    drop_unused(model)


def constants_to_weights(model: Any) -> None:
    """Constant nodes become initialisers."""
    onnx = import_onnx()
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Constant" and node.attribute]:
        value = onnx.helper.get_attribute_value(node.attribute[0])
        name = node.attribute[0].name
        if name == "sparse_value":
            continue
        if name == "value":
            values = array(value)
        else:
            kind = np.float32 if "float" in name else np.int64
            values = np.asarray(value, dtype=None if "string" in name else kind)
        graph.initializer.append(tensor(values, node.output[0]))
        graph.node.remove(node)


def _linear_layers(model: Any) -> None:
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    taken = names_in(graph)

    def add(values: Any, wanted: str) -> str:
        name = fresh(wanted, taken)
        graph.initializer.append(tensor(values, name))
        return name

    for node in graph.node:
        if node.op_type not in ("Gemm", "MatMul") or node.domain or node.input[1] not in weights:
            continue
        weight = array(weights[node.input[1]])
        if weight.ndim != 2 or weight.dtype != np.float32:
            continue
        settings = {a.name: import_onnx().helper.get_attribute_value(a) for a in node.attribute}
        bias = None
        if node.op_type == "Gemm":
            if settings.get("transA", 0) or (len(node.input) > 2 and node.input[2] and node.input[2] not in weights):
                continue
            weight = weight if settings.get("transB", 0) else weight.T
            weight = weight * np.float32(settings.get("alpha", 1.0))
            if len(node.input) > 2 and node.input[2]:
                bias = array(weights[node.input[2]]) * np.float32(settings.get("beta", 1.0))
                if bias.size not in (1, len(weight)):
                    continue
                bias = np.broadcast_to(bias.reshape(-1), len(weight))
        else:
            weight = weight.T
        inputs = [node.input[0], add(weight, f"{node.input[1]}_linear")]
        if bias is not None:
            inputs.append(add(bias, f"{node.input[2]}_linear"))
        _replace(node, "Linear", inputs)
    _linear_biases(graph)


def _linear_biases(graph: Any) -> None:
    """Linear -> Add of a constant vector becomes the bias."""
    weights = {weight.name: weight for weight in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    count: dict[str, int] = {}
    for name in [name for node in graph.node for name in node.input] + [o.name for o in graph.output]:
        count[name] = count.get(name, 0) + 1
    for node in [node for node in graph.node if node.op_type == "Add"]:
        for x, bias in (tuple(node.input), tuple(node.input)[::-1]):
            linear = makers.get(x)
            fits = linear is not None and linear.op_type == "Linear" and len(linear.input) == 2 and count[x] == 1
            if not fits or linear is None or bias not in weights:
                continue
            if list(weights[bias].dims) == [weights[linear.input[1]].dims[0]]:
                linear.input.append(bias)
                linear.output[0] = node.output[0]
                graph.node.remove(node)
                break


def _replace(node: Any, operator: str, inputs: list[str]) -> None:
    node.op_type = operator
    del node.attribute[:]
    del node.input[:]
    node.input.extend(inputs)


def _gelu(model: Any) -> None:
    """Erf(x / sqrt(2)) + 1, times x and 0.5 in any order, becomes Gelu.

    TFLite has GELU but no error function.
    """
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}

    def scalar(name: str) -> float | None:
        if name not in weights or math.prod(weights[name].dims) != 1:
            return None
        return float(array(weights[name]).reshape(()))

    def times(node: Any | None) -> tuple[list[str], float]:
        """Factors of a product that are not constants, and the product of those that are."""
        if node is None or node.op_type not in ("Mul", "Div"):
            return [], 1.0
        tensors, constant = [], 1.0
        for position, name in enumerate(node.input):
            value = scalar(name)
            if value is None:
                tensors.append(name)
            else:
                constant *= 1 / value if node.op_type == "Div" and position else value
        return ([], 1.0) if node.op_type == "Div" and len(tensors) != 1 else (tensors, constant)

    def factors(name: str, depth: int = 3) -> tuple[list[str], float]:
        tensors, constant = times(makers.get(name)) if depth else ([], 1.0)
        if not tensors:
            return [name], 1.0
        found: list[str] = []
        for inner in tensors:
            more, value = factors(inner, depth - 1)
            found, constant = found + more, constant * value
        return found, constant

    for node in [node for node in graph.node if node.op_type == "Mul"]:
        tensors, constant = factors(node.output[0])
        if len(tensors) != 2 or not math.isclose(constant, 0.5, rel_tol=1e-4):
            continue
        for x, one_plus in (tensors, tensors[::-1]):
            plus = makers.get(one_plus)
            if plus is None or plus.op_type != "Add" or 1.0 not in [scalar(name) for name in plus.input]:
                continue
            erf = next((makers[n] for n in plus.input if n in makers and makers[n].op_type == "Erf"), None)
            if erf is None:
                continue
            inner, scale = factors(erf.input[0], 1)
            if inner == [x] and math.isclose(scale, math.sqrt(0.5), rel_tol=1e-4):
                _replace(node, "Gelu", [x])
                break
