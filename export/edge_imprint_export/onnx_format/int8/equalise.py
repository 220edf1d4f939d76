"""Cross-layer equalisation: channels of one tensor brought to similar ranges, so that one scale fits them all.

A tensor's channel c is divided by s_c where it is made and its readers' weights are multiplied by s_c. That leaves
the network as it is wherever what lies between is linear or a ReLU (Nagel et al. 2019, arXiv 1906.04721). A clipped
ReLU is neither: a channel that stayed far below the bound on the calibration pictures need not do so on others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import Graph
from .plan import is_layer

Array = NDArray[np.float64]
LINEAR = frozenset(["Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool"])
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
# A channel that stayed small on the calibration pictures may be larger on others, and is clipped then: it is magnified
# less than its range allows. On the default backbone and 600 other pictures the least cosine was 0.986 with 0.05,
# 0.996 with 0.5; the mean did not differ.
FLOOR = 0.5


@dataclass
class Channels:
    """What one tensor's channels were seen to do: arrays (channels,)."""

    low: Array
    high: Array
    power: Array
    shape: tuple[int, ...]


@dataclass
class _Group:
    tensors: list[str] = field(default_factory=list)
    writers: list[Any] = field(default_factory=list)
    readers: list[Any] = field(default_factory=list)


def equalise(graph: Graph, seen: Mapping[str, Channels]) -> int:
    """Rescale channels in `graph.constants` where that lowers the expected error of 8 bits; the groups rescaled."""
    changed = 0
    for group in _groups(graph, seen):
        scale = _best(graph, group, seen)
        if scale is None:
            continue
        changed += 1
        for node in group.writers:
            _multiply(graph, node, 1, _column(graph, node, 1 / scale))
            if len(node.input) > 2 and node.input[2]:
                _multiply(graph, node, 2, 1 / scale)
        for node in group.readers:
            _multiply(graph, node, 1, _row(graph, node, scale))
    return changed


def _multiply(graph: Graph, node: Any, i: int, factor: Array) -> None:
    """Replace a node's constant by a copy of its own times `factor`."""
    name = f"{node.name}_{('', 'weight', 'bias')[i]}_equalised"
    graph.constants[name] = (graph.constants[node.input[i]].astype(np.float64) * factor).astype(np.float32)
    node.input[i] = name


def _column(graph: Graph, node: Any, scale: Array) -> Array:
    """A factor per output channel, in the shape of the weights."""
    weights = graph.constants[node.input[1]]
    if node.op_type == "Gemm" and not graph.attribute(node, "transB", 0):
        return scale[None, :]
    return scale.reshape(-1, *[1] * (weights.ndim - 1))


def _row(graph: Graph, node: Any, scale: Array) -> Array:
    """A factor per input channel, in the shape of the weights; groups see their own channels only."""
    weights = graph.constants[node.input[1]]
    if node.op_type == "Gemm":
        return scale[None, :] if graph.attribute(node, "transB", 0) else scale[:, None]
    groups = graph.attribute(node, "group", 1)
    own = np.repeat(scale.reshape(groups, -1), weights.shape[0] // groups, axis=0)
    return own.reshape(*own.shape, *[1] * (weights.ndim - 2))


def _groups(graph: Graph, seen: Mapping[str, Channels]) -> list[_Group]:
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    frozen = {graph.input, graph.output}
    for node in graph.nodes:
        data = [n for n in node.input if n and n not in graph.constants]
        if is_layer(graph, node) and node.op_type != "MatMul":
            continue
        same = _tied(graph, node, data, seen)
        for name in same[1:]:
            parent[find(name)] = find(same[0])
        frozen.update(n for n in (*data, *node.output) if n not in same)
    groups: dict[str, _Group] = {}
    bad = {find(name) for name in frozen}
    for node in graph.nodes:
        layer = is_layer(graph, node) and node.op_type != "MatMul"
        for name in node.output:
            if name in seen and find(name) not in bad:
                group = groups.setdefault(find(name), _Group())
                group.tensors.append(name)
                if layer:
                    group.writers.append(node)
        if layer and node.input[0] in seen and find(node.input[0]) not in bad:
            groups.setdefault(find(node.input[0]), _Group()).readers.append(node)
    return [g for g in groups.values() if g.writers and g.readers and _matches(graph, g, seen)]


def _tied(graph: Graph, node: Any, data: list[str], seen: Mapping[str, Channels]) -> list[str]:
    """The tensors of a node that can only be rescaled together; the rest of its tensors cannot be rescaled."""
    shapes = [seen[n].shape if n in seen else () for n in (*data, *node.output[:1])]
    if () in shapes or len(node.output) != 1:
        return []
    bounds = graph.clip_bounds(node)
    if node.op_type in LINEAR or bounds == (0.0, math.inf):
        return [data[0], node.output[0]]
    if node.op_type == "Add" and len(data) == 2 and shapes[0] == shapes[1]:
        return [*data, node.output[0]]
    if node.op_type in ("Flatten", "Reshape", "Squeeze") and shapes[0][1:2] == shapes[1][1:] and shapes[0][0] == 1:
        return [data[0], node.output[0]]
    if node.op_type == "Mul" and len(data) == 2 and all(len(s) == 4 for s in shapes):
        gates = [i for i in (0, 1) if shapes[i][2:] == (1, 1) and shapes[1 - i][2:] != (1, 1)]
        if len(gates) == 1 and shapes[0][1] == shapes[1][1]:
            return [data[1 - gates[0]], node.output[0]]
    return []


def _matches(graph: Graph, group: _Group, seen: Mapping[str, Channels]) -> bool:
    """Whether every tensor and every layer of a group has the same number of channels."""
    channels = len(seen[group.tensors[0]].low)
    return all(len(seen[n].low) == channels for n in group.tensors) and all(
        _row_matrix(graph, node, channels) is not None for node in group.readers
    )


def _row_matrix(graph: Graph, node: Any, channels: int) -> Array | None:
    """Weights as (outputs, inputs, taps); a depthwise layer as (outputs, 1, taps)."""
    weights = graph.constants[node.input[1]].astype(np.float64)
    if node.op_type == "Gemm":
        weights = weights if graph.attribute(node, "transB", 0) else weights.T
    groups = graph.attribute(node, "group", 1)
    fits = weights.shape[1] * groups == channels
    return weights.reshape(*weights.shape[:2], -1) if fits else None


def _best(graph: Graph, group: _Group, seen: Mapping[str, Channels]) -> Array | None:
    """The scales (channels,) of least expected error among powers of the channels' ranges; None for no change."""
    reach = [np.maximum(-seen[n].low, seen[n].high) for n in group.tensors]
    reach = [r / r.max() for r in reach if r.max() > 0]
    if not reach:
        return None
    common = np.exp(np.mean([np.log(np.maximum(r, FLOOR)) for r in reach], axis=0))
    common /= common.max()
    costs = [_cost(graph, group, seen, common**power) for power in POWERS]
    best = int(np.argmin(costs))
    return common ** POWERS[best] if costs[best] < 0.98 * costs[0] else None


def _cost(graph: Graph, group: _Group, seen: Mapping[str, Channels], scale: Array) -> float:
    """Error power of rounding the group's tensors and its readers' weights, relative to each reader's signal."""
    steps = []
    for name in group.tensors:
        high, low = float((seen[name].high / scale).max()), float((seen[name].low / scale).min())
        steps.append(((max(high, 0.0) - min(low, 0.0)) / 255) ** 2)
    step, total = float(np.mean(steps)), 0.0
    for node in group.readers:
        weights = _row_matrix(graph, node, len(scale))
        assert weights is not None
        power = seen[node.input[0]].power
        groups = graph.attribute(node, "group", 1)
        own = np.repeat(power.reshape(groups, -1), len(weights) // groups, axis=0)
        factor = np.repeat(scale.reshape(groups, -1), len(weights) // groups, axis=0)
        scaled = weights * factor[:, :, None]
        signal = float((weights**2 * own[:, :, None]).sum())
        if signal > 0:
            rounding = (np.abs(scaled).max((1, 2)) / 127) ** 2 @ (own / factor**2).sum(1) * weights.shape[2]
            total += (step * float((scaled**2).sum()) + float(rounding)) / signal
    return total
