"""The head's options and their ranges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_imprint.errors import ValueRangeError

METHODS = ("proxies", "ridge", "auto")


class Options(NamedTuple):
    """What shapes a class: how many centres it may have, and how many shots its mean weighs at most in each."""

    max_centres: int
    shrinkage: int


def check_options(method: str, max_proxies: int, shrinkage: int) -> Options:
    """The options, checked.

    Raises:
        ValueRangeError: one is out of its range.
    """
    if method not in METHODS:
        raise ValueRangeError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    _check_range("max_proxies", max_proxies, 1, 256)
    _check_range("shrinkage", shrinkage, 1, 4095)
    return Options(max_centres=int(max_proxies) - 1, shrinkage=int(shrinkage))


def false_accept_ppm(rate: float) -> int:
    """A false-accept rate, 0.001 to 0.5, in parts per million; `ValueRangeError` outside."""
    _check_range("false_accept_rate", rate, 0.001, 0.5)
    return round(rate * 1_000_000)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise ValueRangeError(f"{name} must be from {low} to {high}; got {value!r}")
