"""From a `Source` to the bytes of each format that it can have."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import ExportError, UsageError
from edge_imprint_export.built import Built, open_built
from edge_imprint_export.calibration import LEAST_FOR_INT8, Calibration
from edge_imprint_export.fold import folded_input, input_tensor
from edge_imprint_export.int8.choose import Aim, Chosen, choose_int8, keep_more
from edge_imprint_export.options import Options
from edge_imprint_export.projection import Projection
from edge_imprint_export.sources.source import OnnxSource, Source, TfliteSource, TorchSource

if TYPE_CHECKING:
    from torch import nn

    from edge_imprint_export.int8.quantiser import Embed, Quantiser

# Of the calibrating pictures every fourth does not set ranges but compares settings, so that ranges which are too
# narrow for a new picture show. With fewer than this all of them do both.
LEAST_TO_DIVIDE = 32
MOST_COMPARED = 48
# Pictures that were not seen exceed the range of a projection on those that were, the more so the fewer were seen.
MOST_HEADROOM = 1.5


def impossible_formats(source: Source) -> dict[str, str]:
    """Formats that this kind of source cannot have, with the reason."""
    no: dict[str, str] = {}
    if isinstance(source, TfliteSource):
        reason = "a .tflite source is cut, not translated; start from the PyTorch or ONNX network for ONNX files"
        no |= {"onnx": reason, "onnx-int8": reason}
    if isinstance(source, OnnxSource | TfliteSource) and source.precision == "int8":
        for name in ("onnx", "tflite"):
            no.setdefault(name, "the source is int8 already; start from the float32 network for a float32 file")
        other = "tflite-int8" if isinstance(source, OnnxSource) else "onnx-int8"
        no.setdefault(other, "an int8 network is not translated to another format; start from the float32 network")
    return no


class Builder:
    """Makes the files of one export; what two formats share is made once.

    Args:
        source: the backbone.
        options: what was asked for.
        calibration: pictures.
        reference: embeddings (n, dim) of the calibrating pictures by the source, projected where a projection is
            asked for.
        projection: see `Options.project`.
        tell: told what is going on: text, done, total.
    """

    def __init__(
        self,
        source: Source,
        options: Options,
        calibration: Calibration,
        reference: NDArray[np.float32],
        projection: Projection | None,
        tell: Callable[[str, int, int], None],
    ) -> None:
        self._source = source
        self._options = options
        self._calibration = calibration
        self._reference = reference
        self._projection = projection
        self._tell = tell
        self._fold = options.fold_preprocessing
        count = len(reference)
        self._compare = list(range(3, count, 4) if count >= LEAST_TO_DIVIDE else range(count))
        self._range = [i for i in range(count) if count < LEAST_TO_DIVIDE or i % 4 != 3]
        self._compare = self._compare[:: -(-len(self._compare) // MOST_COMPARED)]
        self.input = folded_input(source) if self._fold else source.input
        """What happens to a picture before the finished files."""
        self._quantisers: dict[str, tuple[Quantiser, Callable[[bytes], bytes]]] = {}
        self.notes: list[str] = []
        """What was decided on the way, one sentence each."""

    def build(self, format: str) -> Built:
        """Make one file.

        Raises:
            ExportError: the source cannot have this format; the message says why.
        """
        no = impossible_formats(self._source)
        if format in no:
            raise ExportError(no[format])
        if format.endswith("int8"):
            return self._int8(format)
        content = self._onnx if format == "onnx" else self._tflite
        return self._opened(format, content)

    def _opened(self, format: str, content: bytes, **more: Any) -> Built:
        return open_built(format, content, self.input, name=self._source.name, **more)

    @cached_property
    def _module(self) -> nn.Module:
        """The source in torch, projected."""
        from torch import nn

        if isinstance(self._source, TorchSource):
            module = self._source.module
        else:
            from edge_imprint_export.onnx_format.to_torch import onnx_to_torch

            assert isinstance(self._source, OnnxSource)
            module = onnx_to_torch(self._source.content)
        if self._projection is None:
            return module
        import torch

        last = nn.Linear(*reversed(self._projection.weight.shape))
        with torch.no_grad():
            last.weight.copy_(torch.from_numpy(self._projection.weight))
            last.bias.copy_(torch.from_numpy(self._projection.bias))
        return nn.Sequential(module, last).eval().requires_grad_(False)

    @cached_property
    def _onnx(self) -> bytes:
        self._tell("ONNX", 0, 1)
        if isinstance(self._source, OnnxSource):
            from edge_imprint_export.onnx_format import append

            content = self._source.content
            if self._projection is not None:
                content = append.append_linear(content, self._projection.weight, self._projection.bias)
            if self._fold and self._source.dtype == "float32":
                content = append.fold_preprocessing(content, self._picture_input, self._source.layout)
            return content
        from edge_imprint_export.onnx_format.build import torch_to_onnx

        return torch_to_onnx(self._module, self._picture_input, fold=self._fold, notes=self.notes)

    @cached_property
    def _tflite(self) -> bytes:
        if not self._fold:
            return self._float_tflite
        from edge_imprint_export.tflite_format import rewrite

        integer = isinstance(self._source, TfliteSource) and input_tensor(self._source).dtype != "float32"
        return rewrite.uint8_input(self._float_tflite if integer else self._raw_tflite)

    @cached_property
    def _float_tflite(self) -> bytes:
        """The TFLite file of normalised pictures; an integer one where the source is."""
        self._tell("TFLite", 0, 1)
        if not isinstance(self._source, TfliteSource):
            from edge_imprint_export.tflite_format.build import torch_to_tflite

            return torch_to_tflite(self._module, self._picture_input)
        if self._projection is None:
            return self._source.content
        from edge_imprint_export.tflite_format import rewrite

        return rewrite.append_linear(
            self._source.content, self._projection.weight, self._projection.bias, self._output_range()
        )

    @cached_property
    def _raw_tflite(self) -> bytes:
        """The TFLite file that normalises pictures itself, with a float32 input."""
        if isinstance(self._source, TfliteSource):
            from edge_imprint_export.tflite_format.normalise import raw_float

            return raw_float(self._float_tflite, self._picture_input)
        self._tell("TFLite", 0, 1)
        from edge_imprint_export.tflite_format.build import torch_to_tflite

        return torch_to_tflite(self._module, self._picture_input, fold="raw_float")

    @property
    def _picture_input(self) -> InputSpec:
        assert self._source.input is not None
        return self._source.input

    def _output_range(self) -> tuple[float, float]:
        headroom = min(1 + 2 / math.sqrt(len(self._reference)), MOST_HEADROOM)
        return headroom * float(self._reference.min()), headroom * float(self._reference.max())

    def _int8(self, format: str) -> Built:
        source = self._source
        if isinstance(source, OnnxSource | TfliteSource) and source.precision == "int8":
            return self._opened(format, self._onnx if format == "onnx-int8" else self._tflite)
        if not self._calibration.enough_for_int8:
            raise ExportError(
                f"int8 needs at least {LEAST_FOR_INT8} calibration pictures; got "
                f"{'none' if self._calibration.is_synthetic else len(self._calibration)}. "
                "Add pictures like those that the device will see (--calibration FOLDER)"
            )
        quantiser, _ = self._quantiser(format)
        layers, kept = len(quantiser.layers), self._options.keep_float
        if not layers:
            raise ExportError(
                f"int8 is made of layers with weights, and {self._source.name} has none before its embedding "
                f"{self._source.embedding}. Leave {format} out, or name a later one (--embedding)"
            )
        if isinstance(kept, int) and kept > layers:
            raise UsageError(
                f"{format} has {layers} layers that can stay in float; got {kept}. Keep fewer (--keep-float)"
            )
        method = self._options.method
        if method != "auto" and method not in quantiser.methods:
            known = ", ".join(quantiser.methods)
            self.notes.append(f"{format}: {method} is not known for this network; the best of {known} was measured.")
            method = "auto"
        chosen = choose_int8(
            quantiser,
            self._embed_with(format),
            self._reference[self._compare],
            method=method,
            keep_float=kept,
            aim=self._aim(self._options.min_cosine),
            progress=lambda done, total: self._tell(f"{format}: choosing settings", done, total),
        )
        return self._finished(format, chosen)

    def with_more_in_float(self, built: Built, least: float) -> Built | None:
        """An int8 file with more layers in float32 than this one, where how many is for the exporter to say.

        Args:
            built: made here.
            least: cosine of its worst judging picture, below `min_cosine`.

        Returns:
            None where no more layers may stay in float32, or where they would not help.
        """
        earlier = built.int8
        if earlier is None or self._options.keep_float != "auto":
            return None
        # What the comparing pictures promised was too much by as much as the judging ones missed.
        wanted = self._options.min_cosine
        acceptable = 1 - (1 - wanted) * (1 - wanted) / (1 - least)
        chosen = keep_more(
            self._quantiser(built.format)[0],
            self._embed_with(built.format),
            self._reference[self._compare],
            earlier,
            aim=self._aim(acceptable),
            progress=lambda done, total: self._tell(f"{built.format}: keeping more layers in float", done, total),
        )
        if len(chosen.keep_float) <= len(earlier.keep_float):
            return None
        self.notes.append(
            f"{built.format}: layers left in float32: {len(chosen.keep_float)} instead of {len(earlier.keep_float)}, "
            f"with which a judging picture had a cosine of {least:.4f}."
        )
        return self._finished(built.format, chosen)

    def _aim(self, acceptable: float) -> Aim:
        return Aim(acceptable=acceptable, pictures=len(self._calibration.judging))

    def _embed_with(self, format: str) -> Embed:
        """Embeds the comparing pictures with an int8 file that is not finished."""
        _, finish = self._quantiser(format)

        def embed(content: bytes) -> NDArray[np.float32]:
            candidate = self._opened(format, finish(content))
            tensors = self._calibration.tensors("calibrate", candidate.spec, spec=self.input)
            return np.concatenate([candidate.embed(tensors[i]) for i in self._compare])

        return embed

    def _finished(self, format: str, chosen: Chosen) -> Built:
        _, finish = self._quantiser(format)
        if chosen.whole is not None:
            chosen = dataclasses.replace(chosen, whole=finish(chosen.whole))
        return self._opened(format, finish(chosen.content), int8=chosen)

    def _quantiser(self, format: str) -> tuple[Quantiser, Callable[[bytes], bytes]]:
        """The quantiser of a format, and what is still done to its files. One at a time: they hold tensors."""
        if format not in self._quantisers:
            self._quantisers.clear()
            self._quantisers[format] = self._new_quantiser(format)
        return self._quantisers[format]

    def _new_quantiser(self, format: str) -> tuple[Quantiser, Callable[[bytes], bytes]]:

        def progress(done: int, total: int) -> None:
            self._tell(f"{format}: looking at pictures", done, total)

        if format == "onnx-int8":
            from edge_imprint_export.onnx_format.quantise import OnnxQuantiser

            float_file = self._opened("onnx", self._onnx)
            tensors = self._calibration.tensors("calibrate", float_file.spec, spec=self.input)
            return OnnxQuantiser(self._onnx, tensors.pick(self._range)), _same
        from edge_imprint_export.tflite_format import rewrite
        from edge_imprint_export.tflite_format.quantise import TfliteQuantiser

        if self._fold:
            pixels = self._calibration.tensors("calibrate", "nhwc", "float32", spec=self.input).pick(self._range)
            made = TfliteQuantiser(self._raw_tflite, pixels, input_range=(0.0, 255.0), progress=progress)
            finish = rewrite.uint8_input
        else:
            content = self._float_tflite
            tensors = self._calibration.tensors("calibrate", self._opened("tflite", content).spec)
            made, finish = TfliteQuantiser(content, tensors.pick(self._range), progress=progress), _same
        if made.between:
            self.notes.append(
                f"{format}: what lies between the layers stays float32, because the network normalises as it runs "
                "(layer norm or the like): 8 bits cannot hold that."
            )
        return made, finish


def _same(content: bytes) -> bytes:
    return content
