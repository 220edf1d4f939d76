"""Fold what no picture changes: lengths of axes, masks that hide nothing, sums with zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint_export.onnx_format.proto import array, fresh, import_onnx, inferred, lengths, names_in, tensor

# A tensor of lengths: known ones, and None for the open batch.
Partial = list[int | None]
# Longer lists of integers are tables, not lengths.
_FEW = 16


def fold(model: Any) -> None:
    """Replace results that are known beforehand by constants, in place.

    torch writes attention with a mask even where nothing is masked, and computes lengths of axes at run time once one
    axis, the batch, is open. Quantisers and accelerators know few of these operators.
    """
    for _ in range(4):  # each round uncovers a few more: a mask, the sum with it, the softmax's guard
        if not _Folder(model).run():
            return


class _Folder:
    def __init__(self, model: Any) -> None:
        self.graph = model.graph
        self.constants = {weight.name: weight for weight in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        shaped = inferred(model)
        values = (*shaped.value_info, *shaped.input, *shaped.output)
        self.shapes = {value.name: lengths(value) for value in values}
        self.shapes.update({name: tuple(weight.dims) for name, weight in self.constants.items()})
        self.types = {value.name: value.type.tensor_type.elem_type for value in values}
        self.partial: dict[str, Partial] = {}
        self.uniform: dict[str, NDArray[Any]] = {}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.ends = {output.name for output in self.graph.output}
        self.taken = names_in(self.graph)

    def run(self) -> bool:
        """One pass; whether anything changed."""
        changed = False
        for node in list(self.graph.node):
            changed = self._fold(node) or changed
        return changed

    def _fold(self, node: Any) -> bool:
        if len(node.output) != 1 or node.output[0] in self.ends or node.domain:
            return False
        known = self._lengths(node)
        if known is not None:
            self.partial[node.output[0]] = known
            if None not in known:
                values = np.array(known, np.int64)
                return self._replace_by_constant(node, values.reshape(()) if self._is_scalar(node) else values)
        if node.op_type in ("Expand", "Where", "Cast"):
            value = self._one_value(node)
            if value is not None:
                self.uniform[node.output[0]] = value
        return self._drop_neutral(node) or self._drop_guard(node)

    def _static(self, name: str) -> NDArray[Any] | None:
        return array(self.constants[name]) if name in self.constants else None

    def _lengths(self, node: Any) -> Partial | None:
        """What is known of a node's result, where it computes with lengths of axes."""
        if node.op_type == "Shape":
            shape = self.shapes.get(node.input[0])
            if shape is None:
                return None
            ends = {a.name: a.i for a in node.attribute}
            return list(shape)[ends.get("start", 0) : ends.get("end")]
        if node.op_type == "Concat":
            parts = [self._known(name) for name in node.input]
            return [n for part in parts if part is not None for n in part] if None not in parts else None
        source = self._known(node.input[0]) if node.input else None
        if source is None or len(source) > _FEW:
            return None
        others = [self._static(name) if name else None for name in node.input[1:]]
        if node.op_type == "Slice" and len(source) and all(other is not None for other in others):
            start, end = (int(np.asarray(other).reshape(-1)[0]) for other in others[:2])
            step = int(np.asarray(others[3]).reshape(-1)[0]) if len(others) > 3 else 1
            return source[slice(start, end, step)]
        if node.op_type == "Gather" and others[0] is not None:
            return [source[int(i)] for i in others[0].reshape(-1)]
        before = self.shapes.get(node.input[0])
        return source if (node.op_type, before) in (("Unsqueeze", ()), ("Squeeze", (1,))) else None

    def _is_scalar(self, node: Any) -> bool:
        if node.op_type == "Gather":
            index = self._static(node.input[1])
            return index is not None and index.ndim == 0
        return bool(node.op_type == "Squeeze")

    def _known(self, name: str) -> Partial | None:
        if name in self.partial:
            return self.partial[name]
        values = self._static(name)
        if values is None or values.dtype != np.int64 or values.ndim > 1:
            return None
        return [int(value) for value in values.reshape(-1)]

    def _value(self, name: str) -> NDArray[Any] | None:
        """The value that all elements of a tensor have, shape (); None where they differ or are not known."""
        if name in self.uniform:
            return self.uniform[name]
        values = self._static(name)
        if values is None or not values.size or not (values == values.reshape(-1)[0]).all():
            return None
        return np.asarray(values.reshape(-1)[0])

    def _one_value(self, node: Any) -> NDArray[Any] | None:
        if node.op_type == "Expand":
            return self._value(node.input[0])
        if node.op_type == "Cast":
            value = self._value(node.input[0])
            kind = import_onnx().helper.tensor_dtype_to_np_dtype(next(a.i for a in node.attribute if a.name == "to"))
            return None if value is None else value.astype(kind)
        condition = self._value(node.input[0])
        return None if condition is None else self._value(node.input[1 if bool(condition) else 2])

    def _drop_neutral(self, node: Any) -> bool:
        """X + 0 and x * 1 become x, where x has the shape of the result."""
        neutral = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}.get(node.op_type)
        if neutral is None:
            return False
        positions = (1, 0) if node.op_type in ("Add", "Mul") else (1,)
        for position in positions:
            value = self._value(node.input[position])
            if value is None or value != neutral:
                continue
            other = node.input[1 - position]
            # With an open batch on either side, the one that is not a constant has it.
            grows = self._shape_text(other) != self._shape_text(node.output[0])
            if not grows:
                self._forward(node, other)
                return True
        return False

    def _shape_text(self, name: str) -> object:
        shape = self.shapes.get(name)
        return name if shape is None or shape.count(None) > 1 or None in shape[1:] else shape

    def _drop_guard(self, node: Any) -> bool:
        """Where(IsNaN(s), 0, s) of a softmax becomes s, if its scores have no mask.

        torch guards attention against rows that a mask hides as a whole. A scaled product of matrices hides nothing.
        """
        if node.op_type != "Where":
            return False
        guard, softmax = self.makers.get(node.input[0]), self.makers.get(node.input[2])
        if guard is None or guard.op_type != "IsNaN" or softmax is None or softmax.op_type != "Softmax":
            return False
        scores = self.makers.get(softmax.input[0])
        while scores is not None and scores.op_type in ("Mul", "Div"):
            scores = next((self.makers[name] for name in scores.input if name in self.makers), None)
        if scores is None or scores.op_type != "MatMul" or guard.input[0] != node.input[2]:
            return False
        self._forward(node, softmax.output[0])
        return True

    def _forward(self, node: Any, source: str) -> None:
        """Remove a node; who read its result reads `source`."""
        for other in self.graph.node:
            for position, name in enumerate(other.input):
                if name == node.output[0]:
                    other.input[position] = source
        self.graph.node.remove(node)

    def _replace_by_constant(self, node: Any, values: NDArray[Any]) -> bool:
        name = fresh(f"{node.output[0]}_known", self.taken)
        self.graph.initializer.append(tensor(values, name))
        self.constants[name] = self.graph.initializer[-1]
        self.shapes[name] = values.shape
        self._forward(node, name)
        return True
