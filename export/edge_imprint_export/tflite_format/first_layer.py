"""Let the first layers of a network take pixels without rounding them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_imprint_export.tflite_format.network import Network

Range = tuple[float, float]


def align(network: Network) -> dict[int, Range]:
    """Turn a normalisation in front of the first convolution into a subtraction of whole pixels.

    A network made by `torch_to_tflite(fold="raw_float")` starts with a 1x1 convolution x = a (p - m). In int8 its
    output would be rounded, unless it is p - m' with a whole m': then it holds every pixel exactly. The factors a go
    into the weights of the next convolution and the differences m' - m into its bias, which changes nothing but the
    value of the padding: by half a pixel where all channels have one mean.

    Args:
        network: changed in place.

    Returns:
        Ranges that make the input and the first layer's output exact; nothing where a network starts otherwise.
    """
    found = _find(network)
    if found is None:
        return {}
    first, output, following = found
    _, _, inputs, _ = list(network)[first]
    factors = network.constant(inputs[1]).reshape(3, -1).astype(np.float64)
    if factors.shape[1] == 1:  # depthwise
        factors = np.diag(factors[:, 0])
    scale, means = _rows(factors, network.constant(inputs[2]).astype(np.float64))
    if scale is None:
        return {}
    middle = float(np.clip(np.rint(means.mean()), 0, 255))
    _, _, (_, weights, bias), _ = list(network)[following]
    kernel = network.constant(weights).astype(np.float64) * scale
    network.change(bias, network.constant(bias) + (kernel * (middle - means)).sum(axis=(1, 2, 3)))
    network.change(weights, kernel)
    network.change(inputs[1], np.sign(network.constant(inputs[1])))
    network.change(inputs[2], np.full(3, -middle))
    exact = {output: (-middle, 255 - middle)}
    reader = output
    while (following_pad := _only_reader(network, reader, "PAD")) is not None:
        reader = list(network)[following_pad][3][0]
        exact[reader] = exact[output]
    return {network.input: (0.0, 255.0), **exact}


def _find(network: Network) -> tuple[int, int, int] | None:
    """Number of the normalising operator, its output, number of the convolution that reads it."""
    operators = list(network)
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        first = _only_reader(network, network.input, kind)
        if first is not None:
            break
    else:
        return None
    code, operator, inputs, outputs = operators[first]
    shape = network.shape(inputs[1])
    options = operator.builtinOptions
    plain = options.fusedActivationFunction == 0 and options.strideH == options.strideW == 1
    if len(inputs) != 3 or inputs[2] < 0 or not network.layer(code, inputs) or not plain:
        return None
    if shape not in ((3, 1, 1, 3), (1, 1, 1, 3)) or network.shape(network.input)[-1] != 3:
        return None
    reader = outputs[0]
    while (pad := _only_reader(network, reader, "PAD")) is not None:
        reader = operators[pad][3][0]
    following = _only_reader(network, reader, "CONV_2D")
    if following is None or not network.layer("CONV_2D", operators[following][2]):
        return None
    if len(operators[following][2]) != 3 or operators[following][2][2] < 0:
        return None
    return first, outputs[0], following


def _only_reader(network: Network, tensor: int, code: str) -> int | None:
    readers = network.readers().get(tensor, [])
    if len(readers) == 1 and network.codes[readers[0]] == code and tensor != network.output:
        return readers[0]
    return None


def _rows(
    factors: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Factor and mean of each row, if each takes one colour and its mean is a pixel value."""
    scale = factors.sum(axis=1)
    if ((factors != 0).sum(axis=1) != 1).any() or (scale <= 0).any():
        return None, bias
    means = -bias / scale
    return (scale, means) if ((means > -0.5) & (means < 255.5)).all() else (None, means)
