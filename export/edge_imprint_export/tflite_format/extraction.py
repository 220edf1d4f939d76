"""Take a part of a .tflite file out as schema objects, which `writing` makes a file again.

Only the operators that are asked for, and what they need, are ever read: the rest of a file may be large. Every
number that decides how much is read is checked first, so that a damaged file ends in a BundleError, soon.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_imprint.errors import BundleError, ExportError
from edge_imprint_export.tflite_format.flatfile import OpenFile, listed, schema
from edge_imprint_export.tflite_format.writing import MOST_BYTES, Buffer, add_buffer

# Notes about a whole file that stay true of a part of it.
_KEPT_METADATA = {b"min_runtime_version", b"reduced_precision_support"}
# Bits per element of the types whose constants have a length that follows from their shape.
_BITS = {0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64, 15: 32, 16: 16, 17: 4}


def extract(opened: OpenFile, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]) -> Any:
    """Some operators of a file as a model of their own.

    Tensors keep their order. Names of constants, recorded ranges (the runtime ignores both), signatures and
    metadata about the whole stay behind; constants with the same bytes share a buffer.

    Args:
        opened: the file. Not modified; constants are views of its content.
        operators: their numbers, in the order they run.
        inputs: tensors of the file that the model takes.
        outputs: tensors of the file that the model gives.

    Returns:
        A `ModelT` with one subgraph.

    Raises:
        BundleError: the file is damaged.
        ExportError: it uses something that cannot be carried over.
    """
    try:
        return _Extraction(opened).run(operators, inputs, outputs)
    except (BundleError, ExportError):
        raise
    except Exception as error:  # as in open_file
        raise opened.damaged(f"{type(error).__name__}: {error}") from None


class _Extraction:
    def __init__(self, opened: OpenFile) -> None:
        self.opened = opened
        self.schema = schema()
        self.subgraph = opened.model.Subgraphs(0)
        # As in read_graph: what is taken out of a whole file is hardly longer than the file.
        self.left = 4 * len(opened.content) + 4096
        self.model = self.schema.ModelT(version=3, operatorCodes=[], metadata=[], description=b"")
        self.model.buffers = [Buffer(None)]  # buffer 0 is that of every tensor without a constant
        self.known: dict[bytes, int] = {}

    def run(self, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        made = [self._operator(number) for number in operators]
        used = {*inputs, *outputs}
        for operator in made:
            for field in ("inputs", "outputs", "intermediates"):
                used.update(int(i) for i in listed(getattr(operator, field)) if i >= 0)
        if not used or max(used) >= len(self.opened.graph.tensors):
            raise self.opened.damaged("an operator names a tensor that is not there")
        order = sorted(used)
        place = {tensor: i for i, tensor in enumerate(order)} | {-1: -1}
        computed = {int(i) for operator in made for i in listed(operator.outputs)} | set(inputs)
        tensors = [self._tensor(number, number in computed) for number in order]
        _shorten(tensors)
        for operator in made:
            for field in ("inputs", "outputs", "intermediates"):
                value = getattr(operator, field)
                if value is not None:
                    setattr(operator, field, np.array([place[int(i)] for i in value], np.int32))
        graph = self.schema.SubGraphT(name=b"main", tensors=tensors, operators=made)
        graph.inputs = np.array([place[i] for i in inputs], np.int32)
        graph.outputs = np.array([place[i] for i in outputs], np.int32)
        self.model.subgraphs = [graph]
        self.model.description = self.opened.model.Description()
        self._metadata()
        return self.model

    def _spend(self, thing: Any) -> None:
        """Count the bytes of an object's arrays and texts, and refuse more than a whole file could hold."""
        for value in vars(thing).values():
            if isinstance(value, bytes | np.ndarray):
                self.left -= len(value) if isinstance(value, bytes) else value.nbytes
        if self.left < 0:
            raise self.opened.damaged("its parts together are longer than the file")

    def _operator(self, number: int) -> Any:
        operator = self.schema.OperatorT.InitFromObj(self.subgraph.Operators(number))
        self._spend(operator)
        name = self.opened.operators[number]
        for kind, options in (
            (operator.builtinOptionsType, operator.builtinOptions),
            (operator.builtinOptions2Type, operator.builtinOptions2),
        ):
            if options is not None:
                self._spend(options)
            elif kind:
                raise ExportError(
                    f"options of operator {name} in {self.opened.name} are of kind {kind}, which this version of "
                    "ai-edge-litert does not know. Update ai-edge-litert."
                )
        if operator.largeCustomOptionsSize:
            operator.customOptions = self._outside(operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize)
            operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
        operator.opcodeIndex = self._code(operator.opcodeIndex)
        operator.debugMetadataIndex = -1
        return operator

    def _code(self, index: int) -> int:
        code = self.opened.codes[index]
        for i, known in enumerate(self.model.operatorCodes):
            if vars(known) == vars(code):
                return i
        self._spend(code)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def _outside(self, offset: int, size: int) -> Any:
        """Bytes that a large file keeps behind the flatbuffer."""
        if offset + size > len(self.opened.content):
            raise self.opened.damaged(f"{size} bytes at {offset} of {len(self.opened.content)}")
        return np.frombuffer(self.opened.content, np.uint8, size, offset)

    def _tensor(self, number: int, computed: bool) -> Any:
        tensor = self.schema.TensorT.InitFromObj(self.subgraph.Tensors(number))
        self._spend(tensor)
        if tensor.externalBuffer:
            raise ExportError(
                f"the weights must lie in the .tflite file itself; {self.opened.name} keeps tensor "
                f"{self.opened.graph.tensors[number].name!r} in another file. Convert it again as one file."
            )
        quantisation = tensor.quantization
        if quantisation is not None:
            quantisation.min = quantisation.max = None
            self._spend(quantisation)
        data = self._data(tensor)
        if int(np.prod(listed(tensor.shape), dtype=object)) > MOST_BYTES or min(listed(tensor.shape), default=0) < 0:
            raise self.opened.damaged(f"tensor {number} has shape {listed(tensor.shape)}")
        tensor.shapeSignature = None  # see `open_axes`: only the batch axis may be open, and is 1 here
        if data is None or computed:
            tensor.buffer = 0
        else:
            self._check_length(tensor, number, len(data))
            tensor.buffer = self._buffer(data)
            tensor.name = b""
        return tensor

    def _data(self, tensor: Any) -> Any:
        if tensor.buffer >= self.opened.model.BuffersLength():
            raise self.opened.damaged(f"buffer {tensor.buffer} of {self.opened.model.BuffersLength()}")
        stored = self.schema.BufferT.InitFromObj(self.opened.model.Buffers(tensor.buffer))
        if stored.offset > 1:
            return self._outside(stored.offset, stored.size)
        return stored.data if stored.data is not None and len(stored.data) else None

    def _check_length(self, tensor: Any, number: int, length: int) -> None:
        bits = _BITS.get(tensor.type)
        if bits is None or tensor.sparsity is not None:
            return
        wanted = (int(np.prod(listed(tensor.shape), dtype=object)) * bits + 7) // 8
        if length < wanted:
            raise self.opened.damaged(f"tensor {number} has {length} bytes instead of {wanted}")

    def _buffer(self, data: Any) -> int:
        digest = hashlib.sha256(data).digest()
        if digest not in self.known:
            self.left -= len(data)
            if self.left < 0:
                raise self.opened.damaged("its parts together are longer than the file")
            self.known[digest] = add_buffer(self.model, data)
        return self.known[digest]

    def _metadata(self) -> None:
        stored = self.opened.model
        for i in range(min(stored.MetadataLength(), 100)):
            entry = self.schema.MetadataT.InitFromObj(stored.Metadata(i))
            if entry.name in _KEPT_METADATA and entry.buffer < stored.BuffersLength():
                data = self.schema.BufferT.InitFromObj(stored.Buffers(entry.buffer)).data
                if data is not None and len(data) <= 64:
                    entry.buffer = self._buffer(data)
                    self.model.metadata.append(entry)


def _shorten(tensors: Sequence[Any]) -> None:
    """Keep of each joined name ("a;b;c") what stands before the first ";", where no other tensor has it too."""
    counts = Counter((tensor.name or b"").split(b";")[0] for tensor in tensors)
    for tensor in tensors:
        first = (tensor.name or b"").split(b";")[0]
        if first and counts[first] == 1:
            tensor.name = first
