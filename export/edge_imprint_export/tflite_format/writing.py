"""Write schema objects as a .tflite file."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from edge_imprint.errors import ExportError
from edge_imprint_export.tflite_format.flatfile import schema

BUFFER_ALIGNMENT = 16  # schema.fbs: force_align of Buffer.data
MOST_BYTES = (1 << 31) - (1 << 20)  # a flatbuffer ends at 2 GiB


class Buffer:
    """A constant, written where the runtime may use it in place: at a multiple of 16 bytes."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def Pack(self, builder: Any) -> int:  # noqa: N802 -- the generated code calls it
        """Write the buffer, and return where."""
        generated = schema()
        at = 0
        if self.data is not None:
            content = np.frombuffer(self.data, np.uint8)
            builder.StartVector(1, len(content), BUFFER_ALIGNMENT)
            builder.head = int(builder.Head() - len(content))
            builder.Bytes[builder.Head() : builder.Head() + len(content)] = content.tobytes()
            at = builder.EndVector()
        generated.BufferStart(builder)
        if at:
            generated.BufferAddData(builder, at)
        return int(generated.BufferEnd(builder))


def add_buffer(model: Any, data: Any) -> int:
    """Append a constant to a model, and return its number."""
    model.buffers.append(Buffer(np.ascontiguousarray(data)))
    return len(model.buffers) - 1


@cache
def _sharing_builder() -> Any:
    """A flatbuffer's builder that writes equal lists once.

    The zero points of per-channel weights are all 0, 8 bytes each, for weights and bias alike: a tenth of a small
    network's file.
    """
    from flatbuffers import Builder  # type: ignore[import-untyped]

    class SharingBuilder(Builder):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__(size)
            self.written: dict[tuple[str, Any], int] = {}

        def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 -- the generated code calls it
            key = (x.dtype.str, x.tobytes())
            if key not in self.written:
                self.written[key] = super().CreateNumpyVector(x)
            return self.written[key]

        def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
            key = ("text", s)
            if key not in self.written:
                self.written[key] = super().CreateString(s, encoding, errors)
            return self.written[key]

    return SharingBuilder


def write(model: Any) -> bytes:
    """The file of a model. The same model gives the same bytes.

    Raises:
        ExportError: it would be longer than 2 GiB, where a flatbuffer ends.
    """
    size = sum(buffer.data.nbytes for buffer in model.buffers if buffer.data is not None)
    if size > MOST_BYTES:
        raise ExportError(f"a .tflite file must be smaller than 2 GiB; its weights have {size} bytes.")
    builder = _sharing_builder()(size + (1 << 16))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
