"""One lock per head, so that threads may teach and ask the same one.

Without it a thread could ask between the moment when a class is entered and the moment when its proxy is there, or save
half of a lesson.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class Lockable(Protocol):
    """What has a lock of its own."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """May be taken again by the thread that holds it."""
        ...


S = TypeVar("S", bound=Lockable)
P = ParamSpec("P")
R = TypeVar("R")


def exclusive(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that holds its object's lock while it runs."""

    @functools.wraps(method)
    def holding(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return holding
