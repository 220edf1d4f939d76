"""Operators that move numbers about, and those that compute where to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_imprint_export.onnx_format.proto import import_onnx
from edge_imprint_export.onnx_format.to_torch.registry import (
    Node,
    Value,
    as_tensor,
    axes_of,
    lengths,
    on_shapes,
    operator,
)

# Up to so many values are kept as lengths of axes; more are data.
_FEW = 16


def objects(values: list[Any]) -> NDArray[Any]:
    """An array of int and SymInt."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@operator("Shape")
def _shape(node: Node, x: Value) -> NDArray[Any]:
    axes = list(x.shape)
    end = node.get("end")
    return objects(axes[int(node.get("start", 0)) : None if end is None else int(end)])


@operator("Size")
def _size(node: Node, x: Value) -> NDArray[Any]:
    return np.array(math.prod(x.shape), dtype=object)


@operator("Reshape", static=[1])
def _reshape(node: Node, x: Tensor, shape: NDArray[Any] | None = None) -> Tensor:
    target = lengths(np.asarray(node.get("shape")) if shape is None else shape)
    if not node.get("allowzero", 0):
        target = [x.shape[i] if _is(length, 0) else length for i, length in enumerate(target)]
    # A file made for one picture at once: with -1 it does the same for one, and the right thing for several.
    if len(target) > 1 and _is(target[0], 1) and not any(_is(length, -1) for length in target):
        target[0] = -1
    return x.reshape(target)


def _is(length: Any, number: int) -> bool:
    return isinstance(length, int) and length == number


@operator("Flatten")
def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = int(node.get("axis", 1))
    axis = axis + x.ndim if axis < 0 else axis
    if axis == 1 and x.ndim > 1:
        return x.flatten(1)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Transpose")
def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.get("perm") or list(reversed(range(x.ndim))))


@operator("Squeeze", static=[1])
def _squeeze(node: Node, x: Tensor, axes: NDArray[Any] | None = None) -> Tensor:
    chosen = axes_of(node, axes)
    if chosen is None:
        chosen = [axis for axis in range(x.ndim) if _is(x.shape[axis], 1)]
    return x.squeeze(tuple(axis % x.ndim for axis in chosen)) if chosen else x


@operator("Unsqueeze", static=[1])
def _unsqueeze(node: Node, x: Tensor, axes: NDArray[Any] | None = None) -> Tensor:
    chosen = axes_of(node, axes) or []
    rank = x.ndim + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


@operator("Concat")
def _concat(node: Node, *inputs: Value) -> Tensor:
    return torch.cat([as_tensor(x) for x in inputs], int(node.get("axis", 1)))


@operator("Split", static=[1])
def _split(node: Node, x: Tensor, sizes: NDArray[Any] | None = None) -> tuple[Tensor, ...]:
    axis = int(node.get("axis", 0))
    parts = node.get("split") if sizes is None else lengths(sizes)
    if parts is None:
        count = int(node.get("num_outputs", node.outputs))
        each = -(-int(x.shape[axis]) // count)
        parts = [min(each, int(x.shape[axis]) - i * each) for i in range(count)]
    return torch.split(x, list(parts), axis)


@operator("Slice", static=[1, 2, 3, 4])
def _slice(
    node: Node,
    x: Tensor,
    starts: NDArray[Any] | None = None,
    ends: NDArray[Any] | None = None,
    axes: NDArray[Any] | None = None,
    steps: NDArray[Any] | None = None,
) -> Tensor:
    for axis, start, end, step in _slices(node, x.ndim, starts, ends, axes, steps):
        if step > 0:
            index: list[Any] = [slice(None)] * x.ndim
            index[axis] = slice(start, end, step)
            x = x[tuple(index)]
        else:
            kept = range(int(x.shape[axis]))[start : _before_start(end, int(x.shape[axis])) : step]
            x = x.index_select(axis, torch.tensor(list(kept), dtype=torch.int64))
    return x


def _before_start(end: int, length: int) -> int | None:
    """Where a backward slice ends; an end before the first element means: with the first element."""
    return None if end < -length else end


def _slices(
    node: Node,
    rank: int,
    starts: NDArray[Any] | None,
    ends: NDArray[Any] | None,
    axes: NDArray[Any] | None,
    steps: NDArray[Any] | None,
) -> list[tuple[int, Any, Any, int]]:
    first = lengths(np.asarray(node.get("starts")) if starts is None else starts)
    last = lengths(np.asarray(node.get("ends")) if ends is None else ends)
    chosen = axes_of(node, axes) or list(range(len(first)))
    strides = [1] * len(first) if steps is None else [int(step) for step in lengths(steps)]
    return [(axis % rank, a, b, c) for axis, a, b, c in zip(chosen, first, last, strides, strict=True)]


@operator("Gather", prefers=[1])
def _gather(node: Node, x: Value, index: Value) -> Tensor:
    data = as_tensor(x)
    axis = int(node.get("axis", 0)) % data.ndim
    if isinstance(index, np.ndarray) and index.dtype != object:
        if index.ndim == 0:
            return data.select(axis, int(index))
        index = np.where(index < 0, index + int(data.shape[axis]), index)
    where = as_tensor(index).to(torch.int64)
    picked = data.index_select(axis, where.reshape(-1))
    return picked.reshape((*data.shape[:axis], *where.shape, *data.shape[axis + 1 :]))


@operator("Expand", static=[1])
def _expand(node: Node, x: Tensor, shape: NDArray[Any]) -> Tensor:
    target = lengths(shape)
    target = [1] * (x.ndim - len(target)) + target
    missing = len(target) - x.ndim
    return x.expand(
        [x.shape[i - missing] if _is(length, 1) and i >= missing else length for i, length in enumerate(target)]
    )


@operator("Tile", static=[1])
def _tile(node: Node, x: Tensor, repeats: NDArray[Any]) -> Tensor:
    return x.repeat(lengths(repeats))


@operator("ConstantOfShape", static=[0])
def _constant_of_shape(node: Node, shape: NDArray[Any]) -> Value:
    value = node.get("value")
    fill = np.zeros(1, np.float32) if value is None else np.asarray(value)
    target = lengths(shape)
    if fill.dtype.kind in "iu" and len(target) <= 1 and all(isinstance(n, int) and n <= _FEW for n in target):
        return np.full(target, int(fill.reshape(())), dtype=object)
    return torch.full(target, fill.reshape(()).item(), dtype=torch.from_numpy(fill.copy()).dtype)


@operator("Range", static=[0, 1, 2])
def _range(node: Node, start: NDArray[Any], limit: NDArray[Any], delta: NDArray[Any]) -> Value:
    values = [np.asarray(v).reshape(()).item() for v in (start, limit, delta)]
    if any(isinstance(v, torch.SymInt) for v in values):
        raise node.refuse("counts up to the number of pictures")
    return np.arange(*values, dtype=np.int64 if all(isinstance(v, int) for v in values) else np.float32)


@operator("Cast", "CastLike")
def _cast(node: Node, x: Value, like: Value = None) -> Tensor:
    if node.operator == "CastLike":
        return as_tensor(x).to(as_tensor(like).dtype)
    kind = import_onnx().helper.tensor_dtype_to_np_dtype(int(node.get("to")))
    return as_tensor(x).to(torch.from_numpy(np.zeros(1, kind)).dtype)


@operator("Pad", static=[1, 2, 3])
def _pad(
    node: Node,
    x: Tensor,
    pads: NDArray[Any] | None = None,
    value: NDArray[Any] | None = None,
    axes: NDArray[Any] | None = None,
) -> Tensor:
    amounts = [int(p) for p in (node.get("pads", node.get("paddings")) if pads is None else lengths(pads))]
    chosen = [a % x.ndim for a in (lengths(axes) if axes is not None else range(x.ndim))]
    fill = float(node.get("value", 0.0)) if value is None or not value.size else float(value.reshape(()))
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(chosen):
        before[axis], after[axis] = amounts[i], amounts[i + len(chosen)]
    padded = [axis for axis in range(x.ndim) if before[axis] or after[axis]]
    if not padded:
        return x
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}.get(
        str(node.get("mode", "constant"))
    )
    first = padded[0] if mode == "constant" else 2
    if mode is None or padded[0] < first or (mode != "constant" and x.ndim != 4):
        raise node.refuse(f"has mode {node.get('mode')!r} on axes {padded} of {x.ndim}")
    # torch counts from the last axis.
    flat = [amount for axis in reversed(range(first, x.ndim)) for amount in (before[axis], after[axis])]
    return functional.pad(x, flat, mode, fill) if mode == "constant" else functional.pad(x, flat, mode)


@operator("DepthToSpace")
def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    block = int(node.get("blocksize"))
    if str(node.get("mode", "DCR")) == "CRD":
        return functional.pixel_shuffle(x, block)
    n, channels, height, width = x.shape
    x = x.reshape(n, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, channels // block**2, height * block, width * block)


@operator("SpaceToDepth")
def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    block = int(node.get("blocksize"))
    n, channels, height, width = x.shape
    x = x.reshape(n, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, channels * block**2, height // block, width // block)


@operator("Trilu", static=[1])
def _trilu(node: Node, x: Tensor, k: NDArray[Any] | None = None) -> Tensor:
    diagonal = 0 if k is None else int(k.reshape(()))
    return torch.triu(x, diagonal) if node.get("upper", 1) else torch.tril(x, diagonal)


@on_shapes("Gather")
def _gather_lengths(node: Node, x: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.take(x, index.astype(np.int64), axis=int(node.get("axis", 0))), dtype=object)


@on_shapes("Slice")
def _slice_lengths(node: Node, x: NDArray[Any], *rest: NDArray[Any] | None) -> NDArray[Any]:
    four = [*rest, None, None, None, None][:4]
    for axis, start, end, step in _slices(node, x.ndim, *four):
        index: list[Any] = [slice(None)] * x.ndim
        index[axis] = slice(start, end if step > 0 else _before_start(end, x.shape[axis]), step)
        x = x[tuple(index)]
    return x


@on_shapes("Concat")
def _concat_lengths(node: Node, *inputs: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([np.asarray(x, dtype=object) for x in inputs], axis=int(node.get("axis", 0)))


@on_shapes("Squeeze")
def _squeeze_lengths(node: Node, x: NDArray[Any], axes: NDArray[Any] | None = None) -> NDArray[Any]:
    chosen = axes_of(node, axes)
    return np.squeeze(x, None if chosen is None else tuple(chosen))


@on_shapes("Unsqueeze")
def _unsqueeze_lengths(node: Node, x: NDArray[Any], axes: NDArray[Any] | None = None) -> NDArray[Any]:
    return np.expand_dims(x, tuple(axes_of(node, axes) or ()))


@on_shapes("Reshape")
def _reshape_lengths(node: Node, x: NDArray[Any], shape: NDArray[Any]) -> NDArray[Any]:
    return x.reshape([int(n) for n in lengths(shape)])


@on_shapes("Cast")
def _cast_lengths(node: Node, x: NDArray[Any]) -> NDArray[Any]:
    to_float = int(node.get("to")) in (1, 10, 11, 16)
    change = np.frompyfunc(torch.sym_float if to_float else torch.sym_int, 1, 1)
    return np.asarray(change(x), dtype=object)
