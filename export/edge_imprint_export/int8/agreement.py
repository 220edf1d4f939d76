"""How well int8 embeddings agree with float32 ones, and how well they would on more pictures than were looked at."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]
# Below this, 1 - cosine is rounding.
_LEAST_LOSS = 1e-9


def compare(embeddings: Embeddings, reference: Embeddings) -> dict[str, float]:
    """Mean and least cosine of rows (n, dim) to those of a reference, as they are and centred on the reference's mean.

    Two zero rows agree; a zero row and another do not. Rows that are not finite count as opposite.
    """
    raw, centred = _both(embeddings, reference)
    return {
        "mean": float(raw.mean()),
        "minimum": float(raw.min()),
        "centred_mean": float(centred.mean()),
        "centred_minimum": float(centred.min()),
    }


def likely(embeddings: Embeddings, reference: Embeddings, pictures: int) -> tuple[float, float]:
    """The mean and the least cosine to count on over other pictures, from the few that were compared.

    The mean less one standard error. The least one is that of the lowest of so many pictures if the logarithm of
    1 - cosine is normally distributed, or the lowest that was seen if that is lower: the minimum of 48 pictures says
    little about that of 200.

    Args:
        embeddings: shape (n, dim).
        reference: shape (n, dim).
        pictures: how many others, at least 1.
    """
    cosines, _ = _both(embeddings, reference)
    mean, lowest = float(cosines.mean()), float(cosines.min())
    if len(cosines) < 2:
        return mean, lowest
    lost = np.log(np.maximum(1 - cosines, _LEAST_LOSS))
    reach = NormalDist().inv_cdf(pictures / (pictures + 1))
    furthest = 1 - math.exp(min(float(lost.mean() + reach * lost.std(ddof=1)), math.log(2)))
    return mean - float(cosines.std(ddof=1)) / math.sqrt(len(cosines)), min(lowest, furthest)


def _both(embeddings: Embeddings, reference: Embeddings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    wide = reference.astype(np.float64)
    own = embeddings.astype(np.float64).reshape(len(wide), -1)
    centre = wide.mean(0) if len(wide) > 1 else np.zeros(wide.shape[1])
    return _cosines(own, wide), _cosines(own - centre, wide - centre)


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.asarray(np.isfinite(a).all(1))
    a = np.where(finite[:, None], a, 0.0)
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    both = (lengths[0] > 0) & (lengths[1] > 0)
    same = ((lengths[0] == 0) & (lengths[1] == 0)).astype(np.float64)
    cosines = np.where(both, (a * b).sum(1) / np.where(both, lengths[0] * lengths[1], 1.0), same)
    return np.where(finite, np.minimum(cosines, 1.0), -1.0)
