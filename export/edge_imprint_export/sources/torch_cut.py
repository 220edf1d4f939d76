"""Where a network's embedding is, and the network cut off behind it.

The graph is read from its output backwards: softmax, dropout and reshaping are passed, and a linear layer or 1x1
convolution that they lead to is the classifier, unless its name says that it makes an embedding. What the classifier
saw is the embedding; a feature map is averaged, of tokens the class token is taken where there is one, else the mean.
"""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from edge_imprint.errors import ExportError
from edge_imprint_export.sources.quiet import quiet
from edge_imprint_export.sources.torch_graph import Captured, shape_of
from edge_imprint_export.sources.torch_head import find_head
from edge_imprint_export.sources.torch_simplify import simplify

aten = torch.ops.aten

# Outputs of model classes that are embeddings as they are, best first, and the one that is class scores.
_EMBEDDINGS = ("pooler_output", "image_embeds")
_STATES = "last_hidden_state"
_SCORES = "logits"


@dataclass
class Cut:
    """A network that ends in its embedding.

    Attributes:
        module: (n, 3, height, width) to (n, dim), float32.
        dim: width of the embedding.
        embedding: name of the module or operator that gives it.
        candidates: modules that could be named instead, in graph order.
        notes: what was decided, one sentence each.
    """

    module: nn.Module
    dim: int
    embedding: str
    candidates: tuple[str, ...]
    notes: list[str]


def cut(captured: Captured, pictures: Tensor, *, embedding: str | None = None, output: str | None = None) -> Cut:
    """Cut a network behind its embedding; what only the rest needs is gone, weights included.

    Args:
        captured: the network; used up.
        pictures: two of them, (2, 3, height, width), with which the result is tried.
        embedding: a module of `named_modules()`, an operator of the exported graph, an output by name, or "output"
            for the network's whole output; None to find it.
        output: which of several outputs to start from; None to choose.

    Raises:
        ExportError: no such name, several outputs, no tensor of rank 2 to 4, or a batch that is written down in the
            network and cannot be freed.
    """
    notes: list[str] = []
    name, node = _named(captured, embedding) if embedding else _found(captured, output, notes)
    graph = captured.module.graph
    end = next(each for each in graph.nodes if each.op == "output")
    end.args = (_flattened(graph, end, name, node, notes),)
    module, dim = _freed(captured, pictures, notes)
    return Cut(module, dim, name, (*captured.modules, "output"), notes)


class OneByOne(nn.Module):
    """A network that takes one picture at a time, as one that takes any number."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pictures: Tensor) -> Any:
        """Embeddings (n, dim) of pictures (n, 3, height, width)."""
        if pictures.shape[0] == 1:
            return self.module(pictures)
        return torch.cat([self.module(picture[None]) for picture in pictures])


def _freed(captured: Captured, pictures: Tensor, notes: list[str]) -> tuple[nn.Module, int]:
    """The cut network for any number of pictures, and the width of its embedding."""
    if captured.batch != 1:
        module: nn.Module = simplify(captured.module, captured.batch)
        return module, _tried(module, pictures)
    graph = fx.Graph()
    graph.output(graph.graph_copy(captured.module.graph, {}))
    spare = fx.GraphModule(captured.module, graph)
    try:
        module = simplify(captured.module, 1)
        return module, _tried(module, pictures)
    except ExportError:
        module = OneByOne(simplify(spare, None)).eval()
        notes.append("The network is written for one picture at a time.")
        return module, _tried(module, pictures)


def _named(captured: Captured, name: str) -> tuple[str, fx.Node]:
    """The node of a name that the user gave."""
    if name in captured.outputs:
        return name, captured.outputs[name]
    if name in captured.names:
        return name, captured.names[name]
    if name == "output":
        raise ExportError(_which_output(captured))
    close = difflib.get_close_matches(name, captured.names, 3) or captured.modules[-3:]
    raise ExportError(
        f"the network has no module or operator named '{name}' that gives a tensor of rank 2 to 4; near it: "
        f"{', '.join(close)}. Name one of named_modules(), or 'output'"
    )


def _which_output(captured: Captured) -> str:
    listed = ", ".join(f"{name} {_shown(node)}" for name, node in list(captured.outputs.items())[:8])
    return (
        f"a backbone has one output, the embedding; this network has {len(captured.outputs)}: {listed}. "
        "Choose with --embedding NAME"
    )


def _shown(node: fx.Node) -> str:
    return "(" + ", ".join(["n", *(str(side) for side in (shape_of(node) or ())[1:])]) + ")"


def _found(captured: Captured, output: str | None, notes: list[str]) -> tuple[str, fx.Node]:
    """The embedding of a network about which nothing else is known."""
    outputs = captured.outputs
    if output is None:
        if len(outputs) == 1:
            output = next(iter(outputs))
        else:
            known = [name for name in (*_EMBEDDINGS, _SCORES, _STATES) if name in outputs]
            if not known:
                raise ExportError(_which_output(captured))
            output = known[0]
            notes.append(f"Of the outputs {', '.join(outputs)}, '{output}' was taken.")
    node = outputs[output]
    if output in (*_EMBEDDINGS, _STATES):
        return output, node
    head = find_head(captured.module, node)
    if head is None:
        notes.append("No classifier was found at the end, so the network's output is the embedding.")
        return output, node
    layer, seen = head
    name = _name_of(captured, seen)
    notes.append(
        f"The classifier '{layer}' was cut off; the embedding is what it saw, '{name}' {_shown(seen)}. "
        "--embedding output keeps the whole network."
    )
    return name, seen


def _name_of(captured: Captured, node: fx.Node) -> str:
    """The innermost module whose value a node is, else the node's own name."""
    matching = [name for name in captured.modules if captured.names[name] is node]
    return max(matching, key=len) if matching else node.name


def _flattened(graph: fx.Graph, end: fx.Node, name: str, node: fx.Node, notes: list[str]) -> fx.Node:
    """A node's value as (n, dim)."""
    shape = shape_of(node) or ()
    if not 2 <= len(shape) <= 4 or any(not isinstance(side, int) for side in shape[1:]):
        raise ExportError(
            f"an embedding comes from a tensor of rank 2 to 4 and fixed width; '{name}' has shape {_shown(node)}. "
            "Choose another with --embedding NAME"
        )
    value: Tensor = node.meta["val"]
    if not value.dtype.is_floating_point:
        kind = str(value.dtype).removeprefix("torch.")
        raise ExportError(
            f"an embedding is a tensor of floats; '{name}' is {kind}. Choose another with --embedding NAME"
        )

    def call(target: Any, *args: Any) -> fx.Node:
        with graph.inserting_before(end):
            return graph.call_function(target, args)

    if len(shape) == 2:
        return node
    if len(shape) == 4:
        if shape[1] == shape[2] != shape[3]:
            notes.append(f"The map '{name}' {_shown(node)} has its channels last; it is averaged over its sides.")
            node = call(aten.permute.default, node, [0, 3, 1, 2])
        elif shape[2:] != (1, 1):
            notes.append(f"The map '{name}' {_shown(node)} is averaged over its sides.")
        return call(aten.flatten.using_ints, call(aten.adaptive_avg_pool2d.default, node, [1, 1]), 1)
    if shape[1] == 1 or shape[2] == 1:
        return call(aten.flatten.using_ints, node, 1)
    if _has_class_token(node):
        notes.append(f"Of the tokens '{name}' {_shown(node)} the first, the class token, is the embedding.")
        return call(aten.select.int, node, 1, 0)
    notes.append(f"The tokens '{name}' {_shown(node)} are averaged.")
    return call(aten.mean.dim, node, [1])


def _has_class_token(node: fx.Node) -> bool:
    """Whether a learnt token was put before those of the picture somewhere upstream."""
    seen: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.target is aten.cat.default and current.args[1:] in ((1,), (-2,)):
            first = current.args[0][0]  # type: ignore[index]
            shape = shape_of(first)
            while isinstance(first, fx.Node) and first.target in (aten.expand.default, aten.add.Tensor):
                first = first.args[0]
            if shape is not None and len(shape) == 3 and shape[1] == 1 and getattr(first, "op", "") == "get_attr":
                return True
        waiting.extend(current.all_input_nodes)
    return False


def _tried(module: nn.Module, pictures: Tensor) -> int:
    """Run the cut network on two pictures at once and one by one; the width of its embedding.

    Raises:
        ExportError: it takes one picture only, gives others something else, or gives no finite numbers.
    """
    same = False
    with quiet(), torch.no_grad(), contextlib.suppress(RuntimeError):
        together = module(pictures)
        alone = torch.cat([module(picture[None]) for picture in pictures])
        if not bool(torch.isfinite(alone).all()):
            raise ExportError("the embedding of an ordinary picture is not finite; a weight or a division overflows")
        # Sums are taken in another order for another batch; more than that is another function.
        same = together.shape == alone.shape and bool((together - alone).abs().max() <= 1e-3 * alone.abs().max())
    if not same:
        raise ExportError(
            "the network gives a picture another embedding beside others than alone, or takes only one at a time. "
            "Write its reshapes for any batch (-1), or export it with dynamic_shapes=({0: torch.export.Dim('N')},)"
        )
    return int(together.shape[1])
