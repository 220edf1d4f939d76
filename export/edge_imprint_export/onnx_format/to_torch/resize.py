"""Resize and Upsample: each axis on its own, by the formulas of the ONNX specification."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_imprint_export.onnx_format.to_torch.registry import Node, lengths, operator


@operator("Upsample", static=[1])
def _upsample(node: Node, x: Tensor, scales: NDArray[Any] | None = None) -> Tensor:
    return _resized(
        node, x, None, scales if scales is not None else np.asarray(node.get("scales")), "asymmetric", "floor"
    )


@operator("Resize", static=[1, 2, 3])
def _resize(
    node: Node,
    x: Tensor,
    region: NDArray[Any] | None = None,
    scales: NDArray[Any] | None = None,
    sizes: NDArray[Any] | None = None,
) -> Tensor:
    if node.opset < 11:  # its second input held the scales
        return _resized(node, x, None, region, "asymmetric", "floor")
    coordinates = str(node.get("coordinate_transformation_mode", "half_pixel"))
    rounding = str(node.get("nearest_mode", "round_prefer_floor"))
    return _resized(node, x, sizes, scales, coordinates, rounding)


def _resized(
    node: Node, x: Tensor, sizes: NDArray[Any] | None, scales: NDArray[Any] | None, coordinates: str, rounding: str
) -> Tensor:
    mode = str(node.get("mode", "nearest"))
    known = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
    if coordinates not in known or node.get("antialias", 0) or node.get("exclude_outside", 0):
        raise node.refuse(f"resizes with {coordinates}, or with antialias or exclude_outside")
    if str(node.get("keep_aspect_ratio_policy", "stretch")) != "stretch":
        raise node.refuse("keeps the aspect ratio")
    axes = [int(axis) % x.ndim for axis in node.get("axes") or range(x.ndim)]
    factors: dict[int, float] = {}
    targets: dict[int, int] = {}
    given = lengths(sizes) if sizes is not None and np.asarray(sizes).size else None
    for i, axis in enumerate(axes):
        if given is not None:
            if isinstance(given[i], int) and given[i] != x.shape[axis]:
                targets[axis], factors[axis] = given[i], given[i] / int(x.shape[axis])
        elif scales is not None:
            factor = float(np.asarray(scales).reshape(-1)[i])
            if factor != 1:
                targets[axis], factors[axis] = math.floor(int(x.shape[axis]) * factor), factor
    if not targets:
        return x
    places = {axis: _places(int(x.shape[axis]), target, factors[axis], coordinates) for axis, target in targets.items()}
    if mode == "nearest":
        return _nearest(x, places, targets, rounding)
    exact = all(factors[a] == targets[a] / int(x.shape[a]) for a in targets)
    usual = coordinates in ("half_pixel", "align_corners") or (
        coordinates == "pytorch_half_pixel" and 1 not in targets.values()
    )
    # Converters know these by their own operators; anything else is a product with a matrix.
    if mode in ("linear", "cubic") and x.ndim == 4 and set(targets) <= {2, 3} and exact and usual:
        size = [targets.get(axis, int(x.shape[axis])) for axis in (2, 3)]
        by_hand = mode == "cubic" and not math.isclose(float(node.get("cubic_coeff_a", -0.75)), -0.75)
        if not by_hand:
            kind = "bilinear" if mode == "linear" else "bicubic"
            return functional.interpolate(x, size, mode=kind, align_corners=coordinates == "align_corners")
    for axis, where in places.items():
        matrix = _matrix(where, int(x.shape[axis]), mode, float(node.get("cubic_coeff_a", -0.75)))
        x = torch.matmul(x.transpose(axis, -1), torch.from_numpy(matrix.T.copy())).transpose(axis, -1)
    return x


def _places(length: int, target: int, factor: float, coordinates: str) -> NDArray[np.float32]:
    """Where each element of the result lies in the original, rounded as onnxruntime rounds: in float32."""
    at, step = np.arange(target, dtype=np.float32), np.float32(factor)
    if coordinates == "align_corners":
        return at * np.float32(length - 1) / np.float32(target - 1) if target > 1 else np.zeros(1, np.float32)
    if coordinates == "asymmetric":
        return np.asarray(at / step)
    if coordinates == "pytorch_half_pixel" and target == 1:
        return np.zeros(1, np.float32)
    places = (at + np.float32(0.5)) / step - np.float32(0.5)
    if coordinates == "half_pixel_symmetric":
        adjusted = np.float32(target) / (step * np.float32(length))
        places = np.float32(length / 2) * (1 - adjusted) + places
    return places.astype(np.float32)


def _nearest(x: Tensor, places: dict[int, NDArray[np.float32]], targets: dict[int, int], rounding: str) -> Tensor:
    chosen = {}
    for axis, where in places.items():
        rounded = {
            "floor": np.floor(where),
            "ceil": np.ceil(where),
            "round_prefer_floor": np.ceil(where - 0.5),
            "round_prefer_ceil": np.floor(where + 0.5),
        }[rounding]
        chosen[axis] = np.clip(rounded, 0, int(x.shape[axis]) - 1).astype(np.int64)
    plain = all(
        np.array_equal(index, np.arange(targets[axis]) * int(x.shape[axis]) // targets[axis])
        for axis, index in chosen.items()
    )
    if plain and x.ndim == 4 and set(chosen) <= {2, 3}:
        return functional.interpolate(x, [targets.get(axis, int(x.shape[axis])) for axis in (2, 3)], mode="nearest")
    for axis, index in chosen.items():
        x = x.index_select(axis, torch.from_numpy(index))
    return x


def _matrix(where: NDArray[np.float32], length: int, mode: str, a: float) -> NDArray[np.float32]:
    """Weights (result, original) of linear or cubic interpolation along one axis."""
    matrix = np.zeros((len(where), length))
    start = np.floor(where).astype(int)
    part = where - start
    if mode == "linear":
        near = [(0, 1 - part), (1, part)]
    else:
        near = [(shift, _cubic(np.abs(part - shift), a)) for shift in (-1, 0, 1, 2)]
    for shift, weights in near:
        np.add.at(matrix, (np.arange(len(where)), np.clip(start + shift, 0, length - 1)), weights)
    return matrix.astype(np.float32)


def _cubic(distance: NDArray[np.float32], a: float) -> NDArray[np.float32]:
    inner = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    outer = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.asarray(np.where(distance <= 1, inner, outer))
