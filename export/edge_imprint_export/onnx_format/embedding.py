"""Find the embedding in the graph of an ONNX network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edge_imprint.errors import ExportError
from edge_imprint_export.onnx_format.fusion import reads
from edge_imprint_export.onnx_format.graph import (
    HANDS_ON,
    LINEAR,
    POOLS,
    QLINEAR_POOLS,
    QUANTISERS,
    WEIGHT_AT,
    Graph,
    is_one_place,
)

# What may stand between a classifier's layer and the output.
_PROBABILITIES = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "QLinearSoftmax", "QLinearSigmoid"})
_AFTER_CLASSIFIER = HANDS_ON | _PROBABILITIES | {"Transpose"}
# An output with such a name is what its author calls an embedding, linear layer or not.
_NAMED_SO = re.compile(r"embed|feature|pool|hidden|represent", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """Where a network's embedding is.

    Attributes:
        tensor: its name.
        classifier: name of the classifier's layer that the cut drops; None where there is none.
        note: what was decided, one sentence.
    """

    tensor: str
    classifier: str | None
    note: str


def candidates(graph: Graph) -> tuple[str, ...]:
    """Tensors that could serve as an embedding: computed from the picture, and one row or one map per picture."""
    inside = [name for node in graph.nodes for name in node.output if name and name not in graph.constants]
    inside = [name for name in inside if graph.types.get(name) not in (2, 3)]  # stored as integers
    rows = [name for name in inside if graph.is_row(name) and not _is_shape_arithmetic(graph, name)]
    maps = [name for name in inside if graph.rank(name) == 4 and not graph.is_row(name)]
    return (*maps[-1:], *rows)


def _is_shape_arithmetic(graph: Graph, name: str) -> bool:
    return graph.types.get(name) in (6, 7, 9)  # int32, int64, bool: sizes, not features


def find_embedding(graph: Graph, where: str, wanted: str | None = None) -> Found:
    """Choose the tensor of a network that is its embedding.

    A network whose last layer (softmax, reshape, dropout and quantisation aside) is linear, or a 1 x 1 convolution on a
    map of one place, is a classifier, unless its output is named an embedding. Its embedding is what enters the first
    linear layer after the last global pool through which everything flows (the squeeze of an attention block is a pool
    too, but the picture also flows around it), else what enters the classifier: a transformer's class token, say.
    Where the classifier is a 1 x 1 convolution that is pooled only afterwards, it is the map that enters it. Any other
    network already ends in its embedding.

    Args:
        graph: of the file, pictures' sides and batch resolved.
        where: name of the file, for messages.
        wanted: the name of a tensor or of a node overrides the choice.

    Raises:
        ExportError: no such tensor, or several outputs and none chosen; the message lists what could be meant.
    """
    if wanted is not None:
        return Found(_named(graph, where, wanted), None, f"embedding {wanted!r} as asked for")
    outputs = [output.name for output in graph.model.graph.output if output.name not in graph.constants]
    if len(outputs) != 1:
        names = ", ".join(repr(name) for name in outputs) or "none that depends on a picture"
        raise ExportError(
            f"a backbone has one output; {where} has {len(outputs)}: {names}. "
            "Say which is the embedding: --embedding NAME"
        )
    (output,) = outputs
    if _NAMED_SO.search(output):
        return Found(output, None, f"the output is named {output!r}, so it is the embedding")
    layer, probabilities = _last_layer(graph, output)
    if layer is None or not _is_classifier(graph, layer, probabilities):
        return Found(output, None, f"there is no classifier at the end, so output {output!r} is the embedding")
    chosen = _after_last_pool(graph, layer) or graph.data(layer)
    chosen = _as_row(graph, chosen)
    label = layer.name or layer.output[0]
    return Found(
        chosen,
        label,
        f"the last layer, {label!r}, was taken for a classifier and dropped; the embedding is {chosen!r} "
        f"(--embedding {output} keeps it)",
    )


def _named(graph: Graph, where: str, wanted: str) -> str:
    if wanted in graph.makers and wanted not in graph.constants:
        return wanted
    for node in graph.nodes:
        if node.name == wanted and node.output[0] not in graph.constants:
            return str(node.output[0])
    raise ExportError(no_embedding(graph, where, f"{wanted!r} names no tensor that is computed from a picture"))


def no_embedding(graph: Graph, where: str, why: str) -> str:
    """The message of an embedding that cannot be, with those that can."""
    names = candidates(graph)[-8:]
    return (
        f"the embedding must be a tensor of the network with one row per picture; in {where}, {why}. "
        f"Use --embedding NAME with one of: {', '.join(repr(n) for n in names) or 'none found'}"
    )


def _last_layer(graph: Graph, output: str) -> tuple[Any | None, bool]:
    """The node that a network's output comes from, softmax and the like aside, and whether there was a softmax."""
    name, probabilities = output, False
    for _ in graph.nodes:
        node = graph.maker(name)
        if node is None or (node.op_type not in _AFTER_CLASSIFIER and not _adds_bias(graph, node)):
            return node, probabilities
        probabilities = probabilities or node.op_type in _PROBABILITIES
        name = graph.data(node)
    return None, probabilities


def _adds_bias(graph: Graph, node: Any) -> bool:
    """Whether a node adds a constant to a MatMul, the form that a dense layer of Keras has."""
    if node.op_type not in ("Add", "QLinearAdd") or not any(name in graph.constants for name in node.input):
        return False
    inner = graph.maker(graph.through(graph.data(node), QUANTISERS))
    return inner is not None and inner.op_type in LINEAR


def _is_classifier(graph: Graph, node: Any, probabilities: bool) -> bool:
    """Whether a node is a linear layer over one row per picture, or a pool over a map of class scores."""
    if node.op_type in POOLS | QLINEAR_POOLS:
        return probabilities and _scored_map(graph, node) is not None
    if not _is_linear(graph, node):
        return False
    shape = graph.shapes.get(graph.data(node))
    if "Conv" in node.op_type:
        return (shape is not None and is_one_place(shape)) or _is_pooled(graph, graph.data(node))
    return shape is None or len(shape) == 2 or (len(shape) > 2 and all(axis == 1 for axis in shape[1:-1]))


def _is_linear(graph: Graph, node: Any) -> bool:
    at = WEIGHT_AT.get(node.op_type, 1)
    return node.op_type in LINEAR and len(node.input) > at and node.input[at] in graph.constants


def _is_pooled(graph: Graph, name: str) -> bool:
    maker = graph.maker(graph.through(name, HANDS_ON))
    return maker is not None and maker.op_type in ("GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool")


def _scored_map(graph: Graph, pool: Any) -> Any | None:
    """The 1 x 1 convolution whose map of class scores a pool averages, as in SqueezeNet."""
    name = graph.through(graph.data(pool), HANDS_ON | {"Relu", "Clip"})
    node = graph.maker(name)
    if node is None or "Conv" not in node.op_type or not _is_linear(graph, node):
        return None
    weight = graph.shapes.get(node.input[WEIGHT_AT.get(node.op_type, 1)]) or ()
    return node if weight[2:] in ((1, 1), ()) else None


def _after_last_pool(graph: Graph, classifier: Any) -> str | None:
    """What enters the first linear layer after the last pool through which everything flows."""
    if classifier.op_type in POOLS | QLINEAR_POOLS:
        scores = _scored_map(graph, classifier)
        return graph.data(scores) if scores is not None else None
    last = graph.makers[classifier.output[0]]
    for number in range(last - 1, -1, -1):
        node = graph.nodes[number]
        if node.op_type not in POOLS | QLINEAR_POOLS or not _pools_places(graph, node):
            continue
        if _everything_flows_through(graph, number, last):
            return _next_linear_input(graph, number, last)
    return None


def _pools_places(graph: Graph, node: Any) -> bool:
    """Whether a pool leaves one place of a map, or one token of a sequence. A norm's mean over channels does not."""
    before, after = graph.shapes.get(graph.data(node)), graph.shapes.get(node.output[0])
    if before is None or after is None:
        return bool(node.op_type.startswith("Global"))
    if len(before) == 4:
        if is_one_place(before):
            return False
        kept = len(after) == 2 and after[1] in (before[1], before[3])
        return kept or (len(after) == 4 and is_one_place(after))
    if len(before) == 3 and None not in (before[2], after[-1]):
        return (after[1:-1], after[-1]) in (((), before[2]), ((1,), before[2]))
    return False


def _everything_flows_through(graph: Graph, pool: int, last: int) -> bool:
    """Whether no later node up to the classifier reads what was computed from the picture before the pool."""
    before = {name for node in graph.nodes[:pool] for name in node.output} | set(graph.inputs)
    before = {name for name in before - graph.constants if not _is_shape_arithmetic(graph, name)}
    leads_there = ancestors(graph, [graph.nodes[last].output[0]])
    later = [graph.nodes[number] for number in leads_there if number > pool]
    return pool in leads_there and not any(
        before.intersection(reads(node)) for node in later if node.op_type not in ("Shape", "Size")
    )


def _next_linear_input(graph: Graph, pool: int, last: int) -> str:
    flowing = set(graph.nodes[pool].output)
    for node in graph.nodes[pool + 1 : last + 1]:
        entering = flowing.intersection(node.input)
        if entering and _is_linear(graph, node):
            return graph.data(node)
        if entering:
            flowing.update(node.output)
    return str(graph.nodes[pool].output[0])


def _as_row(graph: Graph, name: str) -> str:
    """Step back from (n, c, 1, 1) that was made of (n, c), and over dropout that does nothing."""
    return graph.through(name, frozenset({"Dropout", "Identity"}))


def ancestors(graph: Graph, names: list[str]) -> set[int]:
    """Positions of all nodes that the tensors depend on."""
    found: set[int] = set()
    todo = list(names)
    while todo:
        number = graph.makers.get(todo.pop())
        if number is not None and number not in found:
            found.add(number)
            todo.extend(reads(graph.nodes[number]))
    return found
