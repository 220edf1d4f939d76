"""Writing the file: QuantizeLinear and DequantizeLinear nodes about everything that a plan made 8-bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import Graph, packages
from .grid import Grid
from .plan import MOVES, Plan, gate_slope
from .weights import IntegerWeights, steps_of

Steps = tuple[float, int]
GATE_STEPS: Steps = (1 / 255, 0)
FIXED_STEPS: dict[str, Steps] = {"Sigmoid": (1 / 256, 0), "HardSigmoid": GATE_STEPS}


def tensor_steps(graph: Graph, plan: Plan, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Steps]:
    """Scale and zero point of each 8-bit tensor."""
    steps: dict[str, Steps] = {}
    moved = {o: n.input[0] for n in graph.nodes if n.name in plan.nodes and n.op_type in MOVES for o in n.output}
    for name in plan.tensors:
        node = graph.producer.get(name)
        if name in moved:
            steps[name] = steps[moved[name]]
        elif node is not None and node.name in plan.nodes and node.op_type in FIXED_STEPS:
            steps[name] = FIXED_STEPS[node.op_type]
        else:
            steps[name] = steps_of(*ranges[name])
    return steps


class Emitter:
    """Builds one 8-bit file from a graph, a plan and integers for its weights."""

    def __init__(self, graph: Graph, plan: Plan, steps: Mapping[str, Steps], grids: Mapping[str, Grid]) -> None:
        self._onnx, _ = packages()
        self._graph, self._plan, self._steps = graph, plan, steps
        self._grids = grids
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def _constant(self, name: str, value: Any) -> str:
        self._constants[name] = value
        return name

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        made = self._onnx.helper.make_node(operator, inputs, [output], name=f"{output}_node", **attributes)
        self._nodes.append(made)
        return output

    def _pair(self, name: str, steps: Steps) -> list[str]:
        return [
            self._constant(f"{name}_scale", np.float32(steps[0]).reshape(())),
            self._constant(f"{name}_zero_point", np.uint8(steps[1]).reshape(())),
        ]

    def _store(self, source: str, name: str) -> None:
        """Tensor `source` to 8 bits and back, for the readers of `name`."""
        pair = self._pair(name, self._steps[name])
        grid = self._grids.get(name)
        if grid is not None and grid.pixels is not None:
            self._pixels(name, grid, grid.pixels)
        else:
            source = source if grid is None else self._on_grid(source, name, grid)
            self._node("QuantizeLinear", [source, *pair], f"{name}_q")
        self._node("DequantizeLinear", [f"{name}_q", *pair], self._stored(name))

    def _on_grid(self, source: str, name: str, grid: Grid) -> str:
        """Factor and shift of a grid, after the readers' padding where zero is not on the grid."""
        pads = self._padding(name)
        if grid.pads and pads.any():
            source = self._node("Pad", [source, self._constant(f"{name}_pads", pads)], f"{name}_padded")
        shape = (1, -1, 1, 1)
        factor, shift = grid.factor.astype(np.float32), grid.shift.astype(np.float32)
        if not np.allclose(factor, 1.0, rtol=1e-6):
            source = self._node(
                "Mul", [source, self._constant(f"{name}_factor", factor.reshape(shape))], f"{name}_scaled"
            )
        if shift.any():
            source = self._node(
                "Add", [source, self._constant(f"{name}_shift", shift.reshape(shape))], f"{name}_shifted"
            )
        return source

    def _pixels(self, name: str, grid: Grid, moving: Sequence[Any]) -> None:
        """The input's own bytes as an 8-bit tensor; each channel is padded with what is zero there."""
        pads = self._padding(name)
        split = grid.pads and bool(pads.any())
        current, last = self._graph.input, f"{name}_pixels" if split else f"{name}_q"
        for i, node in enumerate(moving):
            output = last if i == len(moving) - 1 else f"{name}_moved_{i}"
            attributes = {a.name: self._graph.attribute(node, a.name, None) for a in node.attribute}
            current = self._node(node.op_type, [current, *node.input[1:]], output, **attributes)
        if current == self._graph.input:
            # One byte tensor may not be both the input and an inner tensor of the same name.
            current = self._node("Identity", [current], last)
        if not split:
            return
        parts = [f"{name}_channel_{c}" for c in range(len(grid.zeros))]
        sizes = self._constant(f"{name}_channels", np.ones(len(parts), np.int64))
        self._nodes.append(self._onnx.helper.make_node("Split", [current, sizes], parts, name=f"{name}_split", axis=1))
        edges = self._constant(f"{name}_pads", pads)
        padded = [
            self._node(
                "Pad", [part, edges, self._constant(f"{part}_zero", np.uint8(zero).reshape(()))], f"{part}_padded"
            )
            for part, zero in zip(parts, grid.zeros, strict=True)
        ]
        self._node("Concat", padded, f"{name}_q", axis=1)

    def _padding(self, name: str) -> NDArray[np.int64]:
        """Padding (8,) of the convolutions that read a tensor in 8 bits; they all have the same."""
        node = next(n for n in self._graph.consumers[name] if n.name in self._plan.nodes)
        pads = self._graph.attribute(node, "pads", [0, 0, 0, 0])
        return np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)

    def _stored(self, name: str) -> str:
        return name if name == self._graph.output and name in self._plan.written else f"{name}_dq"

    def _for_float(self, node: Any, name: str) -> str:
        """An 8-bit tensor as a layer that stays in float reads it.

        With one scale for the tensor onnxruntime (its WeightBiasQuantization) would round the layer's weights to int8
        after all, with one scale for all channels. The same scale given once per channel keeps it from that.
        """
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or node.input[1] not in self._graph.constants:
            return self._stored(name)
        weights = self._graph.constants[node.input[1]]
        turned = node.op_type == "ConvTranspose" or (
            node.op_type == "Gemm" and not self._graph.attribute(node, "transB", 0)
        )
        channels = weights.shape[0] if turned else weights.shape[1] * self._graph.attribute(node, "group", 1)
        scale, zero = self._steps[name]
        output = f"{name}_for_{node.name}"
        pair = [
            self._constant(f"{output}_scale", np.full(channels, scale, np.float32)),
            self._constant(f"{output}_zero_point", np.full(channels, zero, np.uint8)),
        ]
        return self._node("DequantizeLinear", [f"{name}_q", *pair], output, axis=1)

    def _written(self, name: str) -> str:
        """What an 8-bit node's float output is called: the graph's output keeps its name for what is stored."""
        raw = self._plan.written[name]
        return f"{raw}_raw" if raw == self._graph.output else raw

    def content(self, weights: Mapping[str, IntegerWeights]) -> bytes:
        """The file's bytes, given the integers of each 8-bit layer."""
        graph, plan = self._graph, self._plan
        written = {raw: name for name, raw in plan.written.items()}
        if graph.input in self._steps:
            self._store(graph.input, graph.input)
        for node in graph.nodes:
            if node.name in plan.absorbed:
                continue
            copy = type(node)()
            copy.CopyFrom(node)
            eight = node.name in plan.nodes
            for i, name in enumerate(node.input):
                # A tensor that an 8-bit node wrote exists in 8 bits only; others keep their float form beside it.
                if name in self._steps and (eight or name in plan.written):
                    copy.input[i] = self._stored(name) if eight or i else self._for_float(node, name)
            for i, raw in enumerate(node.output):
                if eight and raw in written:
                    copy.output[i] = self._written(written[raw])
            if node.name in weights:
                self._layer(node, copy, weights[node.name])
            elif eight and node.op_type == "HardSwish":
                self._node("Mul", [copy.input[0], self._gate(node, copy.input[0])], copy.output[0])
            elif eight and node.op_type == "HardSigmoid":
                self._gate(node, copy.input[0], self._stored(written[node.output[0]]))
                continue
            else:
                self._nodes.append(copy)
            for raw in node.output:
                if eight and raw in written:
                    self._store(self._written(written[raw]), written[raw])
                elif raw in self._steps:
                    self._store(raw, raw)
        return self._serialise()

    def _layer(self, node: Any, copy: Any, integers: IntegerWeights) -> None:
        """Weights as int8 and a bias as int32, each behind a DequantizeLinear."""
        values, axis = integers.values, 0
        if node.op_type == "MatMul" or (node.op_type == "Gemm" and not self._graph.attribute(node, "transB", 0)):
            values, axis = np.ascontiguousarray(values.T), 1
        base, grid = node.name, self._grids.get(node.input[0])
        if grid is not None and grid.pads:
            kept = [a for a in copy.attribute if a.name != "pads"]
            del copy.attribute[:]
            copy.attribute.extend(kept)
        scale = self._constant(f"{base}_weight_scale", integers.scale)
        zero = self._constant(f"{base}_weight_zero_point", np.zeros(len(integers.scale), np.int8))
        stored = self._constant(f"{base}_weight_q", values)
        copy.input[1] = self._node("DequantizeLinear", [stored, scale, zero], f"{base}_weight_dq", axis=axis)
        if node.name in self._plan.stored:
            self._float_bias(copy, base, integers)
        elif node.op_type != "MatMul":
            input_scale = np.float32(self._steps[node.input[0]][0])
            scale = self._constant(f"{base}_bias_scale", (integers.scale * input_scale).astype(np.float32))
            zero = self._constant(f"{base}_bias_zero_point", np.zeros(len(integers.scale), np.int32))
            stored = self._constant(f"{base}_bias_q", integers.integer_bias(float(input_scale)))
            del copy.input[2:]
            copy.input.append(self._node("DequantizeLinear", [stored, scale, zero], f"{base}_bias_dq", axis=0))
        self._nodes.append(copy)

    def _float_bias(self, copy: Any, base: str, integers: IntegerWeights) -> None:
        if copy.op_type == "Gemm":
            del copy.input[2:]
            copy.input.append(self._constant(f"{base}_bias", integers.bias.astype(np.float32)))

    def _gate(self, node: Any, x: str, output: str = "") -> str:
        """clip(alpha x + beta, 0, 1) by 8-bit addition: x + beta / alpha saturates to 0 .. 1 / alpha.

        The same bytes read with the scale 1 / 255 are the wanted 0 .. 1; HardSwish is x times that.
        """
        alpha, beta = gate_slope(self._graph, node)
        base = node.name
        shift = self._constant(f"{base}_shift_q", np.uint8(255).reshape(()))
        shift = self._node(
            "DequantizeLinear", [shift, *self._pair(f"{base}_shift", (beta / alpha / 255, 0))], f"{base}_shift_dq"
        )
        total = self._node("Add", [x, shift], f"{base}_sum")
        stored = self._node(
            "QuantizeLinear", [total, *self._pair(f"{base}_sum", (1 / alpha / 255, 0))], f"{base}_sum_q"
        )
        return self._node(
            "DequantizeLinear", [stored, *self._pair(f"{base}_gate", GATE_STEPS)], output or f"{base}_gate_dq"
        )

    def _serialise(self) -> bytes:
        onnx, source = self._onnx, self._graph.model
        needed, kept = {self._graph.output}, list[Any]()
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.insert(0, node)
        self._nodes = kept
        used = {name for node in self._nodes for name in node.input}
        constants = {**self._graph.constants, **self._constants}
        model = onnx.ModelProto(ir_version=min(source.ir_version, 10), producer_name="edge-imprint")
        domains = {"" if n.domain == "ai.onnx" else n.domain for n in self._nodes}
        model.opset_import.extend(
            o for o in source.opset_import if ("" if o.domain == "ai.onnx" else o.domain) in domains
        )
        model.graph.name = "backbone"
        model.graph.input.extend(v for v in source.graph.input if v.name == self._graph.input)
        model.graph.output.extend(source.graph.output)
        for value in (*model.graph.input, *model.graph.output):
            del value.metadata_props[:]
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used
        )
        model.graph.node.extend(self._nodes)
        return bytes(model.SerializeToString(deterministic=True))
