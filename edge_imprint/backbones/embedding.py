"""Find the embedding in the graph of a TFLite classifier."""

from __future__ import annotations

from edge_imprint.backbones.flatbuffer import Graph, Operator, Tensor
from edge_imprint.errors import BundleError

# What may stand between the classifier layer and the output without being either.
_AFTER_CLASSIFIER = {"SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "RESHAPE", "SQUEEZE", "DEQUANTIZE", "QUANTIZE", "ARG_MAX"}
# The same when one side is a constant: a bias, the temperature of a softmax, the divisor of a sum.
_WITH_CONSTANT = {"ADD", "SUB", "MUL", "DIV"}
_POOLS = {"AVERAGE_POOL_2D", "MEAN", "SUM", "MAX_POOL_2D", "REDUCE_MAX"}


def candidates(graph: Graph) -> list[str]:
    """Names of the tensors that could serve as an embedding: computed, and one row per picture."""
    written = [graph.tensors[i] for operator in graph.operators for i in operator.outputs]
    return [tensor.name for tensor in written if tensor.is_row]


def find_embedding(graph: Graph, name: str, wanted: str | None = None) -> Tensor:
    """Choose the tensor of a graph that is its embedding.

    A network whose last layer (softmax, bias, reshape and quantisation aside) is fully connected, or a 1 x 1
    convolution on a 1 x 1 map, is a classifier: its embedding is the last global pool before that layer
    through which everything flows (the squeeze of an attention block is a pool too, but the picture also
    flows around it), else the layer's input. Any other network already ends in its embedding, and so does one
    whose output is called "embedding".

    Args:
        graph: of the .tflite file.
        name: of the file, for messages.
        wanted: a tensor's name overrides the choice. Converters join the names of what they merge with ";";
            the part before the first one will do where only one tensor has it.

    Raises:
        BundleError: no such tensor, several outputs with different embeddings, or nothing with one row per
            picture; the message lists what could be meant.
    """
    if wanted is not None:
        return _named(graph, name, wanted)
    found = {_embedding_of(graph, output).index for output in graph.outputs}
    if len(found) > 1:
        raise BundleError(_no_embedding(graph, name, f"there are {len(graph.outputs)} outputs"))
    chosen = graph.tensors[found.pop()]
    if not chosen.is_row:
        raise BundleError(
            _no_embedding(graph, name, f"{chosen.name!r} has shape {chosen.shape}, not one row per picture")
        )
    return chosen


def _named(graph: Graph, name: str, wanted: str) -> Tensor:
    written = {i for operator in graph.operators for i in operator.outputs}
    computed = [tensor for tensor in graph.tensors if tensor.index in written]
    for tensor in computed:
        if tensor.name == wanted:
            return tensor
    short = [tensor for tensor in computed if wanted and tensor.name.split(";")[0] == wanted]
    if len(short) == 1:
        return short[0]
    raise BundleError(_no_embedding(graph, name, f"embedding={wanted!r} names no tensor that the network computes"))


def _embedding_of(graph: Graph, output: int) -> Tensor:
    if graph.tensors[output].name == "embedding":  # an exported projection is no classifier
        return graph.tensors[output]
    makers = {i: number for number, operator in enumerate(graph.operators) for i in operator.outputs}
    number = makers.get(output)
    for _ in graph.operators:  # at most; a damaged graph may go round in circles
        operator = None if number is None else graph.operators[number]
        data = -1 if operator is None else _passes_on(operator, makers)
        if data < 0:
            break
        number = makers.get(data)
    if number is not None and _is_classifier(graph, graph.operators[number]):
        pool = _last_pool(graph, number, makers)
        return graph.tensors[_main_input(graph.operators[number])] if pool is None else pool
    return graph.tensors[output]


def _passes_on(operator: Operator, makers: dict[int, int]) -> int:
    """The tensor that a harmless operator after a classifier passes on; -1 for any other operator."""
    if operator.name in _AFTER_CLASSIFIER:
        return _main_input(operator)
    if operator.name in _WITH_CONSTANT and len(operator.inputs) == 2:
        computed = [i for i in operator.inputs if i in makers]
        return computed[0] if len(computed) == 1 else -1
    return -1


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


def _last_pool(graph: Graph, classifier: int, makers: dict[int, int]) -> Tensor | None:
    for number in range(classifier - 1, -1, -1):
        operator = graph.operators[number]
        if operator.name not in _POOLS or not operator.outputs:
            continue
        tensor = graph.tensors[operator.outputs[0]]
        if tensor.is_row and _everything_flows_through(graph, number, classifier):
            return _divided(graph, number, classifier, makers) if operator.name == "SUM" else tensor
    return None


def _divided(graph: Graph, pool: int, classifier: int, makers: dict[int, int]) -> Tensor:
    """The mean that is written as a sum and a product with a constant."""
    summed = graph.operators[pool].outputs[0]
    readers = [operator for operator in graph.operators[pool + 1 : classifier + 1] if summed in operator.inputs]
    if len(readers) == 1 and readers[0].name in ("MUL", "DIV") and _passes_on(readers[0], makers) == summed:
        mean = graph.tensors[readers[0].outputs[0]] if readers[0].outputs else graph.tensors[summed]
        return mean if mean.is_row else graph.tensors[summed]
    return graph.tensors[summed]


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
