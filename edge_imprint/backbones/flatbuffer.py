"""Read the graph of a .tflite file and cut it at an inner tensor, with `struct` alone.

A published TFLite classifier ends in class scores; the embedding is a tensor inside. An interpreter built
to keep inner tensors needs memory for all of them. Instead `cut` changes two things in place, and the file
stays a valid one of the same length: the graph's list of outputs names the embedding, and its list of
operators ends at the one that makes it. Field numbers are those of tensorflow/lite/schema/schema.fbs
(version 3); every offset is checked against the end of the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NoReturn

from edge_imprint.errors import BundleError

DTYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"}
OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 3: "CONV_2D", 6: "DEQUANTIZE", 9: "FULLY_CONNECTED", 14: "LOGISTIC",
    17: "MAX_POOL_2D", 18: "MUL", 22: "RESHAPE", 25: "SOFTMAX", 40: "MEAN", 41: "SUB", 42: "DIV", 43: "SQUEEZE",
    50: "LOG_SOFTMAX", 56: "ARG_MAX", 74: "SUM", 82: "REDUCE_MAX", 114: "QUANTIZE",
}  # fmt: skip
# Tensors, operators or list entries: far above any real graph, far below what would exhaust memory.
_LIMIT = 1 << 20


@dataclass(frozen=True)
class Tensor:
    """One tensor of the graph: its name, shape (the batch axis first), dtype and (scale, zero point) where
    it has one.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: tuple[float, int] | None

    @property
    def is_row(self) -> bool:
        """Whether at most one axis is longer than 1: the shape of an embedding of one picture."""
        return len(self.shape) > 1 and sum(axis > 1 for axis in self.shape) == 1


@dataclass(frozen=True)
class Operator:
    """One operator: its name ("#17" where this module has no use for it) and the tensors it reads and
    writes.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Subgraph 0 of a .tflite file, and where in the file its lists of outputs and operators start."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    outputs_at: int
    operators_at: int


class _Reader:
    """Bounds-checked reads of a flatbuffer."""

    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self.name = name
        # Tables of a whole file share a few short lists at most. In a damaged one, a million tables may point to
        # the same list of a million entries.
        self._left = 4 * len(content) + 4096

    def fail(self, why: str) -> NoReturn:
        raise BundleError(f"a TFLite file must be a whole flatbuffer; {self.name}: {why}. Download or export it again.")

    def read(self, code: str, at: int) -> int:
        size = struct.calcsize(code)
        if at < 0 or at + size > len(self.content):
            self.fail(f"an offset points to byte {at} of {len(self.content)}")
        return int(struct.unpack_from("<" + code, self.content, at)[0])

    def follow(self, at: int) -> int:
        """The place that the offset stored at `at` points to."""
        offset = self.read("I", at)
        if offset == 0:
            self.fail(f"an empty offset at byte {at}")
        return at + offset

    def field(self, table: int, number: int) -> int | None:
        """Where a table stores a field, or None when it leaves it at its default."""
        vtable = table - self.read("i", table)
        slot = 4 + 2 * number
        if slot + 2 > self.read("H", vtable):
            return None
        offset = self.read("H", vtable + slot)
        return table + offset if offset else None

    def scalar(self, table: int, number: int, code: str) -> int:
        at = self.field(table, number)
        return 0 if at is None else self.read(code, at)

    def vector(self, table: int, number: int, width: int) -> tuple[int, int]:
        """(place of the first entry, length) of a list; (0, 0) when it is absent."""
        at = self.field(table, number)
        if at is None:
            return 0, 0
        start = self.follow(at)
        length = self.read("I", start)
        if length > _LIMIT or start + 4 + length * width > len(self.content):
            self.fail(f"a list of {length} entries at byte {start}")
        self._left -= length * width
        if self._left < 0:
            self.fail("its lists together are longer than the file")
        return start + 4, length

    def integers(self, table: int, number: int) -> tuple[int, ...]:
        start, length = self.vector(table, number, 4)
        return struct.unpack_from(f"<{length}i", self.content, start)

    def tables(self, table: int, number: int) -> list[int]:
        start, length = self.vector(table, number, 4)
        return [self.follow(start + 4 * i) for i in range(length)]

    def text(self, table: int, number: int) -> str:
        start, length = self.vector(table, number, 1)
        return self.content[start : start + length].decode("utf-8", "replace")


def _read_tensor(reader: _Reader, at: int, index: int) -> Tensor:
    quantisation = None
    stored = reader.field(at, 4)
    if stored is not None:
        parameters = reader.follow(stored)
        scale_at, scales = reader.vector(parameters, 2, 4)
        zero_at, zeros = reader.vector(parameters, 3, 8)
        scale = struct.unpack_from("<f", reader.content, scale_at)[0] if scales == 1 else 0.0
        if scale > 0:  # several scales are per channel: weights, never an input or an embedding
            quantisation = (float(scale), reader.read("q", zero_at) if zeros else 0)
    dtype = DTYPES.get(reader.scalar(at, 1, "b"), "other")
    return Tensor(index, reader.text(at, 3), reader.integers(at, 0), dtype, quantisation)


def read_graph(content: bytes, name: str = "the file") -> Graph:
    """Read subgraph 0 of a .tflite file.

    Args:
        content: the file's bytes. Not modified.
        name: what to call it in messages.

    Raises:
        BundleError: not a TFLite file, or a damaged one.

    Example:
        >>> read_graph(b"PK")
        Traceback (most recent call last):
        ...
        edge_imprint.errors.BundleError: a TFLite file must be a whole flatbuffer; ...
    """
    reader = _Reader(content, name)
    if content[4:8] != b"TFL3":
        reader.fail("no TFL3 mark at byte 4")
    model = reader.follow(0)
    graphs = reader.tables(model, 2)
    if not graphs:
        reader.fail("no graph in it")
    codes = []
    for code in reader.tables(model, 1):
        builtin = max(reader.scalar(code, 0, "b"), reader.scalar(code, 3, "i"))
        codes.append(OPERATORS.get(builtin, f"#{builtin}"))
    graph = graphs[0]
    tensors = tuple(_read_tensor(reader, at, i) for i, at in enumerate(reader.tables(graph, 0)))
    operators = []
    for at in reader.tables(graph, 3):
        opcode = reader.scalar(at, 0, "I")
        if opcode >= len(codes):
            reader.fail(f"operator code {opcode} of {len(codes)}")
        operators.append(Operator(codes[opcode], reader.integers(at, 1), reader.integers(at, 2)))
    inputs, outputs = reader.integers(graph, 1), reader.integers(graph, 2)
    if not inputs or not outputs or not operators:
        reader.fail("a graph without input, output or operators")
    used = [*inputs, *outputs, *(i for operator in operators for i in (*operator.inputs, *operator.outputs))]
    if max(used) >= len(tensors) or min(used) < -1 or min(inputs + outputs) < 0:
        reader.fail(f"a tensor number outside 0 to {len(tensors) - 1}")
    outputs_at, operators_at = reader.vector(graph, 2, 4)[0], reader.vector(graph, 3, 4)[0]
    return Graph(tensors, tuple(operators), inputs, outputs, outputs_at, operators_at)


def cut(content: bytes, graph: Graph, tensor: Tensor) -> bytes:
    """A copy of a .tflite file whose only output is `tensor`, without the operators after it.

    Operators are stored in the order they run, so those up to the one that writes the tensor are all it
    needs.

    Args:
        content: the file's bytes. Not modified.
        graph: what `read_graph` made of them.
        tensor: one of `graph.tensors` that an operator writes.

    Returns:
        Bytes of the same length; the same bytes when `tensor` already is the only output.

    Raises:
        BundleError: no operator writes the tensor.
    """
    if graph.outputs == (tensor.index,):
        return content
    last = next((i for i, operator in enumerate(graph.operators) if tensor.index in operator.outputs), None)
    if last is None:
        raise BundleError(
            f"an embedding must be computed by the network; no operator writes {tensor.name!r}. Name another."
        )
    patched = bytearray(content)
    struct.pack_into("<Ii", patched, graph.outputs_at - 4, 1, tensor.index)
    struct.pack_into("<I", patched, graph.operators_at - 4, last + 1)
    return bytes(patched)
