"""A float32 .tflite file taken apart: its operators, and its constants as arrays that can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ExportError
from edge_imprint_export.tflite_format.extraction import extract
from edge_imprint_export.tflite_format.flatfile import listed, open_file
from edge_imprint_export.tflite_format.writing import Buffer, write

FLOAT32 = 0
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# Axis of the weights that counts output channels.
OUTPUT_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}


class Network:
    """One graph of a .tflite file with one input and one output.

    Every tensor gets a name of its own: files share names, and some have none.

    Args:
        content: the file's bytes. Not modified.
        name: what to call it in messages.

    Raises:
        BundleError: a damaged file.
        ExportError: several inputs or outputs.
    """

    def __init__(self, content: bytes, name: str = "the file") -> None:
        opened = open_file(content, name)
        graph = opened.graph
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise ExportError(
                f"a backbone has one input and one output; {name} has {len(graph.inputs)} and {len(graph.outputs)}. "
                "Cut it at its embedding"
            )
        self.codes = tuple(opened.operators)
        self.model = extract(opened, range(len(graph.operators)), graph.inputs, graph.outputs)
        self.graph = self.model.subgraphs[0]
        self.operators = list(self.graph.operators)
        self.tensors = list(self.graph.tensors)
        self.input, self.output = int(self.graph.inputs[0]), int(self.graph.outputs[0])
        self._changed: dict[int, NDArray[Any]] = {}
        taken: set[str] = set()
        for number, tensor in enumerate(self.tensors):
            kept = (tensor.name or b"").decode("utf-8", "replace")
            kept = kept if kept and kept not in taken else f"{kept or 'tensor'}#{number}"
            taken.add(kept)
            tensor.name = kept.encode()

    def __iter__(self) -> Iterator[tuple[str, Any, list[int], list[int]]]:
        """Operators in order: name, schema object, inputs (-1: left out), outputs."""
        for code, operator in zip(self.codes, self.operators, strict=True):
            yield code, operator, listed(operator.inputs), listed(operator.outputs)

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        return str(self.tensors[tensor].name.decode("utf-8", "replace"))

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape."""
        return tuple(listed(self.tensors[tensor].shape))

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor's values are in the file."""
        return tensor >= 0 and self.model.buffers[self.tensors[tensor].buffer].data is not None

    def constant(self, tensor: int) -> NDArray[Any]:
        """Values of a float32 or int32 constant, as they are now. Not to be modified."""
        if tensor in self._changed:
            return self._changed[tensor]
        stored = self.tensors[tensor]
        dtype = np.float32 if stored.type == FLOAT32 else np.int32
        return np.frombuffer(self.model.buffers[stored.buffer].data, dtype).reshape(self.shape(tensor))

    def change(self, tensor: int, values: NDArray[Any]) -> None:
        """Give a float32 constant other values; a buffer that it shares with others stays theirs."""
        self._changed[tensor] = np.asarray(values, np.float64).astype(np.float32).reshape(self.shape(tensor))

    def layer(self, code: str, inputs: list[int]) -> bool:
        """Whether an operator has float32 weights, and float32 or no bias, of its own in the file."""
        if code not in CONVOLUTIONS or len(inputs) < 2 or not self.is_constant(inputs[1]):
            return False
        biases = [place for place in inputs[2:3] if place >= 0]
        return all(self.is_constant(i) and self.tensors[i].type == FLOAT32 for i in [inputs[1], *biases])

    def readers(self) -> dict[int, list[int]]:
        """For each tensor the numbers of the operators that read it."""
        found: dict[int, list[int]] = {}
        for number, (_, _, inputs, _) in enumerate(self):
            for tensor in inputs:
                found.setdefault(tensor, []).append(number)
        return found

    def write(self) -> bytes:
        """The file, with the changes."""
        for tensor, values in self._changed.items():
            self.model.buffers.append(Buffer(values.view(np.uint8).ravel()))
            self.tensors[tensor].buffer = len(self.model.buffers) - 1
        self._changed = {}
        used = {tensor.buffer for tensor in self.tensors} | {entry.buffer for entry in self.model.metadata}
        for number, buffer in enumerate(self.model.buffers):
            if number not in used:
                buffer.data = None
        return write(self.model)


def tidied(content: bytes, name: str = "the file") -> bytes:
    """The same graph without signatures, names of constants, metadata, and constants that nothing reads."""
    opened = open_file(content, name)
    model = extract(opened, range(len(opened.graph.operators)), opened.graph.inputs, opened.graph.outputs)
    model.description = b""
    return write(model)
