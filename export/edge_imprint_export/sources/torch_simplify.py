"""What is done to a cut graph so that every converter takes it: nothing here changes what it computes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from edge_imprint_export.sources.torch_graph import shape_of

aten = torch.ops.aten

_COPIES = (
    aten.clone.default,
    aten.alias.default,
    aten.detach.default,
    aten.dropout.default,
    aten.contiguous.default,
    aten.lift_fresh_copy.default,
)
_CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding, aten.convolution.default)
_VIEWS = (aten.view.default, aten.reshape.default, aten._unsafe_view.default)


def simplify(module: fx.GraphModule, batch: int | None) -> fx.GraphModule:
    """A module with only what its output needs, in the operators that converters know best.

    Args:
        module: a functional graph with one output; used up.
        batch: the number of pictures that the graph is fixed to, None when it is free; freed here.
    """
    graph = module.graph
    graph.set_codegen(fx.graph.CodeGen())
    # Before copies go: their shapes tell where a fixed batch is written down.
    if batch is not None:
        _free_batch(graph, batch)
    for node in list(graph.nodes):
        if node.target in _COPIES:
            node.replace_all_uses_with(node.args[0])
        elif node.target in _VIEWS:
            # A copy that made a view possible may be gone.
            node.target = aten.reshape.default
    _drop_masks_that_hide_nothing(module)
    graph.eliminate_dead_code()
    _fold_batch_norm(module)
    _pool_as_pooling(graph)
    _pad_with_zeros(graph)
    graph.eliminate_dead_code()
    next(node for node in graph.nodes if node.op == "placeholder").name = "picture"
    for node in graph.nodes:
        # Shapes of the first export, and paths of source files, are no part of the backbone.
        node.meta.clear()
    graph.lint()
    return fx.GraphModule(module, graph, "Backbone").eval().requires_grad_(False)


def attribute(module: fx.GraphModule, node: object) -> Tensor | None:
    """The weight that a node reads, None when it is something else."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value: Any = module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value if isinstance(value, Tensor) else None


def _free_batch(graph: fx.Graph, batch: int) -> None:
    """Let a graph that was exported for `batch` pictures take any number.

    The batch is the leading dimension, alone or multiplied with others, so a view's first number can be left open. A
    parameter that was repeated for the batch (a class token) is repeated for the batch that there is.
    """
    picture = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(picture):
        size = graph.call_function(aten.sym_size.int, (picture, 0))
    fed = {picture}
    for node in list(graph.nodes):
        if not any(source in fed for source in node.all_input_nodes) or node is size:
            continue
        fed.add(node)
        shape = shape_of(node)
        if node.target in _VIEWS and shape is not None:
            node.args = (node.args[0], [-1, *(int(side) for side in shape[1:])])
        elif node.target is aten.expand.default and shape is not None and shape[0] == batch:
            node.args = (node.args[0], [size, *_list(node.args[1])[1:]])
        elif node.target is aten.cat.default:
            node.args = (
                [_repeated(graph, node, part, part in fed, size, batch) for part in _list(node.args[0])],
                *node.args[1:],
            )


def _repeated(graph: fx.Graph, before: fx.Node, part: Any, fed: bool, size: fx.Node, batch: int) -> Any:
    """One tensor of a concatenation, repeated for the batch when it does not come from the picture."""
    shape = shape_of(part)
    if fed or shape is None or shape[0] != batch:
        return part
    if part.target is aten.expand.default:
        part = part.args[0]
    with graph.inserting_before(before):
        return graph.call_function(aten.expand.default, (part, [size, *(-1 for _ in shape[1:])]))


def _list(value: Any) -> list[Any]:
    assert isinstance(value, Sequence)
    return list(value)


def _drop_masks_that_hide_nothing(module: fx.GraphModule) -> None:
    """Attention masks that are true everywhere: they cost time and converters stumble over them."""
    for node in module.graph.nodes:
        if node.target is not aten.scaled_dot_product_attention.default or len(node.args) < 4:
            continue
        mask = node.args[3]
        while isinstance(mask, fx.Node) and mask.target in (aten.expand.default, *_VIEWS):
            mask = mask.args[0]
        value = _constant(module, mask)
        if value is not None and value.dtype == torch.bool and bool(value.all()):
            node.args = (*node.args[:3], None, *node.args[4:])


def _constant(module: fx.GraphModule, node: Any, depth: int = 0) -> Tensor | None:
    """A value that does not depend on the picture, worked out; None for any other."""
    if not isinstance(node, fx.Node) or depth > 30:
        return None
    if node.op == "get_attr":
        return attribute(module, node)
    if node.op != "call_function" or shape_of(node) is None:
        return None
    values = {source: _constant(module, source, depth + 1) for source in node.all_input_nodes}
    if any(value is None for value in values.values()):
        return None
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source])
    result = node.target(*args, **kwargs)  # type: ignore[operator]
    return result if isinstance(result, Tensor) else None


def _fold_batch_norm(module: fx.GraphModule) -> None:
    """Batch norm right after a convolution becomes part of it (float64 sums), as every runtime would have it."""
    graph = module.graph
    for number, node in enumerate(list(graph.nodes)):
        if node.target is not aten._native_batch_norm_legit_no_training.default:
            continue
        conv = node.args[0]
        values = [attribute(module, source) for source in node.args[1:5]]
        if (
            conv.target not in _CONVOLUTIONS
            or len(conv.users) != 1
            or (len(conv.args) > 6 and conv.target is aten.convolution.default and conv.args[6])
            or any(user.target is not operator.getitem or user.args[1] != 0 for user in node.users)
        ):
            continue
        weight = attribute(module, conv.args[1])
        bias = attribute(module, conv.args[2]) if len(conv.args) > 2 and conv.args[2] is not None else None
        if weight is None or values[2] is None or values[3] is None:
            continue
        mean, variance = values[2].double(), values[3].double()
        gain = (variance + node.args[6]).rsqrt() * (1.0 if values[0] is None else values[0].double())
        shift = (0.0 if bias is None else bias.double()) - mean
        folded = {
            "weight": weight.double() * gain.reshape(-1, 1, 1, 1),
            "bias": shift * gain + (0.0 if values[1] is None else values[1].double()),
        }
        with graph.inserting_before(conv):
            new = []
            for kind, value in folded.items():
                name = f"folded_{number}_{kind}"
                module.register_parameter(name, nn.Parameter(value.float(), requires_grad=False))
                new.append(graph.get_attr(name))
        conv.args = (conv.args[0], *new, *conv.args[3:])
        for user in list(node.users):
            user.replace_all_uses_with(conv)


def _pool_as_pooling(graph: fx.Graph) -> None:
    """A mean over both sides of a map is a pooling; the TFLite converter keeps its layout only for the latter."""
    for node in list(graph.nodes):
        if node.target is not aten.mean.dim or node.kwargs.get("dtype") is not None:
            continue
        shape = shape_of(node.args[0])
        if shape is None or len(shape) != 4 or {axis % 4 for axis in node.args[1]} != {2, 3}:
            continue
        with graph.inserting_before(node):
            pooled = graph.call_function(aten.adaptive_avg_pool2d.default, (node.args[0], [1, 1]))
            keep = len(node.args) > 2 and node.args[2]
            result = pooled if keep else graph.call_function(aten.flatten.using_ints, (pooled, 1))
        node.replace_all_uses_with(result)


def _pad_with_zeros(graph: fx.Graph) -> None:
    """Max pooling pads with minus infinity, which int8 lacks; where nothing is negative, zero does the same."""
    for node in list(graph.nodes):
        if node.target is not aten.max_pool2d.default or not _never_negative(node.args[0]):
            continue
        padding = _list(node.args[3]) if len(node.args) > 3 else [0]
        dilated = len(node.args) > 4 and set(node.args[4]) != {1}
        if not any(padding) or dilated or (len(node.args) > 5 and node.args[5]):
            continue
        high, wide = (padding * 2)[:2]
        with graph.inserting_before(node):
            padded = graph.call_function(aten.constant_pad_nd.default, (node.args[0], [wide, wide, high, high], 0.0))
        node.args = (padded, *node.args[1:3])


def _never_negative(node: Any) -> bool:
    if node.target is aten.hardtanh.default:
        return len(node.args) > 1 and bool(node.args[1] >= 0)
    return node.target in (aten.relu.default, aten.sigmoid.default, aten.hardsigmoid.default)
