"""The IMPRINT framework of Westerhoff et al. 2025 (arXiv 2503.14572) as one batch float32 classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.errors import NotTaughtError, ValueRangeError
from edge_imprint.imprint.aggregation import AGGREGATIONS, METRICS, VOTES, Aggregator
from edge_imprint.imprint.covariance import shrunk_covariance, whitening
from edge_imprint.imprint.generation import GENERATORS, generate
from edge_imprint.imprint.least_squares import RIDGE
from edge_imprint.imprint.normalization import NORMS, POST_NORMS, l2, normalize, quantile, quantile_reference
from edge_imprint.imprint.validation import check_choice, check_count, check_embeddings, check_labels

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Qi et al. 2018, "Low-shot learning with imprinted weights".
        "qi": {"norm_pre": "l2", "gen": "mean", "norm_post": "l2", "norm_inf": "l2"},
        # Hosoda et al. 2022, "It's DONE"; see normalization.quantile for the reference distribution.
        "hosoda": {"norm_pre": "none", "gen": "mean", "norm_post": "quantile", "norm_inf": "none"},
        # Janson et al. 2022, "A simple baseline that questions the use of pretrained models".
        "janson": {
            "norm_pre": "none", "gen": "mean", "norm_post": "none", "norm_inf": "none",
            "agg": "m-nn", "m": 1, "metric": "euclidean",
        },
        # Westerhoff et al. 2025, the paper's own.
        "westerhoff": {"norm_pre": "l2", "gen": "kmeans", "k": 20, "norm_post": "l2", "norm_inf": "l2"},
        # Least squares on all shots: what a linear head of this width can reach.
        "oracle": {"norm_pre": "l2", "gen": "least-squares", "norm_post": "none", "norm_inf": "l2"},
    }
)  # fmt: skip
"""Options of the special cases that have a name, for `ImprintClassifier.preset`."""


class ImprintClassifier:
    """Classify embeddings by proxies: NORMpre, GEN and NORMpost make them, NORMinf and AGG answer with them.

    Spelling of a choice: case, hyphens and underscores do not matter, and None means "none".

    Args:
        norm_pre: NORMpre, of the shots: "none" or "l2".
        gen: GEN, see the table in `edge_imprint.imprint.generation`: "mean", "kmeans", "kmedoids", "krandom",
            "kcovmax", "kfps", "all", "least-squares" or "k-least-squares".
        k: proxies per class for the generators that take a number, at least 1; a class of fewer shots has
            fewer.
        norm_post: NORMpost, of the proxies: "none", "l2" or "quantile".
        norm_inf: NORMinf, of the embeddings to classify: "none" or "l2".
        agg: AGG: "max" (the nearest proxy decides) or "m-nn" (the m nearest vote).
        metric: what near means: "inner", "cosine", "euclidean", "manhattan" or "mahalanobis". Mahalanobis
            uses the shared within-class covariance of the shots after NORMinf, see
            `covariance.shrunk_covariance`. Under m-nn, "inner" means "cosine".
        m: proxies that vote under m-nn, at least 1.
        votes: "uniform", or "inverse-distance", where a proxy at distance 0 outvotes all others.
        seed: of every random choice, at least 0.
        n_init: starts of k-means and k-medoids, at least 1.
        ridge: of the least-squares generators, above 0, see `least_squares`. Their constant term is fitted
            where it has a meaning: agg "max", metric "inner", norm_post "none".

    Attributes:
        classes_: shape (n_classes,), sorted, in the labels' own type.
        proxies_: shape (n_proxies, dim), float32, after NORMpost.
        proxy_labels_: shape (n_proxies,), the class of each proxy.
        proxy_bias_: shape (n_proxies,), float32, the constant terms of least squares, or None.

    Raises:
        ValueRangeError: an unknown choice (the message lists them) or a number out of range.

    Example:
        >>> X = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], dtype=np.float32)
        >>> head = ImprintClassifier(gen="kmeans", k=2).fit(X, ["mug", "mug", "cup", "cup"])
        >>> head.predict([[5, 1]]).tolist(), head.proxies_.shape
        (['mug'], (4, 2))
    """

    classes_: NDArray[Any]
    proxies_: NDArray[np.float32]
    proxy_labels_: NDArray[Any]
    proxy_bias_: NDArray[np.float32] | None

    def __init__(
        self,
        *,
        norm_pre: str | None = "l2",
        gen: str = "kmeans",
        k: int = 20,
        norm_post: str | None = "l2",
        norm_inf: str | None = "l2",
        agg: str = "max",
        metric: str = "inner",
        m: int = 5,
        votes: str = "uniform",
        seed: int = 0,
        n_init: int = 1,
        ridge: float = RIDGE,
    ) -> None:
        self.norm_pre = check_choice("norm_pre", norm_pre, NORMS)
        self.gen = check_choice("gen", gen, GENERATORS)
        self.k = check_count("k", k)
        self.norm_post = check_choice("norm_post", norm_post, POST_NORMS)
        self.norm_inf = check_choice("norm_inf", norm_inf, NORMS)
        self.agg = check_choice("agg", agg, AGGREGATIONS)
        self.metric = check_choice("metric", metric, METRICS)
        self.m = check_count("m", m)
        self.votes = check_choice("votes", votes, VOTES)
        self.seed = check_count("seed", seed, least=0)
        self.n_init = check_count("n_init", n_init)
        if isinstance(ridge, bool) or not isinstance(ridge, (int, float)) or not (0 < ridge < math.inf):
            raise ValueRangeError(f"ridge must be a finite number above 0; got {ridge!r}. The default is {RIDGE:g}.")
        self.ridge = float(ridge)
        self._aggregator: Aggregator | None = None

    @classmethod
    def preset(cls, name: str, **options: Any) -> ImprintClassifier:
        """Build a special case that has a name, see `PRESETS`.

        Args:
            name: "qi", "hosoda", "janson", "westerhoff" or "oracle".
            options: keywords of the constructor that replace the preset's, such as seed=1.

        Raises:
            ValueRangeError: no such preset, or an option out of range.

        Example:
            >>> ImprintClassifier.preset("westerhoff").k
            20
        """
        return cls(**{**PRESETS[check_choice("preset", name, list(PRESETS))], **options})

    def __repr__(self) -> str:
        options = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        del options["_aggregator"]
        return f"ImprintClassifier({', '.join(f'{name}={value!r}' for name, value in options.items())})"

    def fit(self, X: ArrayLike, y: ArrayLike) -> ImprintClassifier:
        """Imprint all classes from their shots; what was learned before is forgotten.

        Args:
            X: shape (n, dim), real numbers, used as float32. Not modified.
            y: shape (n,), str or int. One class is enough, except for least squares.

        Returns:
            The classifier itself.

        Raises:
            ShapeError: wrong rank, no shots, or not one label per shot.
            ValueRangeError: NaN, infinity, a magnitude above 1e14, or a shot or proxy of zero length where L2
                or the cosine is asked.
            LabelError: labels that are neither str nor int, empty, or not UTF-8.
            NotTaughtError: least squares with one class. In every case the classifier stays as it was.

        Example:
            >>> ImprintClassifier(gen="mean").fit([[1, 0], [0, 1]], [7, 9]).classes_.tolist()
            [7, 9]
        """
        embeddings = check_embeddings(X)
        classes, codes = check_labels(y, len(embeddings))
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(1, len(classes)))
        pre = normalize(embeddings, self.norm_pre, "shot")
        shots = np.split(pre[order], starts)
        linear = self.agg == "max" and self.metric == "inner" and self.norm_post == "none"
        made = generate(shots, self.gen, k=self.k, seed=self.seed, n_init=self.n_init, ridge=self.ridge, bias=linear)
        proxies = made.vectors
        if self.norm_post == "l2":
            proxies = l2(proxies, "proxy")
        elif self.norm_post == "quantile":
            proxies = quantile(proxies, quantile_reference(pre, pre.shape[1]))
        metric_shape = None
        if self.metric == "mahalanobis":
            met = pre if self.norm_inf == self.norm_pre else normalize(embeddings, self.norm_inf, "shot")
            metric_shape = whitening(shrunk_covariance(np.split(met[order], starts)))
        self._aggregator = Aggregator.build(
            proxies,
            made.owners,
            agg=self.agg,
            metric=self.metric,
            m=self.m,
            votes=self.votes,
            bias=made.bias,
            whitening=metric_shape,
        )
        self.classes_ = classes
        self.proxies_ = proxies
        self.proxy_labels_ = classes[made.owners]
        self.proxy_bias_ = made.bias
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Name the class of every embedding.

        Args:
            X: shape (n, dim), as wide as the shots. Not modified.

        Returns:
            shape (n,), labels in their own type. Equal scores go to the class that sorts first; equal votes
            to the class with the nearest proxy.

        Raises:
            NotTaughtError: before `fit`.
            ShapeError, ValueRangeError: as in `fit`.

        Example:
            >>> ImprintClassifier.preset("qi").fit([[1, 0], [0, 1]], ["a", "b"]).predict([[2, 3]]).tolist()
            ['b']
        """
        _, winners = self._scores(X)
        return np.asarray(self.classes_[winners])

    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:
        """Score every embedding against every class; larger is closer.

        Args:
            X: shape (n, dim), as wide as the shots. Not modified.

        Returns:
            shape (n, n_classes), float32, columns in `classes_` order, two columns for two classes too. Under
            "max": the largest inner product (in [-1, 1] with L2 everywhere) or cosine of the class's proxies,
            or minus the smallest distance. Under "m-nn": the class's share of the votes, in [0, 1].

        Raises:
            NotTaughtError: before `fit`.
            ShapeError, ValueRangeError: as in `fit`.

        Example:
            >>> head = ImprintClassifier.preset("qi").fit([[1, 0], [0, 1]], ["a", "b"])
            >>> head.decision_function([[0, 3]]).tolist()
            [[0.0, 1.0]]
        """
        scores, _ = self._scores(X)
        return scores

    def _scores(self, X: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        if self._aggregator is None:
            raise NotTaughtError("the classifier has no classes yet; got a question before fit. Call fit(X, y) first.")
        return self._aggregator.scores(normalize(check_embeddings(X, self.proxies_.shape[1]), self.norm_inf))
