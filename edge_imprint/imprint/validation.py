"""Checks shared by the classifier and the collapse measures: messages say rule, value and way out."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.errors import LabelError, ShapeError, ValueRangeError

# Squares of values up to here still sum over 60,000 x 5,000 numbers without leaving float32.
LARGEST = 1e14


def check_embeddings(X: ArrayLike, dim: int | None = None) -> NDArray[np.float32]:
    """Return embeddings as a C-contiguous float32 matrix.

    Args:
        X: shape (n, dim), n >= 1, any real number type. Not modified; returned without a copy when it fits
            already.
        dim: the width required, or None for any width of at least 1.

    Returns:
        shape (n, dim), float32.

    Raises:
        ShapeError: wrong rank or width, ragged rows, or no rows.
        ValueRangeError: not real numbers, NaN, infinity, or a magnitude above 1e14 (its square would
            overflow).

    Example:
        >>> check_embeddings([[1, 2]]).dtype
        dtype('float32')
    """
    width = "dim" if dim is None else str(dim)
    try:
        raw = np.asarray(X)
    except ValueError as error:
        raise ShapeError(
            f"embeddings must be (n, {width}); got rows of different lengths. Pad or drop them."
        ) from error
    if raw.dtype.kind not in "fiu":
        raise ValueRangeError(
            f"embeddings must be real numbers; got dtype {raw.dtype}. Convert with astype(np.float32)."
        )
    if raw.ndim != 2:
        way_out = "Use X[None] for a single one." if raw.ndim == 1 else "Reshape to one row per embedding."
        raise ShapeError(f"embeddings must be (n, {width}); got shape {raw.shape}. {way_out}")
    if raw.shape[0] == 0 or raw.shape[1] == 0:
        raise ShapeError(f"embeddings must be (n, {width}) with n >= 1; got shape {raw.shape}. Pass at least one.")
    if dim is not None and raw.shape[1] != dim:
        raise ShapeError(
            f"embeddings must be (n, {dim}), as wide as the shots; got {raw.shape}. Use the same backbone."
        )
    # max and min propagate NaN and need no temporary as large as X.
    low, high = float(raw.min()), float(raw.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        row = int(np.flatnonzero(~np.isfinite(raw).all(axis=1))[0])
        raise ValueRangeError(f"embeddings must be finite; row {row} holds NaN or infinity. Drop it or embed it again.")
    if max(-low, high) > LARGEST:
        raise ValueRangeError(
            f"embedding values must lie within +-{LARGEST:g}; got {max(-low, high):g}. Scale them down."
        )
    return np.ascontiguousarray(raw, dtype=np.float32)


def check_labels(y: ArrayLike, n: int) -> tuple[NDArray[np.generic], NDArray[np.intp]]:
    """Return the classes in sorted order and each shot's place among them.

    Args:
        y: shape (n,), str or int.
        n: number of shots the labels belong to.

    Returns:
        Classes, shape (n_classes,), in the labels' own type; and codes, shape (n,), with classes[codes] == y.

    Raises:
        ShapeError: not one label per shot.
        LabelError: neither str nor int, a mix of both, an empty label, or text that UTF-8 cannot hold.

    Example:
        >>> check_labels(["mug", "cup", "mug"], 3)[1].tolist()
        [1, 0, 1]
    """
    if isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) > 1:
        raise LabelError("labels must be all str or all int; got a mix of both. Convert them to str.")
    try:
        labels = np.asarray(y)
    except ValueError as error:
        raise ShapeError(f"labels must be ({n},), one per shot; got nested lists of different lengths.") from error
    if labels.dtype == object:
        if not all(isinstance(label, str) for label in labels.ravel()):
            raise LabelError("labels must be all str or all int; got objects of other types. Convert them to str.")
        labels = labels.astype(str)
    if labels.ndim != 1 or len(labels) != n:
        raise ShapeError(f"labels must be ({n},), one per shot; got shape {labels.shape}. Pass one label for each row.")
    if labels.dtype.kind not in "Uiu":
        raise LabelError(f"labels must be str or int; got dtype {labels.dtype}. Convert them to str.")
    classes, codes = np.unique(labels, return_inverse=True)
    if classes.dtype.kind == "U":
        for label in classes.tolist():
            if not label:
                raise LabelError("a label must not be empty; got ''. Give every class a name.")
            try:
                label.encode()
            except UnicodeEncodeError as error:
                raise LabelError(f"labels must be valid UTF-8; got {label!r}. Remove the lone surrogate.") from error
    return classes, codes.astype(np.intp, copy=False)


def check_choice(option: str, value: str | None, choices: Sequence[str]) -> str:
    """Return the choice that `value` spells; case, hyphens, underscores and spaces do not matter, None means
    "none".

    Raises:
        ValueRangeError: no such choice; the message lists all of them.

    Example:
        >>> check_choice("gen", "k_means", ["mean", "kmeans"])
        'kmeans'
    """

    def plain(text: str) -> str:
        return text.casefold().translate({ord(mark): None for mark in "-_ "})

    wanted = plain("none" if value is None else str(value))
    for choice in choices:
        if plain(choice) == wanted:
            return choice
    raise ValueRangeError(f"{option} must be one of {', '.join(choices)}; got {value!r}. Choose one of these.")


def check_count(option: str, value: int, least: int = 1) -> int:
    """Return a whole number of at least `least`.

    Raises:
        ValueRangeError: not a whole number, or too small.

    Example:
        >>> check_count("k", 20)
        20
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise ValueRangeError(
            f"{option} must be a whole number of at least {least}; got {value!r}. Pass {least} or more."
        )
    return number
