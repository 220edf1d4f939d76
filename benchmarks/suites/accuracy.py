"""Balanced accuracy against shots: the head, shown single shots in random order, next to batch methods.

Also what each economy costs: int8 against the same head in float32, one pass of single shots against all at
once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.context import Context, Draw, draw
from benchmarks.data import BACKBONES, EmbeddingSet, title_of
from benchmarks.float_head import FloatHead
from benchmarks.markdown import table
from benchmarks.methods import (
    Answer,
    batch_head,
    batch_kmeans_shrunk,
    logistic,
    preset,
    streamed_head,
)
from benchmarks.metrics import balanced_accuracy
from benchmarks.results import Param, Result
from edge_imprint.head import ImprintHead

BUDGETS = {"mobilenet_v1_0.25_128": "64KB", "mobilenet_v1_1.0_224": "256KB"}
SHOTS: tuple[int | None, ...] = (1, 2, 5, 10, 20, 100, None)
QUICK_SHOTS: tuple[int | None, ...] = (1, 5)
ALL = "all"
METHODS = {
    "head": "edge-imprint head (int8, streamed)",
    "mean": "mean",
    "kmeans": "k-means, k=20",
    "oracle": "least squares (oracle)",
    "logistic": "logistic regression",
    "head_float32": "the head in float32",
    "head_batch": "the head, all shots in one call",
    "kmeans_shrunk": "batch k-means, the head's proxies and shrinkage",
}
SHOWN = ("mean", "kmeans", "oracle", "logistic")
ORDER_FREE = ("mean", "oracle", "logistic")
"""At "all" every seed has the same shots: a method that knows neither seed nor order is then run once."""

BELOW_MEAN, BELOW_KMEANS, INT8_COST, STREAMING_COST = 0.3, 0.3, 0.2, 0.5


def run(context: Context, result: Result) -> None:
    """Measure every backbone, data set, shot count and seed."""
    counts = QUICK_SHOTS if context.quick else SHOTS
    backbones = list(BUDGETS)[:1] if context.quick else list(BUDGETS)
    result.settings = {
        "budgets": {backbone: BUDGETS[backbone] for backbone in backbones},
        "shots": [name_of(shots) for shots in counts],
        "methods": METHODS,
        "logistic": "scikit-learn, C=10, class_weight=balanced, embeddings L2-normalised",
    }
    for backbone in backbones:
        for embeddings in context.sets(backbone, result):
            for shots in counts:
                text = f"{BACKBONES[backbone].title}, {title_of(embeddings.data)}, {name_of(shots)} shots"
                _cell(context, result, embeddings, shots, text)
            _promises(result, embeddings, counts)


def _cell(context: Context, result: Result, embeddings: EmbeddingSet, shots: int | None, text: str) -> None:
    where: dict[str, Param] = {
        "backbone": embeddings.backbone,
        "data": embeddings.data,
        "shots": name_of(shots),
    }
    scores: dict[str, list[float]] = {method: [] for method in METHODS}
    budget = BUDGETS[embeddings.backbone]
    proxies: list[float] = []
    nbytes: list[float] = []
    for seed in context.track(range(context.seeds), text):
        seen = draw(embeddings, shots, seed)
        head = streamed_head(seen, budget)
        proxies.append(sum(head.proxies_per_class().values()))
        nbytes.append(head.nbytes)
        once = shots is None and seed > 0
        for method, answer in contestants(seen, head, budget, seed).items():
            if not (once and method in ORDER_FREE):
                scores[method].append(balanced_accuracy(embeddings.test_labels, answer()(embeddings.test)))
    for method, values in scores.items():
        result.add("balanced_accuracy", "%", values, {"method": method, **where})
    for name, method, other in COMPARISONS:
        result.add(name, "points", _difference(scores[method], scores[other]), where)
    result.add("proxies", "proxies", proxies, where)
    result.add("nbytes", "bytes", nbytes, where, "max")


COMPARISONS = (
    ("head_minus_mean", "head", "mean"),
    ("head_minus_kmeans", "head", "kmeans"),
    ("int8_cost", "head_float32", "head"),
    # Two twins in batch: the head itself, and a k-means that goes over float32 shots again and again.
    ("streaming_cost", "head_batch", "head"),
    ("one_pass_cost", "kmeans_shrunk", "head_float32"),
)


def contestants(seen: Draw, head: ImprintHead, budget: str, seed: int) -> dict[str, Callable[[], Answer]]:
    """Each method with these shots, not made yet: making one is what takes the time."""
    return {
        "head": lambda: head.predict,
        "mean": lambda: preset("qi", seen, seed),
        "kmeans": lambda: preset("westerhoff", seen, seed),
        "oracle": lambda: preset("oracle", seen, seed),
        "logistic": lambda: logistic(seen),
        "head_float32": lambda: FloatHead(head).partial_fit(seen.shots, seen.labels).predict,
        "head_batch": lambda: batch_head(seen, budget).predict,
        "kmeans_shrunk": lambda: batch_kmeans_shrunk(seen, head, seed),
    }


def _difference(first: list[float], second: list[float]) -> list[float]:
    """Paired by seed; a single value (see ORDER_FREE) is paired with every seed."""
    paired: NDArray[np.float64] = np.asarray(first) - np.asarray(second)
    return [float(value) for value in paired]


def _promises(result: Result, embeddings: EmbeddingSet, counts: tuple[int | None, ...]) -> None:
    where = {"backbone": embeddings.backbone, "data": embeddings.data}
    name = f"accuracy: {title_of(embeddings.data)}, {BACKBONES[embeddings.backbone].title}"
    rules = [
        ("head_minus_mean", f"head at most {BELOW_MEAN} points below mean", -BELOW_MEAN, False),
        ("int8_cost", f"int8 costs at most {INT8_COST} points", INT8_COST, True),
        (
            "streaming_cost",
            f"single shots cost at most {STREAMING_COST} points against one call",
            STREAMING_COST,
            True,
        ),
        (
            "one_pass_cost",
            f"one pass costs at most {STREAMING_COST} points against batch k-means",
            STREAMING_COST,
            True,
        ),
    ]
    for measurement, rule, limit, at_most in rules:
        for shots in counts:
            value = result.one(measurement, shots=name_of(shots), **where).value
            holds = value <= limit if at_most else value >= limit
            result.promise(f"{name}, {name_of(shots)} shots", rule, value, "points", holds)
    if None in counts:
        value = result.one("head_minus_kmeans", shots=ALL, **where).value
        rule = f'at "all" shots, head at most {BELOW_KMEANS} points below k-means, k=20'
        result.promise(f"{name}, all shots", rule, value, "points", value >= -BELOW_KMEANS)
    nbytes = max(found.value for found in result.select("nbytes", **where))
    budget_kb = int(BUDGETS[embeddings.backbone].removesuffix("KB"))
    result.promise(name, f"head.nbytes at most {budget_kb} KB", nbytes, "bytes", nbytes <= budget_kb * 1024)


def name_of(shots: int | None) -> str:
    """Shots per class as they are written in results and tables."""
    return ALL if shots is None else str(shots)


def tables(result: Result) -> dict[str, str]:
    """`accuracy`: methods side by side. `accuracy.cost`: what int8 and streaming cost, proxies, bytes."""
    rows, costs = [], []
    for found in result.select("balanced_accuracy", method="head"):
        where = {key: found.params[key] for key in ("backbone", "data", "shots")}
        first = [
            f"{title_of(str(where['data']))}, {BACKBONES[str(where['backbone'])].title}",
            str(where["shots"]),
        ]
        others = [result.one("balanced_accuracy", method=method, **where).value for method in SHOWN]
        head = f"**{found.value:.1f}** ± {found.spread['standard_error'] or 0:.1f}"
        rows.append([*first, head, *(f"{value:.1f}" for value in others)])
        values = [result.one(name, **where).value for name in ("int8_cost", "streaming_cost", "one_pass_cost")]
        proxies = result.one("proxies", **where).value
        nbytes = result.one("nbytes", **where).value
        costs.append([*first, *(f"{value:+.2f}" for value in values), f"{proxies:.0f}", f"{nbytes:,.0f}"])
    budgets = ", ".join(
        f"{budget} for {BACKBONES[backbone].title}" for backbone, budget in result.settings["budgets"].items()
    )
    note = (
        f"Balanced test accuracy in %, mean of {result.seeds} seeds ± standard error; the head sees single "
        f"shots in random order, once, in {budgets}; the others get all shots at once, in float32."
    )
    head_row = ["data, backbone", "shots per class", "head (int8)", *(METHODS[method] for method in SHOWN)]
    cost_row = [
        "data, backbone",
        "shots per class",
        "int8 instead of float32",
        "single shots instead of one call",
        "one pass instead of batch k-means",
        "proxies",
        "bytes used",
    ]
    cost_note = "Costs in points of balanced accuracy, positive when something is lost; proxies of all classes."
    return {
        "accuracy": f"{table(head_row, rows)}\n\n{note}",
        "accuracy.cost": f"{table(cost_row, costs)}\n\n{cost_note}",
    }
