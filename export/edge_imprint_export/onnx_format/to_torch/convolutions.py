"""Convolutions and pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edge_imprint_export.onnx_format.to_torch.registry import Node, operator

_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_CONV_TRANSPOSE = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def _per_axis(node: Node, name: str, count: int, default: int = 1) -> list[int]:
    return [int(v) for v in node.get(name) or [default] * count]


def _pads(
    node: Node, x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    """Padding before and after each axis of space."""
    count = len(kernel)
    how = str(node.get("auto_pad", "NOTSET"))
    if how in ("NOTSET", ""):
        pads = [int(p) for p in node.get("pads") or [0] * 2 * count]
        return list(zip(pads[:count], pads[count:], strict=True))
    if how == "VALID":
        return [(0, 0)] * count
    result = []
    for length, size, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        places = -(-int(length) // stride)
        total = max((places - 1) * stride + dilation * (size - 1) + 1 - int(length), 0)
        less = total // 2
        result.append((less, total - less) if how == "SAME_UPPER" else (total - less, less))
    return result


def _flat(pads: Sequence[tuple[int, int]]) -> list[int]:
    """In the order of functional.pad: the last axis first."""
    return [amount for pair in reversed(pads) for amount in pair]


@operator("Conv")
def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    count = x.ndim - 2
    strides, dilations = _per_axis(node, "strides", count), _per_axis(node, "dilations", count)
    pads = _pads(node, x, weight.shape[2:], strides, dilations)
    if any(before != after for before, after in pads):
        x, pads = functional.pad(x, _flat(pads)), [(0, 0)] * count
    even = [before for before, _ in pads]
    return _CONV[count](x, weight, bias, strides, even, dilations, int(node.get("group", 1)))


@operator("ConvTranspose")
def _conv_transpose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    count = x.ndim - 2
    strides, dilations = _per_axis(node, "strides", count), _per_axis(node, "dilations", count)
    extra = _per_axis(node, "output_padding", count, 0)
    kernel = weight.shape[2:]
    reach = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, kernel, strict=True)]
    how, wanted = str(node.get("auto_pad", "NOTSET")), node.get("output_shape")
    if wanted is not None or how.startswith("SAME"):
        sizes = (
            wanted[-count:] if wanted is not None else [int(n) * s for n, s in zip(x.shape[2:], strides, strict=True)]
        )
        pads = []
        for length, stride, size, more, target in zip(x.shape[2:], strides, reach, extra, sizes, strict=True):
            total = max(stride * (int(length) - 1) + more + size - int(target), 0)
            half = total // 2
            pads.append((half, total - half) if how == "SAME_UPPER" else (total - half, half))
    else:
        pads = _pads(node, x, kernel, strides, dilations)
    group = int(node.get("group", 1))
    transposed = _CONV_TRANSPOSE[count]
    if all(before == after for before, after in pads) and all(
        m < max(s, d) for m, s, d in zip(extra, strides, dilations, strict=True)
    ):
        return transposed(x, weight, bias, strides, [before for before, _ in pads], extra, group, dilations)
    # torch pads both ends alike: computed without padding, extended at the end, and cut.
    y = functional.pad(
        transposed(x, weight, None, strides, 0, 0, group, dilations), _flat([(0, more) for more in extra])
    )
    index: list[Any] = [slice(None), slice(None)]
    index += [slice(before, int(n) - after) for (before, after), n in zip(pads, y.shape[2:], strict=True)]
    y = y[tuple(index)]
    return y if bias is None else y + bias.reshape(-1, *[1] * count)


@operator("GlobalAveragePool")
def _global_average_pool(node: Node, x: Tensor) -> Tensor:
    # The form that every converter recognises.
    return functional.adaptive_avg_pool2d(x, 1) if x.ndim == 4 else x.mean(tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def _global_max_pool(node: Node, x: Tensor) -> Tensor:
    return functional.adaptive_max_pool2d(x, 1) if x.ndim == 4 else x.amax(tuple(range(2, x.ndim)), keepdim=True)


@operator("MaxPool")
def _max_pool(node: Node, x: Tensor) -> Tensor:
    count = x.ndim - 2
    if node.outputs > 1 or count not in (1, 2, 3):
        raise node.refuse("also gives the positions of the largest values")
    kernel, strides = _per_axis(node, "kernel_shape", count), _per_axis(node, "strides", count)
    dilations, ceil = _per_axis(node, "dilations", count), bool(node.get("ceil_mode", 0))
    pads = _pads(node, x, kernel, strides, dilations)
    function = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}[count]
    even = all(before == after for before, after in pads)
    if even and all(2 * before <= size for (before, _), size in zip(pads, kernel, strict=True)):
        return function(x, kernel, strides, [before for before, _ in pads], dilations, ceil)
    if ceil:
        pads = _with_ceil(x, kernel, strides, dilations, pads)
    return function(functional.pad(x, _flat(pads), value=-math.inf), kernel, strides, 0, dilations)


def _with_ceil(
    x: Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """More padding at the end, so that rounding down counts as many places as rounding up would have."""
    more = []
    for length, size, stride, dilation, (before, after) in zip(
        x.shape[2:], kernel, strides, dilations, pads, strict=True
    ):
        full, reach = int(length) + before + after, dilation * (size - 1) + 1
        places = -(-(full - reach) // stride) + 1
        if (places - 1) * stride >= int(length) + before:  # a window that starts in the padding does not count
            places -= 1
        more.append((before, after + max((places - 1) * stride + reach - full, 0)))
    return more


@operator("AveragePool")
def _average_pool(node: Node, x: Tensor) -> Tensor:
    count = x.ndim - 2
    kernel, strides = _per_axis(node, "kernel_shape", count), _per_axis(node, "strides", count)
    dilations, ceil = _per_axis(node, "dilations", count), bool(node.get("ceil_mode", 0))
    if any(d != 1 for d in dilations) or count not in (1, 2, 3):
        raise node.refuse("is dilated")
    with_padding = bool(node.get("count_include_pad", 0))
    pads = _pads(node, x, kernel, strides, dilations)
    nothing = all(pair == (0, 0) for pair in pads)
    if nothing and not ceil and list(kernel) == [int(n) for n in x.shape[2:]] and count == 2:
        return functional.adaptive_avg_pool2d(x, 1)
    function = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}[count]
    if nothing and not ceil:
        return function(x, kernel, strides)
    whole = _with_ceil(x, kernel, strides, dilations, pads) if ceil else pads
    if with_padding and whole == pads:
        return function(functional.pad(x, _flat(pads)), kernel, strides)
    # Sums divided by how many places of the picture, or of its padding, each window saw.
    mean = function(functional.pad(x, _flat(whole)), kernel, strides)
    return mean * torch.from_numpy(_shares(x, kernel, strides, pads, whole, with_padding))


def _shares(
    x: Tensor,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    whole: Sequence[tuple[int, int]],
    with_padding: bool,
) -> Any:
    """Size of the kernel / places counted, for each window: shape (1, 1, *space)."""
    shares = np.ones((1, 1), np.float64)
    result: Any = shares
    for i, (length, size, stride) in enumerate(zip(x.shape[2:], kernel, strides, strict=True)):
        counted = np.ones(int(length))
        counted = np.pad(counted, pads[i], constant_values=1.0 if with_padding else 0.0)
        counted = np.pad(counted, (0, whole[i][1] - pads[i][1]))
        starts = range(0, len(counted) - size + 1, stride)
        share = size / np.array([counted[s : s + size].sum() for s in starts])
        result = result[..., None] * share
    return result.astype(np.float32)
