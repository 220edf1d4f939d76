"""Which operators a file uses, and which of them its targets lack.

The tables are in `operators.json`, each with where it comes from: measured with one small layer per operator and
dtype, or a vendor's own list of a named version. An operator that no table knows counts as lacking.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edge_imprint.errors import BundleError, MissingRuntimeError

# Operator with the dtype that decides who runs it ("CONV_2D int8", "Conv"), and how often it is used.
Used = tuple[str, int]


@dataclass(frozen=True)
class Target:
    """Something that runs files, and what is known about it.

    Attributes:
        name: for people.
        source: where its table comes from, with the version.
        note: what a lacking operator means there.
    """

    name: str
    source: str
    note: str


@cache
def _tables() -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = json.loads(
        (Path(__file__).parent / "operators.json").read_text(encoding="utf-8")
    )
    return tables


def targets(format: str) -> tuple[Target, ...]:
    """What runs files of a format, "onnx" or "tflite"."""
    return tuple(Target(name, table["source"], table["note"]) for name, table in _tables()[format].items())


def support(format: str, operators: Iterable[Used]) -> dict[str, list[str]]:
    """Per target, the operators of a file that it lacks, sorted.

    Args:
        format: "onnx" or "tflite".
        operators: what `onnx_operators` or `tflite_operators` gave.

    Example:
        >>> support("tflite", [("CONV_2D int8", 4), ("GELU int8", 1)])["TFLite Micro"]
        ['GELU int8']
    """
    names = sorted({name for name, _ in operators})
    return {
        target: [name for name in names if not _has(table["operators"], name)]
        for target, table in _tables()[format].items()
    }


def _has(table: Any, name: str) -> bool:
    if isinstance(table, list):
        return name in table
    operator, _, dtype = name.partition(" ")
    if dtype in table:
        return operator in table[dtype]
    return any(operator in of_dtype for of_dtype in table.values())  # of indices, shapes or masks


def tflite_operators(content: bytes) -> list[Used]:
    """Operators of a .tflite file with the dtype of what each computes on, the most used first.

    Raises:
        BundleError: a damaged file.
        MissingRuntimeError: LiteRT is not installed.
    """
    from edge_imprint_export.tflite_format.flatfile import open_file

    opened = open_file(content, "the file")
    graph = opened.graph
    computed = {*graph.inputs, *(i for operator in graph.operators for i in operator.outputs)}
    counts: Counter[str] = Counter()
    for name, operator in zip(opened.operators, graph.operators, strict=True):
        data = [i for i in (*operator.inputs, *operator.outputs) if i in computed]
        counts[f"{name} {graph.tensors[data[0]].dtype}" if data else name] += 1
    return _ordered(counts)


def onnx_operators(content: bytes) -> list[Used]:
    """Operators of an .onnx file, the most used first; those that quantise with the dtype of the stored numbers.

    Raises:
        BundleError: a damaged file.
        MissingRuntimeError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingRuntimeError(
            f"reading an .onnx file's operators needs onnx; importing it failed: {error}. "
            "Install it: pip install 'edge-imprint[export]'"
        ) from None
    try:
        graph = onnx.load_model_from_string(content).graph
        return _ordered(Counter(_onnx_names(graph)))
    except Exception as error:  # protobuf and numpy have no common base for what a broken file raises
        raise BundleError(f"an ONNX file must be whole; {str(error)[:200]}. Export it again.") from None


def _onnx_names(graph: Any) -> Iterator[str]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}:{node.op_type}"
        if name in ("QuantizeLinear", "DequantizeLinear"):
            name = f"{name} {_stored_as(constants.get(node.input[2]) if len(node.input) > 2 else None)}"
        yield name
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _onnx_names(inner)


def _stored_as(zero_point: Any) -> str:
    """The dtype of quantised numbers, which is that of their zero point, and whether that is other than 0."""
    from onnx import helper, numpy_helper

    if zero_point is None:
        return "uint8"  # the default of the operator
    dtype = helper.tensor_dtype_to_np_dtype(zero_point.data_type).name
    return f"{dtype} with zero point" if numpy_helper.to_array(zero_point).any() else dtype


def _ordered(counts: Counter[str]) -> list[Used]:
    return sorted(counts.items(), key=lambda used: (-used[1], used[0]))
