"""Operators that work number by number."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_imprint_export.onnx_format.to_torch.registry import Node, Value, as_tensor, on_shapes, operator

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": functional.relu,
    "Sqrt": torch.sqrt,
    "Exp": torch.exp,
    "Log": torch.log,
    "Neg": torch.neg,
    "Abs": torch.abs,
    "Erf": torch.erf,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "HardSwish": functional.hardswish,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Mish": functional.mish,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Round": torch.round,
    "Sign": torch.sign,
    "Reciprocal": torch.reciprocal,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Not": torch.logical_not,
    "IsNaN": torch.isnan,
}


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b, rounding_mode=None if a.is_floating_point() else "trunc")


_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": _divide,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}
_VARIADIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Min": torch.minimum,
    "Max": torch.maximum,
    "Sum": torch.add,
}


@operator(*_UNARY)
def _unary(node: Node, x: Tensor) -> Tensor:
    return _UNARY[node.operator](x)


@operator(*_BINARY)
def _binary(node: Node, a: Value, b: Value) -> Tensor:
    a, b = _pair(a, b)
    if node.opset < 7 and node.get("broadcast") and b.ndim < a.ndim:
        axis = int(node.get("axis", a.ndim - b.ndim)) % a.ndim
        b = b.reshape(*b.shape, *[1] * (a.ndim - b.ndim - axis))
    return _BINARY[node.operator](a, b)


def _pair(a: Value, b: Value) -> tuple[Tensor, Tensor]:
    """Both as tensors; a length that meets real numbers becomes one of them."""
    a_like = b if isinstance(b, Tensor) else None
    b_like = a if isinstance(a, Tensor) else None
    return as_tensor(a, a_like), as_tensor(b, b_like)


@operator(*_VARIADIC)
def _variadic(node: Node, *inputs: Value) -> Tensor:
    return functools.reduce(_VARIADIC[node.operator], [as_tensor(x) for x in inputs])


@operator("Mean")
def _mean(node: Node, *inputs: Value) -> Tensor:
    return functools.reduce(torch.add, [as_tensor(x) for x in inputs]) / len(inputs)


@operator("Pow", prefers=[1])
def _pow(node: Node, x: Tensor, exponent: Value) -> Tensor:
    if isinstance(exponent, np.ndarray) and exponent.size == 1:
        power = float(exponent.reshape(()))
        known = {2.0: lambda: x * x, 0.5: lambda: torch.sqrt(x), 1.0: lambda: x, -0.5: lambda: torch.rsqrt(x)}
        if x.is_floating_point() and exponent.ndim <= x.ndim:
            return known[power]() if power in known else torch.pow(x, power)
    return torch.pow(x, as_tensor(exponent)).to(x.dtype)


@operator("Mod")
def _mod(node: Node, a: Value, b: Value) -> Tensor:
    a, b = _pair(a, b)
    return torch.fmod(a, b) if node.get("fmod", 0) else torch.remainder(a, b)


@operator("LeakyRelu")
def _leaky_relu(node: Node, x: Tensor) -> Tensor:
    return functional.leaky_relu(x, float(node.get("alpha", 0.01)))


@operator("PRelu")
def _prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    by_channel = (
        x.ndim >= 2 and slope.numel() == x.shape[1] and slope.ndim == x.ndim - 1 and slope.shape[0] == x.shape[1]
    )
    if slope.numel() == 1 or by_channel:
        return functional.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, x * slope, x)


@operator("Elu")
def _elu(node: Node, x: Tensor) -> Tensor:
    return functional.elu(x, float(node.get("alpha", 1.0)))


@operator("Celu")
def _celu(node: Node, x: Tensor) -> Tensor:
    return functional.celu(x, float(node.get("alpha", 1.0)))


@operator("Selu")
def _selu(node: Node, x: Tensor) -> Tensor:
    alpha = float(node.get("alpha", 1.6732632423543772))
    gamma = float(node.get("gamma", 1.0507009873554805))
    return gamma * functional.elu(x, alpha)


@operator("ThresholdedRelu")
def _thresholded_relu(node: Node, x: Tensor) -> Tensor:
    return functional.threshold(x, float(node.get("alpha", 1.0)), 0.0)


@operator("HardSigmoid")
def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    alpha, beta = float(node.get("alpha", 0.2)), float(node.get("beta", 0.5))
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return functional.hardsigmoid(x)
    return torch.clamp(x * alpha + beta, 0.0, 1.0)


@operator("Gelu")
def _gelu(node: Node, x: Tensor) -> Tensor:
    return functional.gelu(x, approximate=str(node.get("approximate", "none")))


@operator("Clip", static=[1, 2])
def _clip(node: Node, x: Tensor, low: NDArray[Any] | None = None, high: NDArray[Any] | None = None) -> Tensor:
    least = node.get("min") if low is None else low.reshape(()).item()
    most = node.get("max") if high is None else high.reshape(()).item()
    # An old file writes the largest float for "no limit".
    least = None if least is not None and least <= -3.4028e38 else least
    most = None if most is not None and most >= 3.4028e38 else most
    if (least, most) == (0, 6):
        return functional.relu6(x)
    if least is None and most is None:
        return x
    return functional.relu(x) if (least, most) == (0, None) else torch.clamp(x, least, most)


@operator("Where")
def _where(node: Node, condition: Value, a: Value, b: Value) -> Tensor:
    a, b = _pair(a, b)
    return torch.where(as_tensor(condition), a, b)


@operator("Identity")
def _identity(node: Node, x: Value) -> Value:
    return x


@operator("Dropout", static=[1, 2])
def _dropout(node: Node, x: Tensor, *_: NDArray[Any] | None) -> Tensor:
    return x


@operator("QuantizeLinear")
def _quantise(node: Node, x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
    """Integers, kept in a float tensor: what follows is computed in float anyway."""
    kind = zero_point.dtype if zero_point is not None else torch.uint8
    limits = torch.iinfo(kind)
    zero = torch.zeros_like(scale) if zero_point is None else zero_point.to(scale.dtype)
    steps = torch.round(x / _along(node, x, scale)) + _along(node, x, zero)
    return torch.clamp(steps, limits.min, limits.max)


@operator("DequantizeLinear")
def _dequantise(node: Node, x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
    steps = x.to(scale.dtype)
    if zero_point is not None:
        steps = steps - _along(node, x, zero_point.to(scale.dtype))
    return steps * _along(node, x, scale)


def _along(node: Node, x: Tensor, values: Tensor) -> Tensor:
    if values.numel() == 1 or x.ndim == 0:
        return values.reshape(())
    if values.ndim != 1 or node.get("block_size", 0):
        raise node.refuse("is quantised in blocks")
    shape = [1] * x.ndim
    shape[int(node.get("axis", 1)) % x.ndim] = -1
    return values.reshape(shape)


def _floor_divide(a: Any, b: Any) -> Any:
    return a / b if isinstance(a, float | torch.SymFloat) or isinstance(b, float | torch.SymFloat) else a // b


_ON_SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": _floor_divide,
    "Mod": lambda a, b: a % b,
    "Equal": lambda a, b: bool(a == b),
    "Greater": lambda a, b: bool(a > b),
    "GreaterOrEqual": lambda a, b: bool(a >= b),
    "Less": lambda a, b: bool(a < b),
    "LessOrEqual": lambda a, b: bool(a <= b),
    "Min": torch.sym_min,
    "Max": torch.sym_max,
}


@on_shapes(*_ON_SHAPES)
def _with_lengths(node: Node, *inputs: NDArray[Any]) -> NDArray[Any]:
    function = np.frompyfunc(_ON_SHAPES[node.operator], 2, 1)
    return np.asarray(functools.reduce(function, inputs), dtype=object)


@on_shapes("Where")
def _where_lengths(node: Node, condition: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    choose = np.frompyfunc(lambda c, x, y: x if c else y, 3, 1)
    return np.asarray(choose(condition, a, b), dtype=object)


@on_shapes("Identity")
def _identity_of_lengths(node: Node, x: NDArray[Any]) -> NDArray[Any]:
    return x


@on_shapes("Sqrt", "Neg", "Floor", "Ceil")
def _unary_of_lengths(node: Node, x: NDArray[Any]) -> NDArray[Any]:
    table: dict[str, Callable[[Any], Any]] = {
        "Sqrt": torch.sym_sqrt if hasattr(torch, "sym_sqrt") else math.sqrt,
        "Neg": lambda v: -v,
        "Floor": lambda v: float(math.floor(v)),
        "Ceil": lambda v: float(math.ceil(v)),
    }
    return np.asarray(np.frompyfunc(table[node.operator], 1, 1)(x), dtype=object)
