"""Run an ONNX file with onnxruntime, imported when the first one is opened."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import BundleError, MissingRuntimeError, ProviderWarning, ValueRangeError

# onnxruntime 1.29 and later report to their maker from Linux as well, unless this is set before they are imported.
# "No cloud" includes that; who wants it sets the variable to 0 beforehand.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}
_CPU = "CPUExecutionProvider"
_SUFFIX = "executionprovider"
VARIABLE = "EDGE_IMPRINT_PROVIDERS"
"""Environment variable: execution providers where none are named, for programs that do not ask."""


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingRuntimeError(
            f"an ONNX backbone needs onnxruntime; importing it failed: {error}. Install it: pip install "
            "edge-imprint[onnx]"
        ) from None
    return onnxruntime


def _short(provider: str) -> str:
    return re.sub(r"[^a-z0-9]", "", provider.lower()).removesuffix(_SUFFIX)


def choose_providers(wanted: str | Sequence[str] | None, available: Sequence[str]) -> list[str]:
    """Full names of execution providers, in the order asked for.

    Args:
        wanted: one name or several, short ("cpu", "cuda", "tensorrt") or full, in any case; None takes those of the
            environment variable EDGE_IMPRINT_PROVIDERS, separated by commas, and CPU where it is not set.
        available: full names that this onnxruntime offers.

    Raises:
        ValueRangeError: a name that is not available; the message lists those that are.

    Example:
        >>> choose_providers("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"])
        ['CUDAExecutionProvider']
    """
    if wanted is None:
        wanted = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()] or "cpu"
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    by_short = {_short(name): name for name in available}
    for name in names:
        if not isinstance(name, str) or _short(name) not in by_short:
            raise ValueRangeError(
                f"an execution provider must be one that this onnxruntime offers; got {name!r}. "
                f"Use one of: {', '.join(by_short)}, in providers= or {VARIABLE}; others need another onnxruntime."
            )
    if not names:
        raise ValueRangeError(f"providers must name at least one; got none. Use one of: {', '.join(by_short)}.")
    return [by_short[_short(name)] for name in names]


def _open(ort: Any, content: bytes, where: str, options: Any, chosen: Sequence[str]) -> tuple[Any, str]:
    """A session, and what onnxruntime said of the first provider that it refused; empty where it said nothing.

    onnxruntime's own way of going on with another provider prints on standard output, where answers are, so it is
    switched off: the first provider is left out instead, then the next. CPU comes last, also where it was not asked
    for: a network that does not start there either is broken.
    """

    class Session(ort.InferenceSession):  # type: ignore[misc]
        """1.16 to 1.20 do not heed the argument that switches it off; all of them, and 1.32, read this attribute."""

        _enable_fallback = property(lambda self: False, lambda self, value: None)

    attempts = [list(chosen[first:]) for first in range(len(chosen))]
    if attempts[-1] != [_CPU]:
        attempts.append([_CPU])
    why = ""
    for names in attempts:
        try:
            return Session(content, options, providers=names, enable_fallback=0), why
        except Exception as error:  # onnxruntime has no common base for what a broken file raises
            why, last = why or " ".join(str(error).split())[:400], error
    raise BundleError(
        f"an ONNX file must be whole and hold its own weights; onnxruntime refuses {where}: {str(last)[:300]}. Export "
        "it again as one file."
    ) from None


def _check_started(chosen: Sequence[str], active: Sequence[str], why: str) -> None:
    """Say which providers did not start: offered by the build, but a library or device that they need is missing."""
    missing = [name for name in chosen if name not in active]
    said = f" onnxruntime says: {why}" if why else ""
    if active[0] not in chosen:
        raise ValueRangeError(
            f"execution provider {chosen[0]} did not start on this machine; onnxruntime fell back to {active[0]}. "
            f"Install what it needs or use providers='cpu'.{said}"
        )
    if missing:
        several = len(missing) > 1
        warnings.warn(
            f"execution provider{'s' if several else ''} {' and '.join(missing)} did not start on this machine; "
            f"{active[0]} runs instead. Install what {'they need' if several else 'it needs'}, or leave "
            f"{'them' if several else 'it'} out of providers= or {VARIABLE}.{said}",
            ProviderWarning,
            stacklevel=5,  # this, OnnxRunner, what reads a bundle or a file, load_backbone, who called that
        )


class OnnxRunner:
    """One ONNX network with a single image input, ready to run.

    Args:
        content: the file's bytes, weights included.
        where: the file's name, for messages.
        embedding: name of the output to return; None chooses the only one.
        providers: see `choose_providers`.
        threads: of one run; None leaves it to onnxruntime.

    Attributes:
        input_shape: per axis a length, or None where the network leaves it open.
        input_dtype: "float32", "uint8" or "int8".
        embedding: the output's name.
        output_shape: as `input_shape`.
        output_dtype: as `input_dtype`.
        runtime: name of the package that runs it, with the execution provider.
        version: of that package.

    Raises:
        BundleError: the file is broken, or no backbone.
        MissingRuntimeError: onnxruntime is not installed.
        ValueRangeError: a provider that this onnxruntime does not offer, or none of those asked for starts.

    Warns:
        ProviderWarning: one of several providers does not start; it names what runs instead.
    """

    def __init__(
        self,
        content: bytes,
        where: str,
        embedding: str | None = None,
        providers: str | Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        ort = _import_onnxruntime()
        chosen = choose_providers(providers, ort.get_available_providers())
        options = ort.SessionOptions()
        options.log_severity_level = 3  # warnings are about the graph, which a user of the file cannot change
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session, why = _open(ort, content, where, options, chosen)
        active = self._session.get_providers()
        _check_started(chosen, active, why)
        self.runtime = f"onnxruntime {_short(active[0])}"
        self.version: str = ort.__version__
        self._where = where
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            found = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in inputs)
            raise BundleError(f"a backbone takes one tensor, a batch of pictures; {where} takes {found or 'none'}.")
        self._input: str = inputs[0].name
        self.input_shape = _lengths(inputs[0].shape)
        self.input_dtype = self._dtype(inputs[0].type)
        output = self._choose_output(embedding)
        self.embedding: str = output.name
        self.output_shape = _lengths(output.shape)
        self.output_dtype = self._dtype(output.type)

    def _dtype(self, onnx_type: str) -> str:
        if onnx_type not in _DTYPES:
            raise BundleError(
                f"input and embedding must be float32, uint8 or int8; {self._where} has {onnx_type}. Export "
                "it with float32."
            )
        return _DTYPES[onnx_type]

    def _choose_output(self, embedding: str | None) -> Any:
        outputs = self._session.get_outputs()
        if embedding is None and len(outputs) == 1:
            return outputs[0]
        for output in outputs:
            if output.name == embedding:
                return output
        got = "none was named" if embedding is None else f"got {embedding!r}"
        raise BundleError(
            f"the embedding must be one of the outputs of {self._where}; {got}. "
            f"Pass embedding=NAME with one of: {', '.join(repr(output.name) for output in outputs)}."
        )

    def __call__(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Run the tensor of one picture (1, ...), giving the embedding output as the network stores it."""
        try:
            (output,) = self._session.run([self.embedding], {self._input: tensor})
        except Exception as error:  # as above: no common base
            raise BundleError(f"{self._where} failed on a tensor {tensor.shape}: {str(error)[:300]}") from None
        return np.asarray(output)


def _lengths(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """Axis lengths; onnxruntime gives a name or None for an open axis."""
    return tuple(axis if isinstance(axis, int) and axis > 0 else None for axis in shape)
