"""The torch module that computes an ONNX graph."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_imprint.errors import ExportError
from edge_imprint_export.onnx_format.proto import STANDARD_DOMAINS, array, first_line, import_onnx, opset_of, parse
from edge_imprint_export.onnx_format.to_torch.prepare import prepare
from edge_imprint_export.onnx_format.to_torch.registry import OPERATORS, Node, Value, as_tensor

# Integer constants up to this size in shape arithmetic are no weights.
_FEW = 16


@dataclass(frozen=True)
class _Step:
    """One node: where its inputs come from and its outputs go.

    Each input is ("", "") for none, ("array", name), ("weight", attribute) or ("value", name).
    """

    node: Node
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]


class OnnxModule(nn.Module):
    """A float ONNX network in torch: constants folded, weights as frozen parameters, nodes in the order of the file."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        graph = model.graph
        self._arrays: dict[str, NDArray[Any]] = {weight.name: array(weight) for weight in graph.initializer}
        self._input: str = graph.input[0].name
        (self._output,) = [value.name for value in graph.output]
        self._steps: list[_Step] = []
        self._attributes: dict[str, str] = {}
        opset = opset_of(model)
        used = {name for node in graph.node for name in node.input} | {self._output}
        for proto in graph.node:
            outputs = tuple(proto.output)
            while len(outputs) > 1 and outputs[-1] not in used:
                outputs = outputs[:-1]
            settings = {a.name: _attribute(a) for a in proto.attribute}
            node = Node(proto.op_type, proto.name or proto.output[0], opset, settings, len(outputs))
            self._add(node, list(proto.input), outputs)
        kept = {name for step in self._steps for kind, name in step.inputs if kind == "array"} | {self._output}
        self._arrays = {name: values for name, values in self._arrays.items() if name in kept}
        self.eval()

    def _add(self, node: Node, inputs: list[str], outputs: tuple[str, ...]) -> None:
        """Fold a node if all its inputs are constants, else remember it."""
        known = all(name in self._arrays for name in inputs if name)
        entry = OPERATORS[node.operator]
        if known:
            values: list[Value] = [None if not name else self._arrays[name] for name in inputs]
            with torch.no_grad():
                tensors = [v if v is None or i in entry.static else as_tensor(v) for i, v in enumerate(values)]
                result = entry.function(node, *tensors)
            for name, value in zip(outputs, result if isinstance(result, tuple) else (result,), strict=False):
                folded = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
                self._arrays[name] = folded.astype(np.int64) if folded.dtype == object else folded
            return
        places: list[tuple[str, str]] = []
        for position, name in enumerate(inputs):
            if not name:
                places.append(("", ""))
            elif name not in self._arrays:
                places.append(("value", name))
            elif position in entry.static | entry.prefers or (entry.shapes and self._is_length(name)):
                places.append(("array", name))
            else:
                places.append(("weight", self._weight(name)))
        self._steps.append(_Step(node, tuple(places), outputs))

    def _is_length(self, name: str) -> bool:
        values = self._arrays[name]
        return values.dtype.kind in "iub" and values.size <= _FEW

    def _weight(self, name: str) -> str:
        """Register a constant as a parameter; its attribute's name."""
        if name not in self._attributes:
            label = re.sub(r"\W+", "_", name).strip("_") or "weight"
            label = f"w_{label}" if not label[0].isalpha() or hasattr(self, label) else label
            while hasattr(self, label):
                label += "_"
            values = as_tensor(self._arrays[name])
            if values.is_floating_point():
                self.register_parameter(label, nn.Parameter(values, requires_grad=False))
            else:
                self.register_buffer(label, values)
            self._attributes[name] = label
        return self._attributes[name]

    def forward(self, picture: Tensor) -> Tensor:
        """The network's output, (n, dim), for its input (n, ...)."""
        values: dict[str, Value] = {self._input: picture}
        for step in self._steps:
            entry = OPERATORS[step.node.operator]
            inputs = [self._input_of(place, values) for place in step.inputs]
            if entry.shapes is not None and _only_lengths(step, inputs):
                plain = [v if v is None else v.astype(object) for v in inputs]
                result = entry.shapes(step.node, *plain)
            else:
                result = entry.function(step.node, *self._as_wanted(step, inputs, values))
            results = result if isinstance(result, tuple) else (result,)
            values.update(zip(step.outputs, results, strict=False))
        output: Tensor = as_tensor(values[self._output] if self._output in values else self._arrays[self._output])
        return output

    def _input_of(self, place: tuple[str, str], values: dict[str, Value]) -> Value:
        kind, name = place
        if kind == "array":
            return self._arrays[name]
        if kind == "weight":
            return getattr(self, name)
        return values[name] if kind else None

    def _as_wanted(self, step: _Step, inputs: list[Value], values: dict[str, Value]) -> list[Value]:
        """Arrays where the operator needs to know numbers beforehand, tensors elsewhere."""
        entry = OPERATORS[step.node.operator]
        wanted: list[Value] = []
        for position, value in enumerate(inputs):
            if position in entry.static and isinstance(value, Tensor):
                raise step.node.refuse("takes a shape or a setting that depends on the picture")
            keeps = position in entry.static | entry.prefers or value is None or step.node.operator in ("Shape", "Size")
            # A length that meets real numbers takes their type, which the operator decides.
            open_length = isinstance(value, np.ndarray) and value.dtype == object
            wanted.append(value if keeps or open_length else as_tensor(value))
        return wanted


def _only_lengths(step: _Step, inputs: list[Value]) -> bool:
    """Whether a node computes with lengths of axes alone."""
    given = [value for value in inputs if value is not None]
    lengths = [
        v for (kind, _), v in zip(step.inputs, inputs, strict=True) if kind == "value" and isinstance(v, np.ndarray)
    ]
    return bool(lengths) and all(isinstance(value, np.ndarray) for value in given)


def _attribute(attribute: Any) -> Any:
    onnx = import_onnx()
    value = onnx.helper.get_attribute_value(attribute)
    return array(value) if isinstance(value, onnx.TensorProto) else value


def onnx_to_torch(content: bytes) -> nn.Module:
    """Translate a float ONNX network to torch, for formats that are made from torch.

    The module takes what the file takes and traces with torch.export, with an open batch where the graph allows it.

    Args:
        content: an .onnx file with one input and one output, weights inside.

    Raises:
        BundleError: no ONNX model.
        ExportError: an operator that is not translated, named with its node; several inputs or outputs.
    """
    model = parse(content, "the network")
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise ExportError(
            f"a backbone has one input and one output; this network has {len(inputs)} and {len(model.graph.output)}. "
            "Cut it at its embedding first"
        )
    # Old files list their weights among the inputs; folding gives some of them other names.
    for value in [value for value in model.graph.input if value.name in weights]:
        model.graph.input.remove(value)
    prepare(model)
    strangers = [n for n in model.graph.node if n.op_type not in OPERATORS or n.domain not in STANDARD_DOMAINS]
    if strangers:
        kinds = sorted({f"{node.domain}::{node.op_type}" if node.domain else node.op_type for node in strangers})
        first = strangers[0]
        raise ExportError(
            f"an .onnx file becomes TFLite by way of torch, which knows {len(OPERATORS)} operators; not among them: "
            f"{', '.join(kinds)} (first at node {first.name or first.output[0]!r}). "
            "Export the network without it, or leave the TFLite formats out"
        )
    try:
        return OnnxModule(model)
    except (RuntimeError, TypeError, IndexError, AttributeError) as error:  # torch refuses a constant's shape
        raise ExportError(
            f"the constants of an .onnx file must fit together; {first_line(error)}. Export it again"
        ) from None
