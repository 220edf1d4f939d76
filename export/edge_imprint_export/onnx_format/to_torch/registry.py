"""The table of operators, and what each of them is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_imprint.errors import ExportError

# A value in the graph: numbers that depend on the picture, or lengths of axes (object arrays of int and SymInt).
Value = Any


@dataclass(frozen=True)
class Node:
    """A node's own settings.

    Attributes:
        operator: its type, such as "Conv".
        name: for messages.
        opset: version of the operators in the file.
        attributes: by name, as Python values.
        outputs: how many outputs are used.
    """

    operator: str
    name: str
    opset: int
    attributes: dict[str, Any]
    outputs: int = 1

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute; text as str."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def refuse(self, why: str) -> ExportError:
        """The error of a form of this operator that is not translated."""
        return ExportError(
            f"an .onnx file becomes TFLite by way of torch; {self.operator} {self.name!r} {why}. "
            "Export the network without it, or leave the TFLite formats out"
        )


Function = Callable[..., Any]


@dataclass(frozen=True)
class Operator:
    """A translated operator.

    Attributes:
        function: called with the node and its inputs; None for an input that is left out.
        static: positions of inputs that must be known without a picture (or be lengths); given as arrays.
        prefers: positions that are given as arrays where they are constants.
        shapes: computes with lengths of axes too; called with arrays alone then.
    """

    function: Function
    static: frozenset[int]
    prefers: frozenset[int]
    shapes: Function | None


OPERATORS: dict[str, Operator] = {}
_SHAPES: dict[str, Function] = {}


def operator(*names: str, static: Iterable[int] = (), prefers: Iterable[int] = ()) -> Callable[[Function], Function]:
    """Enter a function in the table."""

    def enter(function: Function) -> Function:
        for name in names:
            OPERATORS[name] = Operator(function, frozenset(static), frozenset(prefers), None)
        return function

    return enter


def on_shapes(*names: str) -> Callable[[Function], Function]:
    """Enter how an operator, already in the table, computes with lengths of axes."""

    def enter(function: Function) -> Function:
        for name in names:
            known = OPERATORS[name]
            OPERATORS[name] = Operator(known.function, known.static, known.prefers, function)
        return function

    return enter


def lengths(values: NDArray[Any]) -> list[Any]:
    """Elements of an array of lengths: int, or SymInt where torch leaves an axis open."""
    return [_plain(value) for value in np.asarray(values).reshape(-1).tolist()]


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float | np.generic) else value


def as_tensor(value: Value, like: Tensor | None = None) -> Tensor:
    """A tensor of a value, of the type of `like` where that is a float and the value has no type of its own."""
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.dtype != object:
        return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape).copy())
    kind = like.dtype if like is not None and like.is_floating_point() else None
    flat = [torch.scalar_tensor(v, dtype=kind or _kind_of(v)) for v in array.reshape(-1).tolist()]
    return torch.stack(flat).reshape(array.shape) if array.ndim else flat[0]


def _kind_of(value: Any) -> torch.dtype:
    return torch.float32 if isinstance(value, float | torch.SymFloat) else torch.int64


def axes_of(node: Node, given: NDArray[Any] | None) -> list[int] | None:
    """The axes of an operator that has them as an attribute in old files and as an input in new ones."""
    if given is not None:
        return [int(axis) for axis in np.asarray(given).reshape(-1)]
    axes = node.get("axes")
    return None if axes is None else [int(axis) for axis in np.atleast_1d(axes)]
