"""What a network must not contain, and what its versions must be, to run on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_imprint.errors import ExportError
from edge_imprint_export.onnx_format.proto import RUNTIME_DOMAIN, STANDARD_DOMAINS, array

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_QUANTISED = ("QLinear", "QGemm", "QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")


def control_flow(model: Any) -> list[str]:
    """Control-flow operators of a model, as "If 'node name'"."""
    return [f"{n.op_type} {n.name or n.output[0]!r}" for n in model.graph.node if n.op_type in _CONTROL_FLOW]


def check_operators(model: Any, where: str) -> list[str]:
    """Refuse control flow and operators from somewhere else.

    Returns:
        Notes on operators that only onnxruntime has.

    Raises:
        ExportError: the operators and their nodes are named.
    """
    branching = control_flow(model)
    if branching:
        raise ExportError(
            f"a backbone computes the same steps for every picture; {where} has control flow before its embedding: "
            f"{_some(branching)}. Export the network again with fixed shapes, or choose an earlier --embedding"
        )
    strangers = [
        f"{node.domain}::{node.op_type} {node.name or node.output[0]!r}"
        for node in model.graph.node
        if node.domain not in (*STANDARD_DOMAINS, RUNTIME_DOMAIN)
    ]
    if strangers:
        raise ExportError(
            f"operators must be ONNX's own; {where} uses {_some(strangers)}. Export the network without them, or "
            "choose an earlier --embedding"
        )
    extras = sorted({node.op_type for node in model.graph.node if node.domain == RUNTIME_DOMAIN})
    return [f"operators that only onnxruntime has: {_some(extras)}; TensorRT refuses them"] if extras else []


def check_weights(model: Any, where: str) -> None:
    """Refuse weights with NaN.

    Raises:
        ExportError: the first such tensor is named.
    """
    constants = [(weight.name, weight) for weight in model.graph.initializer]
    for node in model.graph.node:
        constants += [(node.output[0], a.t) for a in node.attribute if node.op_type == "Constant" and a.HasField("t")]
    for name, constant in constants:
        values = array(constant)
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ExportError(
                f"weights must be numbers; in {where} {name!r} has {int(np.isnan(values).sum())} NaN of {values.size}. "
                "Take an earlier state of the training"
            )


def is_quantised(model: Any) -> bool:
    """Whether layers of a model compute in int8, or are marked for it by QuantizeLinear."""
    return any(node.op_type.startswith(_QUANTISED) for node in model.graph.node)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
