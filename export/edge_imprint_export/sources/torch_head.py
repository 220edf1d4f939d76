"""The classifier at the end of a graph, and what it sees."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import fx

from edge_imprint_export.sources.torch_graph import shape_of
from edge_imprint_export.sources.torch_simplify import attribute

aten = torch.ops.aten

_SOFTMAX = (
    aten.softmax.int,
    aten._softmax.default,
    aten.log_softmax.int,
    aten._log_softmax.default,
    aten.sigmoid.default,
)
_RESHAPING = (
    aten.view.default,
    aten._unsafe_view.default,
    aten.reshape.default,
    aten.flatten.using_ints,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten.permute.default,
    aten.clone.default,
    aten.alias.default,
    aten.dropout.default,
    aten.contiguous.default,
)
_POOLING = (aten.adaptive_avg_pool2d.default, aten.avg_pool2d.default, aten.mean.dim)
_TRANSPOSING = (aten.t.default, aten.permute.default, aten.transpose.int)
_CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding, aten.convolution.default)
_PRODUCTS = (aten.mm.default, aten.matmul.default, aten.addmm.default)

_CLASSIFIER = re.compile(r"(^|[._])(classifier|head|fc|logits|predictions?|classification)(\d*)([._]|$)", re.I)
_EMBEDDING = re.compile(r"embed|proj|neck|pooler|feat(ure)?$", re.I)


def find_head(module: fx.GraphModule, node: fx.Node) -> tuple[str, fx.Node] | None:
    """The classifier that a network ends in.

    Args:
        module: holds the graph.
        node: the network's output.

    Returns:
        Name of the classifier's layer, and the node that it sees, or what that node only reshapes;
        None where the network ends otherwise.
    """
    found = _head(module, node)
    if found is None:
        return None
    layer, seen = found
    while seen.target in _RESHAPING and seen.target is not aten.permute.default and _same_values(seen):
        seen = seen.args[0]  # type: ignore[assignment]
    return layer, seen


def _same_values(node: fx.Node) -> bool:
    """Whether a reshaping only adds or drops sides of 1."""
    before, after = shape_of(node.args[0]), shape_of(node)
    return (
        before is not None
        and after is not None
        and 2 <= len(before) <= 4
        and [side for side in before[1:] if side != 1] == [side for side in after[1:] if side != 1]
    )


def _head(module: fx.GraphModule, node: fx.Node) -> tuple[str, fx.Node] | None:
    """`find_head` without the last step."""
    pooled = False
    while isinstance(node, fx.Node) and node.op == "call_function":
        before: Any = node.args[0] if node.args else None
        if node.target in _POOLING and len(shape_of(before) or ()) == 4:
            pooled, node = True, before
        elif node.target in _SOFTMAX or node.target in _RESHAPING:
            node = before
        elif node.target is aten.relu.default and pooled:
            # SqueezeNet: a convolution makes a map of class scores, which is averaged.
            layer = _layer(module, before)
            return layer if layer and _CLASSIFIER.search(layer[0]) else None
        else:
            layer = _layer(module, node)
            if layer is None or _EMBEDDING.search(re.sub(r"(\.\d+)+$", "", layer[0]).rpartition(".")[2]):
                return None
            on_a_map = node.target in _CONVOLUTIONS and any(side != 1 for side in (shape_of(node) or ())[2:])
            # A convolution over a whole map is a classifier only if it is called one: MobileNetV2's last one is not.
            return layer if not on_a_map or _CLASSIFIER.search(layer[0]) else None
    return None


def _layer(module: fx.GraphModule, node: Any) -> tuple[str, fx.Node] | None:
    """Name and input of a linear layer or 1x1 convolution, None for any other operator."""
    if (
        isinstance(node, fx.Node)
        and node.target is aten.add.Tensor
        and any(attribute(module, part) is not None for part in node.args)
    ):
        node = next(part for part in node.args if attribute(module, part) is None)
        if not isinstance(node, fx.Node) or node.target not in _PRODUCTS:
            return None
    if not isinstance(node, fx.Node):
        return None
    if node.target is aten.linear.default or node.target in _CONVOLUTIONS:
        seen, weight = node.args[0], node.args[1]
    elif node.target in _PRODUCTS:
        seen, weight = node.args[-2], node.args[-1]
        while isinstance(weight, fx.Node) and weight.target in _TRANSPOSING:
            weight = weight.args[0]
    else:
        return None
    value = attribute(module, weight)
    if value is None or not isinstance(seen, fx.Node) or any(side != 1 for side in value.shape[2:]):
        return None
    return str(weight.target).removesuffix(".weight"), seen  # type: ignore[union-attr]
