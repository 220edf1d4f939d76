"""An embedding source that needs no backbone and no shared data."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.data import EmbeddingSet


class Digits:
    """Pixels of scikit-learn's handwritten digits as 64-d embeddings, whatever the backbone and the data set."""

    def load(self, data: str, backbone: str) -> EmbeddingSet:
        digits = load_digits()
        X, y = digits.data.astype(np.float32), np.array([f"digit {label}" for label in digits.target])
        return EmbeddingSet(data, backbone, X[:1200], y[:1200], X[1200:], y[1200:])
