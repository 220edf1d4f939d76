"""Look through a .tflite file with the classes of its schema."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from edge_imprint.backbones.flatbuffer import Graph, read_graph
from edge_imprint.errors import BundleError, MissingRuntimeError


def schema() -> Any:
    """The module with the classes of the TFLite schema.

    Raises:
        MissingRuntimeError: LiteRT is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingRuntimeError(
            f"rewriting a .tflite file needs ai-edge-litert; importing it failed: {error}. "
            "Install it: pip install 'edge-imprint[export]'"
        ) from None
    return schema_py_generated


@cache
def operator_names() -> dict[int, str]:
    """Number to name of every built-in operator of the schema."""
    numbers = vars(schema().BuiltinOperator)
    return {number: name for name, number in numbers.items() if isinstance(number, int) and not name.startswith("_")}


def code_name(code: Any) -> str:
    """Name of an operator code: a built-in's, or `CUSTOM:` and the name its author gave it."""
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema().BuiltinOperator.CUSTOM:
        return "CUSTOM:" + (code.customCode or b"").decode("utf-8", "replace")[:80]
    return operator_names().get(number, f"#{number}")


@dataclass
class OpenFile:
    """A .tflite file that was looked through: its graph, the schema's view of it, its operators' names."""

    content: bytes
    name: str
    graph: Graph
    model: Any
    codes: list[Any]
    operators: list[str]

    def damaged(self, why: str) -> BundleError:
        """The error of a file in which something points nowhere."""
        return BundleError(
            f"a TFLite file must be a whole flatbuffer; {self.name}: {why[:200]}. Download or export it again."
        )


def open_file(content: bytes, name: str) -> OpenFile:
    """Look through subgraph 0 of a .tflite file.

    Raises:
        BundleError: not a TFLite file, or a damaged one.
        MissingRuntimeError: LiteRT is not installed.
    """
    generated = schema()
    graph = read_graph(content, name)
    opened = OpenFile(content, name, graph, None, [], [])
    try:
        opened.model = generated.Model.GetRootAs(content, 0)
        opened.codes = [
            generated.OperatorCodeT.InitFromObj(opened.model.OperatorCodes(i))
            for i in range(opened.model.OperatorCodesLength())
        ]
        names = [code_name(code) for code in opened.codes]
        subgraph = opened.model.Subgraphs(0)
        opened.operators = [names[subgraph.Operators(i).OpcodeIndex()] for i in range(len(graph.operators))]
    except Exception as error:  # whatever the generated code stumbles over in a damaged file
        raise opened.damaged(f"{type(error).__name__}: {error}") from None
    return opened


def open_axes(opened: OpenFile, tensor: int) -> tuple[int, ...]:
    """The axes of a tensor, other than that of the batch, whose length a file leaves open.

    Raises:
        BundleError: the file is damaged.
    """
    try:
        signature = schema().TensorT.InitFromObj(opened.model.Subgraphs(0).Tensors(tensor)).shapeSignature
    except Exception as error:  # as in open_file
        raise opened.damaged(f"{type(error).__name__}: {error}") from None
    return tuple(axis for axis, length in enumerate(listed(signature)) if axis and length < 0)


def variables(opened: OpenFile) -> list[str]:
    """Names of the tensors that keep their values from one run to the next, with the operator that does so.

    Raises:
        BundleError: the file is damaged.
    """
    found = []
    try:
        subgraph = opened.model.Subgraphs(0)
        for number, operator in enumerate(opened.graph.operators):
            for i in operator.inputs:
                if i >= 0 and subgraph.Tensors(i).IsVariable():
                    found.append(f"{opened.graph.tensors[i].name!r} of {opened.operators[number]}")
    except Exception as error:  # as in open_file
        raise opened.damaged(f"{type(error).__name__}: {error}") from None
    return found


def listed(values: Any) -> list[int]:
    """A vector of the schema, which may be absent, as a list."""
    return [] if values is None else [int(value) for value in values]
