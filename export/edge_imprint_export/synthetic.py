"""Made-up pictures: enough to show that two files compute the same, never enough to set int8 ranges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

COUNT = 32


def pictures(height: int, width: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Name and pixels (height, width, 3) of noise at several scales, gradients and shapes, the same every time."""
    rng = np.random.default_rng(20250101)
    kinds = (_noise, _gradient, _shapes, _stripes)
    for number in range(COUNT):
        kind = kinds[number % len(kinds)]
        image = kind(rng, height, width, number // len(kinds))
        yield f"{kind.__name__[1:]} {number // len(kinds)}", np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def tensors(shape: tuple[int, ...]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name and values of normal noise of a shape, for networks that take no pictures, louder one by one."""
    rng = np.random.default_rng(20250101)
    for number in range(COUNT):
        loudness = 2.0 ** (number % 4 - 2)
        yield f"noise {number}", (rng.standard_normal(shape) * loudness).astype(np.float32)


def _noise(rng: np.random.Generator, height: int, width: int, number: int) -> NDArray[np.float64]:
    """Blocks of 1, 2, 4, ... pixels, each of one colour."""
    side = 1 << number % 6
    blocks = rng.random((-(-height // side), -(-width // side), 3))
    return np.asarray(blocks.repeat(side, 0).repeat(side, 1)[:height, :width])


def _gradient(rng: np.random.Generator, height: int, width: int, number: int) -> NDArray[np.float64]:
    """From one colour to another, in some direction."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    turn = rng.uniform(0, 2 * np.pi)
    way = np.cos(turn) * x + np.sin(turn) * y
    way = (way - way.min()) / max(float(np.ptp(way)), 1e-9)
    first, last = rng.random((2, 3))
    return np.asarray(way[..., None] * first + (1 - way[..., None]) * last)


def _shapes(rng: np.random.Generator, height: int, width: int, number: int) -> NDArray[np.float64]:
    """Discs and boxes on a plain ground."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.tile(rng.random(3), (height, width, 1))
    for _ in range(2 + number):
        top, left = rng.random(2) * (height, width)
        radius = rng.uniform(0.05, 0.35) * min(height, width)
        inside = (
            np.hypot(y - top, x - left) < radius
            if rng.random() < 0.5
            else (abs(y - top) < radius) & (abs(x - left) < radius / 2)
        )
        image[inside] = rng.random(3)
    return image


def _stripes(rng: np.random.Generator, height: int, width: int, number: int) -> NDArray[np.float64]:
    """Waves of some width and direction between two colours, with a little noise."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    turn = rng.uniform(0, np.pi)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * 2 ** (number % 5) * (np.cos(turn) * x + np.sin(turn) * y))
    first, last = rng.random((2, 3))
    noise = rng.normal(0, 0.03, (height, width, 3))
    return np.asarray(wave[..., None] * first + (1 - wave[..., None]) * last + noise)
