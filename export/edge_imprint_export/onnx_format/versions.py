"""Operator set and format version of a file that the runtimes on boards can read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import EdgeImprintError, ExportError
from edge_imprint_export.onnx_format.proto import (
    IR_VERSION,
    OLDEST_OPSET,
    OPSET,
    RUNTIME_DOMAIN,
    STANDARD_DOMAINS,
    import_onnx,
    opset_of,
    quiet,
)
from edge_imprint_export.onnx_format.trial import run, same

# The newest operator set of onnxruntime 1.16; 1.17 to 1.19 know up to 21.
NEWEST_ON_BOARDS, NEWEST_ON_NEW_BOARDS = 19, 21


def check_readable(model: Any, where: str) -> None:
    """Refuse a model that is newer than the onnx package here.

    Raises:
        ExportError: with the versions.
    """
    onnx = import_onnx()
    newest = onnx.defs.onnx_opset_version()
    if model.ir_version > onnx.IR_VERSION or opset_of(model) > newest:
        raise ExportError(
            f"{where} is of ONNX format {model.ir_version} with operator set {opset_of(model)}; onnx "
            f"{onnx.__version__} here reads up to {onnx.IR_VERSION} with {newest}. Install a newer onnx, or "
            f"export for operator set {OPSET}"
        )


def for_devices(model: Any, where: str, picture: NDArray[np.generic]) -> tuple[Any, list[str]]:
    """A model in versions that devices and the quantiser read; it gives the same output on `picture`.

    Args:
        model: with one output. May be modified.
        where: name of the file, for messages.
        picture: an input tensor.

    Returns:
        The model and notes on what was changed.

    Raises:
        ExportError: its operators exist only in newer versions.
    """
    model.ir_version = min(max(model.ir_version, 4), IR_VERSION)
    opset = opset_of(model)
    if OLDEST_OPSET <= opset <= NEWEST_ON_BOARDS:
        return model, []
    expected = run(model, where, picture)
    for attempt in (_converted, _relabelled):
        other = attempt(model)
        if other is None:
            continue
        try:
            if same(expected, run(other, where, picture)):
                return other, [f"operator set {opset} was converted to {OPSET}"]
        except EdgeImprintError:
            continue
    if opset < OLDEST_OPSET:
        return model, [f"operator set {opset} could not be converted to {OPSET}; int8 may not be possible"]
    if opset <= NEWEST_ON_NEW_BOARDS:
        return model, [
            f"operator set {opset} could not be converted to {OPSET}; onnxruntime before 1.19 refuses the file"
        ]
    newer = sorted({node.op_type for node in model.graph.node if _is_newer(node)})
    raise ExportError(
        f"onnxruntime on devices reads operator sets up to {NEWEST_ON_NEW_BOARDS}; {where} uses {opset}"
        + (f" with {', '.join(newer)}" if newer else "")
        + f", which cannot be converted. Export the network for operator set {OPSET}"
    )


def _converted(model: Any) -> Any | None:
    """By onnx's own converter, which knows what changed but lacks many ways back."""
    onnx = import_onnx()
    if any(node.domain == RUNTIME_DOMAIN for node in model.graph.node):
        return None
    try:
        with quiet():
            other = onnx.version_converter.convert_version(model, OPSET)
            onnx.checker.check_model(other)
    except Exception:  # a RuntimeError or ConvertError of its C++ side
        return None
    other.ir_version = model.ir_version
    return other


def _relabelled(model: Any) -> Any | None:
    """The same nodes under another number: most versions of most operators differ only in the types that they take."""
    onnx = import_onnx()
    other = type(model)()
    other.CopyFrom(model)
    for entry in other.opset_import:
        if entry.domain in STANDARD_DOMAINS:
            entry.version = OPSET
    try:
        onnx.checker.check_model(other)
    except Exception:  # ValidationError
        return None
    return other


def _is_newer(node: Any) -> bool:
    onnx = import_onnx()
    try:
        onnx.defs.get_schema(node.op_type, OPSET, node.domain)
    except Exception:  # SchemaError
        return True
    return False
