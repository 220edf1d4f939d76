"""What a source turns into: a frozen network that ends in its embedding, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_imprint.backbones import InputSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(kw_only=True)
class Source:
    """A backbone as it was found, before it is written in any format.

    Attributes:
        name: of the bundle.
        licence: of the weights, an SPDX name where one is known, else "unknown".
        description: one line for people.
        input: what happens to a picture; None for a network that takes no pictures (sound, motion).
        dim: width of the embedding.
        embedding: name of the chosen module or tensor.
        candidates: other names that `--embedding` would take, in graph order.
        notes: what was decided on the way, one sentence each, for the report.
    """

    name: str
    licence: str
    description: str
    input: InputSpec | None
    dim: int
    embedding: str
    candidates: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class TorchSource(Source):
    """A torch module in eval mode: float32 (n, 3, height, width), normalised as `input` says, to (n, dim)."""

    module: nn.Module


@dataclass(kw_only=True)
class OnnxSource(Source):
    """A self-contained .onnx file, already cut: one input, one output (n, dim) or a map that `pool` averages.

    Attributes:
        content: bytes of the cut file.
        layout: of the input, "nchw" or "nhwc".
        dtype: of the input, "float32", "uint8" or "int8".
        precision: "int8" when its layers are quantised already, else "float32".
    """

    content: bytes
    layout: str
    dtype: str
    precision: str


@dataclass(kw_only=True)
class TfliteSource(Source):
    """A .tflite file, already cut at its embedding by rewriting the flatbuffer.

    Attributes:
        content: bytes of the cut file.
        original: bytes of the file as it was found.
        precision: "int8" when it is quantised already, else "float32".
    """

    content: bytes
    original: bytes
    precision: str
