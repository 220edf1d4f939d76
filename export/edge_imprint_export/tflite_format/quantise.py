"""int8 .tflite files from a float32 one: int8 in and out, weights per channel."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ExportError, MissingRuntimeError
from edge_imprint_export.int8.quantiser import Layer
from edge_imprint_export.tflite_format.equalise import can_equalise, equalise
from edge_imprint_export.tflite_format.first_layer import align
from edge_imprint_export.tflite_format.network import FLOAT32, OUTPUT_AXIS, Network, tidied
from edge_imprint_export.tflite_format.prepared import Prepared
from edge_imprint_export.tflite_format.quiet import quiet
from edge_imprint_export.tflite_format.ranges import Range

_EQUALISED = "equalised"
# Operators of a layer norm, group norm or the like, which a batch norm, folded into its layer, does without.
_NORMALISES = ("RSQRT", "SQRT", "SQUARED_DIFFERENCE")


class TfliteQuantiser:
    """Makes int8 files of one float32 .tflite file.

    Calibration pictures run at the first use, and once more for the equalised methods. What a file is quantised to
    depends on the file and the pictures alone.

    Args:
        content: the float32 file: one input, one output. Not modified.
        calibration: input tensors (1, ...) as the float32 file takes them, made on demand.
        input_range: lowest and highest value that the input can have; None takes them from the pictures.
        progress: told (pictures done, all pictures) while calibrating.

    Raises:
        BundleError: a damaged file.
        ExportError: several inputs or outputs, an input that is not float32, weights that are quantised already.
        MissingRuntimeError: ai-edge-quantizer is missing.
    """

    def __init__(
        self,
        content: bytes,
        calibration: Sequence[NDArray[np.float32]],
        *,
        input_range: Range | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        _import_quantizer()
        self._network = Network(content)
        self._check()
        self._calibration = calibration
        self._exact = align(self._network)
        if input_range is not None:
            self._exact.setdefault(self._network.input, input_range)
        self._progress = progress
        plain = ("minmax", "mse", "percentile")
        self.methods: tuple[str, ...] = ("equalised", "equalised-mse", *plain) if can_equalise(self._network) else plain
        self._prepared: dict[bool, Prepared] = {}

    def _check(self) -> None:
        network = self._network
        kind = network.tensors[network.input].type
        stored = [t for t in network.tensors if t.quantization is not None and t.quantization.scale is not None]
        if kind != FLOAT32 or stored:
            raise ExportError(
                "int8 is made from a float32 .tflite file with a float32 input; this one is quantised, in part or as "
                "a whole. Start from the float32 network"
            )

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Layers with weights, in graph order."""
        return tuple(
            Layer(self._network.name(outputs[0]), code, self._products(code, inputs, outputs[0]))
            for code, _, inputs, outputs in self._network
            if code in OUTPUT_AXIS and any(self._network.is_constant(i) and i >= 0 for i in inputs)
        )

    def _products(self, code: str, inputs: list[int], output: int) -> int:
        """Multiplications of a layer for one picture; an axis of unknown length counts once."""
        weights = next(self._network.shape(i) for i in inputs if i >= 0 and self._network.is_constant(i) and
                       len(self._network.shape(i)) > OUTPUT_AXIS[code])  # fmt: skip
        places = math.prod(max(axis, 1) for axis in self._network.shape(output))
        return max(1, places * math.prod(weights) // max(1, weights[OUTPUT_AXIS[code]]))

    def quantise(
        self, method: str, *, keep_float: frozenset[str] = frozenset(), only: frozenset[str] | None = None
    ) -> bytes:
        """Bytes of an int8 file.

        Args:
            method: one of `methods`, which are fewer where nothing can be equalised. "minmax", "percentile" and "mse"
                are how a tensor's range is chosen, see `covering`; "equalised" is "minmax" and "equalised-mse" is
                "mse" after channels were equalised.
            keep_float: names of layers that stay float32, between a DEQUANTIZE and a QUANTIZE. Where there are any,
                sums of two tensors stay float32 too: that costs no time that one could measure, and a stream of
                residual sums is what 8 bits hold worst. In a network that normalises as it runs everything `between`
                its layers stays float32 in any case.
            only: names of the layers that become int8; everything else, input and output too, stays float32.

        Raises:
            ExportError: an unknown method or layer, or a network that ai-edge-quantizer refuses.
        """
        self._check_names(method, keep_float | (only or frozenset()))
        equal = method.startswith(_EQUALISED)
        if equal not in self._prepared:
            self._prepared[equal] = self._prepare(equal)
        how = method.removeprefix(_EQUALISED).removeprefix("-") or "minmax"
        chosen = (only if only is not None else frozenset(layer.name for layer in self.layers)) - keep_float
        content, statistics = self._prepared[equal].take(how, chosen)
        between = frozenset(self.between or (self._sums if keep_float else ()))
        return _quantised(content, statistics, _recipe(keep_float | between, only))

    @cached_property
    def between(self) -> tuple[str, ...]:
        """What stays float32 between int8 layers, by outputs; nothing where a network does not normalise as it runs.

        Layer norm divides by a spread that each picture has for itself. In int8 its squares and reciprocal roots cost a
        small vision transformer 0.15 of cosine at the worst picture, and a third more time than float32. What reads the
        input and what gives the output are int8 all the same: so are the file's two ends.
        """
        network = self._network
        if not any(code in _NORMALISES for code, *_ in network):
            return ()
        return tuple(
            ";".join(map(network.name, outputs))
            for code, _, inputs, outputs in network
            if code not in OUTPUT_AXIS and network.input not in inputs and network.output not in outputs
        )

    @cached_property
    def _sums(self) -> tuple[str, ...]:
        """Outputs of the operators that add two tensors, neither of them a constant."""
        network = self._network
        return tuple(
            network.name(outputs[0])
            for code, _, inputs, outputs in network
            if code == "ADD" and not any(network.is_constant(i) for i in inputs)
        )

    def _check_names(self, method: str, names: frozenset[str]) -> None:
        if method not in self.methods:
            raise ExportError(f"a calibration method is one of {', '.join(self.methods)}; got {method!r}")
        unknown = sorted(names - {layer.name for layer in self.layers})
        if unknown:
            raise ExportError(f"layers are named as in `layers`; there is no {unknown[0]!r}")

    def _prepare(self, equal: bool) -> Prepared:
        network = self._network
        if not equal:
            return Prepared(network, self._calibration, self._exact, self._progress)
        if False not in self._prepared:
            self._prepared[False] = self._prepare(False)
        plain = self._prepared[False]
        network = Network(network.write())
        seen = plain.scaled(equalise(network, plain.flows), network)
        return Prepared(network, self._calibration, self._exact, self._progress, seen)


def _import_quantizer() -> Any:
    try:
        with quiet():
            from ai_edge_quantizer import quantizer, recipe  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingRuntimeError(
            f"int8 TFLite files need ai-edge-quantizer; importing it failed: {error}. "
            "Install it: pip install 'edge-imprint[export]'"
        ) from None
    return quantizer, recipe


def _recipe(keep_float: frozenset[str], only: frozenset[str] | None) -> list[dict[str, Any]]:
    """What to quantise; a later entry wins. An operator is known by its outputs' names, each with a ";" behind it."""
    _, recipe = _import_quantizer()
    everything: dict[str, Any] = recipe.static_wi8_ai8()[0]
    entries = [everything] if only is None else []
    entries += [{**everything, "regex": _exactly(name)} for name in sorted(only or ())]
    entries += [{**everything, "regex": _exactly(name), "algorithm_key": "no_quantize"} for name in sorted(keep_float)]
    return entries


def _exactly(name: str) -> str:
    return f"^{re.escape(name)};$"


def _quantised(content: bytes, statistics: dict[str, Any], recipe: list[dict[str, Any]]) -> bytes:
    quantizer, _ = _import_quantizer()
    with quiet():
        try:
            one = quantizer.Quantizer(bytearray(content))
            one.load_quantization_recipe(recipe)
            result = one.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ExportError(
                f"ai-edge-quantizer must take the network; it says: {str(error)[:300]}. Leave tflite-int8 out"
            ) from None
        made = bytes(result.quantized_model)
    return tidied(made, "the quantised network")
