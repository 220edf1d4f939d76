"""NORMpre, NORMpost and NORMinf: what happens to a vector before it makes, becomes or meets a proxy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ShapeError, ValueRangeError

NORMS = ("none", "l2")
"""Choices of NORMpre and NORMinf."""

POST_NORMS = ("none", "l2", "quantile")
"""Choices of NORMpost."""


def l2(X: NDArray[np.float32], what: str = "embedding") -> NDArray[np.float32]:
    """Scale every row to length 1 (Qi et al. 2018, eq. 2).

    Args:
        X: shape (n, dim), float32, finite. Not modified.
        what: what a row is called in the error message.

    Returns:
        shape (n, dim), float32, rows of length 1 to within rounding.

    Raises:
        ValueRangeError: a row of zero length has no direction.

    Example:
        >>> l2(np.array([[3, 4]], dtype=np.float32)).round(3).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", X, X))
    tiny = np.flatnonzero(lengths < 1e-15)
    if tiny.size == 0:
        return np.asarray(X / lengths[:, None], dtype=np.float32)
    # Squares this small underflow in float32; only such rows are worth a second look in float64.
    wide = X[tiny].astype(np.float64)
    lengths_wide = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    if not lengths_wide.all():
        row = int(tiny[np.flatnonzero(lengths_wide == 0)[0]])
        raise ValueRangeError(
            f"L2 needs a length above 0; {what} {row} is all zeros. Drop it, or choose the norm 'none'."
        )
    lengths[tiny] = 1
    out: NDArray[np.float32] = np.asarray(X / lengths[:, None], dtype=np.float32)
    out[tiny] = wide / lengths_wide[:, None]
    return out


def quantile_reference(values: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Return the `dim` quantiles that stand for a distribution of values, for `quantile`.

    Entry j is the quantile (j + 1/2) / dim of all values together, interpolated linearly.

    Args:
        values: any shape with at least one entry, float32. Not modified.
        dim: width of the proxies that will be mapped.

    Returns:
        shape (dim,), float32, ascending.

    Raises:
        ShapeError: no values.

    Example:
        >>> quantile_reference(np.arange(5, dtype=np.float32), 2).tolist()
        [1.0, 3.0]
    """
    if values.size == 0:
        raise ShapeError(
            f"a reference distribution needs at least one value; got shape {values.shape}. Pass embeddings."
        )
    return np.asarray(np.quantile(values, (np.arange(dim) + 0.5) / dim), dtype=np.float32)


def quantile(X: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give every row the value distribution of the reference, keeping the order of its components.

    The smallest component of a row becomes reference[0], the next reference[1] and so on. Equal components
    (the zeros behind a ReLU) are ranked by their position, so that the result has exactly the reference's
    values.

    This is the quantile normalization of Hosoda et al. 2022 ("It's DONE", arXiv 2204.13361), who map an
    embedding onto the distribution of the weights of the backbone's own last layer, so that new and old
    classes can compete. A bundle ends at the embedding and has no such layer. `ImprintClassifier` therefore
    takes the distribution of the training embeddings, after NORMpre: every proxy gets one and the same
    distribution, hence one mean and one length, which is the effect the method rests on.

    Args:
        X: shape (n, dim), float32. Not modified.
        reference: shape (dim,), ascending, from `quantile_reference`.

    Returns:
        shape (n, dim), float32; each row a permutation of the reference.

    Raises:
        ShapeError: the reference is not as wide as the rows.

    Example:
        >>> quantile(np.array([[5, -1, 3]], dtype=np.float32), np.array([0, 1, 2], dtype=np.float32)).tolist()
        [[2.0, 0.0, 1.0]]
    """
    if reference.shape != X.shape[1:]:
        raise ShapeError(
            f"the reference must be ({X.shape[1]},), as wide as the rows; got {reference.shape}. "
            f"Make it with quantile_reference(values, {X.shape[1]})."
        )
    out = np.empty_like(X)
    order = np.argsort(X, axis=1, kind="stable")
    np.put_along_axis(out, order, np.broadcast_to(reference, X.shape), axis=1)
    return out


def normalize(X: NDArray[np.float32], norm: str, what: str = "embedding") -> NDArray[np.float32]:
    """Apply NORMpre or NORMinf: "none" returns X itself, "l2" a scaled copy.

    Args:
        X: shape (n, dim), float32. Not modified.
        norm: one of `NORMS`.
        what: what a row is called in the error message.

    Raises:
        ValueRangeError: a row of zero length where L2 is asked.

    Example:
        >>> normalize(np.array([[2, 0]], dtype=np.float32), "l2").tolist()
        [[1.0, 0.0]]
    """
    return l2(X, what) if norm == "l2" else X
