"""Batch k-means at size: the paper's method on 60,000 embeddings, next to scikit-learn's KMeans per class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.context import Context
from benchmarks.data import EmbeddingSet, normalise
from benchmarks.harness import interleave, ratio
from benchmarks.markdown import table
from benchmarks.results import Result
from edge_imprint.imprint import ImprintClassifier
from edge_imprint.imprint.kmeans import kmeans

BACKBONE = "mobilenet_v1_0.25_128"
ROWS, QUICK_ROWS = 60_000, 1_000
CENTRES, QUICK_CENTRES = 20, 3
NOISE = 0.05
"""Noise of a copy, as a share of each component's standard deviation: equal copies would be too easy."""
N_INIT = 1
REPEATS = 21
TIME_RATIO, INERTIA_RATIO = 1.5, 1.01
OURS, PEER = "ImprintClassifier", "scikit-learn KMeans"


def run(context: Context, result: Result) -> None:
    """Time both fits in turns; compare the inertia of the clusters over the seeds."""
    rows = QUICK_ROWS if context.quick else ROWS
    k = QUICK_CENTRES if context.quick else CENTRES
    result.settings = {
        "backbone": BACKBONE,
        "k": k,
        "n_init": N_INIT,
        "noise": NOISE,
        "repeats": REPEATS,
        "warmups": 1,
        "peer": "KMeans (Lloyd) per class on L2-normalised embeddings, normalising included, default threads",
    }
    # CIFAR-10, the last, has the same count in every class, as the promise says.
    for embeddings in list(context.sets(BACKBONE, result))[-1:]:
        _measure(context, result, embeddings, rows, k)


def _measure(context: Context, result: Result, embeddings: EmbeddingSet, rows: int, k: int) -> None:
    X, y = replicate(embeddings, rows, seed=0)
    result.settings.update(data=embeddings.data, rows=rows, dim=X.shape[1])
    samples = interleave(
        {OURS: lambda: fit_ours(X, y, k, 0), PEER: lambda: fit_peer(X, y, k, 0)},
        repeats=REPEATS,
        warmups=1,
        sample_ns=1_000_000,
    )
    for name, values in samples.items():
        result.add("fit", "ns", values, {"contestant": name}, "median")
    time_ratio = result.add("fit_ratio", "", [ratio(samples, OURS, PEER)], {}, "median").value
    inertias = []
    for seed in context.track(range(context.seeds), "inertia"):
        inertias.append(inertia_ours(X, y, k, seed) / fit_peer(X, y, k, seed))
    inertia = result.add("inertia_ratio", "", inertias, {}).value
    what = f"kmeans_fit: {rows:,} x {X.shape[1]}, k={k}, {len(np.unique(y))} classes"
    rule = f"fit in at most {TIME_RATIO:g} x the time of scikit-learn's KMeans"
    result.promise(what, rule, time_ratio, "x", time_ratio <= TIME_RATIO)
    rule = f"inertia at most {INERTIA_RATIO:g} x scikit-learn's"
    result.promise(what, rule, inertia, "x", inertia <= INERTIA_RATIO)


def replicate(embeddings: EmbeddingSet, rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Real embeddings again and again until there are enough, every copy with a little noise of its own."""
    rng = np.random.default_rng(seed)
    places = np.resize(rng.permutation(len(embeddings.train)), rows)
    X = embeddings.train[places]
    noise = rng.standard_normal(X.shape, dtype=np.float32)
    noise *= NOISE * embeddings.train.std(axis=0)
    # A unit that never fires has no noise; one that does stays at or above zero, as after a ReLU.
    np.maximum(X + noise, 0.0, out=X)
    return X, embeddings.train_labels[places]


def fit_ours(X: NDArray[np.float32], y: NDArray[np.str_], k: int, seed: int) -> ImprintClassifier:
    return ImprintClassifier(norm_pre="l2", gen="kmeans", k=k, norm_post="l2", norm_inf="l2", agg="max", seed=seed).fit(
        X, y
    )


def fit_peer(X: NDArray[np.float32], y: NDArray[np.str_], k: int, seed: int) -> float:
    """Fit scikit-learn's KMeans to each class; the inertia of all."""
    from sklearn.cluster import KMeans

    return sum(
        float(KMeans(n_clusters=k, n_init=N_INIT, random_state=seed).fit(rows).inertia_) for rows in _classes(X, y)
    )


def inertia_ours(X: NDArray[np.float32], y: NDArray[np.str_], k: int, seed: int) -> float:
    """The same by the k-means that `ImprintClassifier` uses."""
    rng = np.random.default_rng(seed)
    return sum(kmeans(rows, k, rng, n_init=N_INIT).inertia for rows in _classes(X, y))


def _classes(X: NDArray[np.float32], y: NDArray[np.str_]) -> Iterator[NDArray[np.float32]]:
    Z = normalise(X)
    for label in np.unique(y):
        yield Z[y == label]


def tables(result: Result) -> dict[str, str]:
    """One table: seconds of both and the two ratios."""
    rows = []
    for found in result.select("fit"):
        low, high = found.spread["quartile_1"] or 0.0, found.spread["quartile_3"] or 0.0
        rows.append(
            [
                str(found.params["contestant"]),
                f"{found.value / 1e9:.2f}",
                f"{low / 1e9:.2f} to {high / 1e9:.2f}",
            ]
        )
    rows.append(["ratio", f"{result.one('fit_ratio').value:.2f}", ""])
    rows.append(["ratio of inertia", f"{result.one('inertia_ratio').value:.4f}", ""])
    where = result.settings
    head = [f"fit, {where['rows']:,} x {where['dim']}, k={where['k']} per class", "s, median", "quartiles"]
    return {"kmeans_fit": table(head, rows)}
