"""How far embeddings have collapsed onto their class means: NC1 and VCI.

Low NC1: a class is a point, and one proxy serves it. High NC1: classes are spread out and need several.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.errors import NotTaughtError, ValueRangeError
from edge_imprint.imprint.validation import check_embeddings, check_labels


def nc1(X: ArrayLike, y: ArrayLike) -> float:
    """Measure the spread within classes against the spread between them: tr(S_W pinv(S_B)) / C.

    S_W is the average over the classes of each class's covariance about its own mean (divided by its number
    of shots); S_B is the covariance of the C class means about their mean (divided by C). Every class weighs
    the same. Zhu et al. 2021, "A geometric analysis of neural collapse"; Westerhoff et al. 2025. Computed in
    float64 in the directions of S_B alone, so no inverse of a nearly singular matrix is ever formed.

    Args:
        X: shape (n, dim), any width; several shots per class, or S_W says nothing. Not modified.
        y: shape (n,), str or int.

    Returns:
        0 when every shot is its class's mean; no upper bound.

    Raises:
        ShapeError, ValueRangeError, LabelError: unusable embeddings or labels, or class means that all
            coincide.
        NotTaughtError: fewer than two classes.

    Example:
        >>> nc1([[1, 1], [1, -1], [-1, 1], [-1, -1]], ["a", "a", "b", "b"])
        0.0
        >>> round(nc1([[3], [1], [-1], [-3]], ["a", "a", "b", "b"]), 6)
        0.125
    """
    shots = _by_class(X, y)
    means, basis, variances = _between(shots)
    spread = np.zeros(len(variances))
    for own, mean in zip(shots, means, strict=True):
        spread += np.square((own - mean) @ basis).mean(axis=0)
    return float((spread / len(shots) / variances).sum() / len(shots))


def vci(X: ArrayLike, y: ArrayLike) -> float:
    """Return the Variability Collapse Index: 1 - tr(S_B pinv(S_T)) / rank(S_B), S_T = S_W + S_B.

    S_W and S_B as in `nc1`. Xu and Liu 2023, "Quantifying the variability collapse of neural networks". It
    does not change when the embeddings go through an invertible linear map.

    Args:
        X: shape (n, dim), any width. Not modified.
        y: shape (n,), str or int.

    Returns:
        A number in [0, 1]: 0 when every shot is its class's mean, near 1 when the means hardly differ.

    Raises:
        ShapeError, ValueRangeError, LabelError: unusable embeddings or labels, or class means that all
            coincide.
        NotTaughtError: fewer than two classes.

    Example:
        >>> round(vci([[3], [1], [-1], [-3]], ["a", "a", "b", "b"]), 6)
        0.2
    """
    shots = _by_class(X, y)
    means, basis, variances = _between(shots)
    dim = means.shape[1]
    total = (basis * variances) @ basis.T
    for own, mean in zip(shots, means, strict=True):
        gap = own - mean
        total += gap.T @ gap / (len(own) * len(shots))
    values, vectors = np.linalg.eigh(total)
    kept = values > dim * np.finfo(np.float64).eps * values[-1]
    # tr(S_B pinv(S_T)) from square roots: ||pinv(S_T)^(1/2) S_B^(1/2)||^2 cannot become negative.
    root = (vectors[:, kept].T @ basis) * np.sqrt(variances) / np.sqrt(values[kept])[:, None]
    return float(1 - np.square(root).sum() / len(variances))


def _by_class(X: ArrayLike, y: ArrayLike) -> list[NDArray[np.float64]]:
    embeddings = check_embeddings(X)
    classes, codes = check_labels(y, len(embeddings))
    if len(classes) < 2:
        raise NotTaughtError(f"collapse is measured between at least 2 classes; got {len(classes)}. Add another class.")
    return [embeddings[codes == code].astype(np.float64) for code in range(len(classes))]


def _between(
    shots: list[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Class means (C, dim), and the directions (dim, rank) and variances (rank,) of their covariance S_B."""
    means = np.stack([own.mean(axis=0) for own in shots])
    _, singular, directions = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    # Embeddings are float32: their rounding moves means off a line or plane, and that is not a direction.
    floor = 8 * float(np.finfo(np.float32).eps) * float(np.linalg.norm(means))
    kept = singular > floor
    if not kept.any():
        raise ValueRangeError(
            f"the class means of {len(shots)} classes coincide, so their covariance has rank 0. "
            "Check that the labels belong to these embeddings."
        )
    return means, directions[kept].T, np.square(singular[kept]) / len(shots)
