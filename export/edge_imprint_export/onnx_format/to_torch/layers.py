"""Matrix products, norms, softmax and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_imprint_export.onnx_format.to_torch.registry import Node, Value, as_tensor, axes_of, operator


@operator("MatMul")
def _matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


@operator("Linear")
def _linear(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What `prepare` makes of Gemm and MatMul with constant weights; weight (out, in)."""
    if x.ndim <= 3:
        return functional.linear(x, weight, bias)
    # One long list of rows: the converter to TFLite trips over a product with a map of one place.
    rows = functional.linear(x.reshape(-1, x.shape[-1]), weight, bias)
    return rows.reshape((*x.shape[:-1], weight.shape[0]))


@operator("Gemm")
def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if node.get("transA", 0) else a
    product = float(node.get("alpha", 1.0)) * (a @ (b.t() if node.get("transB", 0) else b))
    return product if c is None else product + float(node.get("beta", 1.0)) * c


@operator("Einsum")
def _einsum(node: Node, *inputs: Value) -> Tensor:
    return torch.einsum(str(node.get("equation")), *[as_tensor(x) for x in inputs])


@operator("BatchNormalization")
def _batch_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    if node.get("training_mode", 0):
        raise node.refuse("is in training mode")
    return functional.batch_norm(x, mean, variance, scale, shift, False, 0.0, float(node.get("epsilon", 1e-5)))


@operator("InstanceNormalization")
def _instance_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=shift, eps=float(node.get("epsilon", 1e-5)))


@operator("GroupNormalization")
def _group_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    groups, channels = int(node.get("num_groups")), int(x.shape[1])
    if scale.shape[0] != channels:  # before operator set 21: one number for each group
        scale, shift = (v.repeat_interleave(channels // groups) for v in (scale, shift))
    return functional.group_norm(x, groups, scale, shift, float(node.get("epsilon", 1e-5)))


@operator("LayerNormalization")
def _layer_norm(node: Node, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    if node.outputs > 1:
        raise node.refuse("also gives mean and deviation")
    axis = int(node.get("axis", -1)) % x.ndim
    shape = [int(n) for n in x.shape[axis:]]
    return functional.layer_norm(
        x, shape, scale.expand(shape), None if shift is None else shift.expand(shape), float(node.get("epsilon", 1e-5))
    )


@operator("LpNormalization")
def _lp_norm(node: Node, x: Tensor) -> Tensor:
    axis = int(node.get("axis", -1))
    squared = int(node.get("p", 2)) == 2
    length = torch.sqrt((x * x).sum(axis, keepdim=True)) if squared else x.abs().sum(axis, keepdim=True)
    return x / length


@operator("LRN")
def _local_response_norm(node: Node, x: Tensor) -> Tensor:
    settings = (float(node.get(name, default)) for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    return functional.local_response_norm(x, int(node.get("size")), *settings)


@operator("Softmax", "LogSoftmax")
def _softmax(node: Node, x: Tensor) -> Tensor:
    function = torch.softmax if node.operator == "Softmax" else torch.log_softmax
    if node.opset >= 13:
        return function(x, int(node.get("axis", -1)))
    axis = int(node.get("axis", 1)) % x.ndim
    if axis == x.ndim - 1:
        return function(x, -1)
    # Before operator set 13: over all axes from this one on.
    return function(x.flatten(axis), -1).reshape(x.shape)


def _l2(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.sqrt((x * x).sum(axes, keepdim=keep))


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


_REDUCTIONS: dict[str, Callable[[Tensor, tuple[int, ...], bool], Tensor]] = {
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "ReduceProd": _product,
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keepdim=keep),
    "ReduceL2": _l2,
    "ReduceSumSquare": lambda x, axes, keep: (x * x).sum(axes, keepdim=keep),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep),
}


@operator(*_REDUCTIONS, static=[1])
def _reduce(node: Node, x: Tensor, axes: NDArray[Any] | None = None) -> Tensor:
    chosen = axes_of(node, axes)
    if not chosen:
        if node.get("noop_with_empty_axes", 0):
            return x
        chosen = list(range(x.ndim))
    places = tuple(sorted(axis % x.ndim for axis in chosen))
    keep = bool(node.get("keepdims", 1))
    if node.operator == "ReduceMean" and x.ndim == 4 and places == (2, 3):
        pooled = functional.adaptive_avg_pool2d(x, 1)  # the form that every converter recognises
        return pooled if keep else pooled.flatten(1)
    return _REDUCTIONS[node.operator](x, places, keep)


@operator("ArgMax", "ArgMin")
def _arg(node: Node, x: Tensor) -> Tensor:
    if node.get("select_last_index", 0):
        raise node.refuse("selects the last of several")
    function = torch.argmax if node.operator == "ArgMax" else torch.argmin
    return function(x, int(node.get("axis", 0)), keepdim=bool(node.get("keepdims", 1)))


@operator("CumSum", static=[1])
def _cumulative_sum(node: Node, x: Tensor, axis: NDArray[Any]) -> Tensor:
    if node.get("exclusive", 0) or node.get("reverse", 0):
        raise node.refuse("is exclusive or reversed")
    return x.cumsum(int(axis.reshape(())))
