"""Find the embedding in the graph of a TFLite classifier."""

from __future__ import annotations

from edge_imprint.backbones.flatbuffer import Graph, Operator, Tensor
from edge_imprint.errors import BundleError

# What may stand between the classifier layer and the output, or between pool and classifier layer, without
# being either.
_AFTER_CLASSIFIER = {"SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "RESHAPE", "SQUEEZE", "DEQUANTIZE", "QUANTIZE"}
_POOLS = {"AVERAGE_POOL_2D", "MEAN"}


def candidates(graph: Graph) -> list[str]:
    """Names of the tensors that could serve as an embedding: computed, and one row per picture."""
    written = [graph.tensors[i] for operator in graph.operators for i in operator.outputs]
    return [tensor.name for tensor in written if tensor.is_row]


def find_embedding(graph: Graph, name: str, wanted: str | None = None) -> Tensor:
    """Choose the tensor of a graph that is its embedding.

    A network whose last layer (softmax, reshape and quantisation aside) is fully connected, or a 1 x 1
    convolution on a 1 x 1 map, is a classifier: its embedding is the last global pool before that layer
    through which everything flows (the squeeze of an attention block is a pool too, but the picture also
    flows around it), else the layer's input. Any other network already ends in its embedding.

    Args:
        graph: of the .tflite file.
        name: of the file, for messages.
        wanted: a tensor's name overrides the choice.

    Raises:
        BundleError: no such tensor, or nothing with one row per picture; the message lists what could be
            meant.
    """
    if wanted is not None:
        written = {i for operator in graph.operators for i in operator.outputs}
        for tensor in graph.tensors:
            if tensor.name == wanted and tensor.index in written:
                return tensor
        raise BundleError(_no_embedding(graph, name, f"embedding={wanted!r} names no tensor that the network computes"))
    makers = {i: (number, operator) for number, operator in enumerate(graph.operators) for i in operator.outputs}
    output = graph.outputs[0]
    maker = makers.get(output)
    for _ in graph.operators:  # at most; a damaged graph may go round in circles
        if maker is None or maker[1].name not in _AFTER_CLASSIFIER:
            break
        maker = makers.get(_main_input(maker[1]))
    chosen = graph.tensors[output]
    if maker is not None and _is_classifier(graph, maker[1]):
        pool = _last_pool(graph, maker[0])
        chosen = graph.tensors[_main_input(maker[1])] if pool is None else pool
    if not chosen.is_row:
        raise BundleError(
            _no_embedding(graph, name, f"{chosen.name!r} has shape {chosen.shape}, not one row per picture")
        )
    return chosen


def _main_input(operator: Operator) -> int:
    """The first input, which is the data where an operator has data; -1 for none."""
    return operator.inputs[0] if operator.inputs else -1


def _is_classifier(graph: Graph, operator: Operator) -> bool:
    if _main_input(operator) < 0:
        return False
    if operator.name == "FULLY_CONNECTED":
        return True
    shape = graph.tensors[_main_input(operator)].shape
    return operator.name == "CONV_2D" and len(shape) == 4 and shape[1:3] == (1, 1)


def _last_pool(graph: Graph, classifier: int) -> Tensor | None:
    for number in range(classifier - 1, -1, -1):
        operator = graph.operators[number]
        if operator.name not in _POOLS or not operator.outputs:
            continue
        tensor = graph.tensors[operator.outputs[0]]
        if tensor.is_row and _everything_flows_through(graph, number, classifier):
            return tensor
    return None


def _everything_flows_through(graph: Graph, pool: int, classifier: int) -> bool:
    """Whether no later operator up to the classifier reads what was computed before the pool."""
    before = {i for operator in graph.operators[:pool] for i in operator.outputs} | set(graph.inputs)
    return not any(before.intersection(operator.inputs) for operator in graph.operators[pool + 1 : classifier + 1])


def _no_embedding(graph: Graph, name: str, why: str) -> str:
    names = candidates(graph)[-8:]
    return (
        f"the embedding must be a tensor of the network with one row per picture; in {name}, {why}. "
        f"Pass embedding=NAME with one of: {', '.join(repr(n) for n in names) or 'none found'}."
    )
