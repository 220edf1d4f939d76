"""The head that learns like the oracle, next to what else there is: accuracy, confidence, unknown classes.

Every method sees the same shots on the same embeddings; the head single shots in random order, once, in int8 and in
its budget. Slow results are kept between runs, see `benchmarks.learning.kept`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.context import Context, draw
from benchmarks.data import BACKBONES, BaseSource, EmbeddingSet, title_of
from benchmarks.errors import DataMissingError
from benchmarks.learning import untrained
from benchmarks.learning.baselines import BASELINES, accuracies
from benchmarks.learning.head import METHODS, has_confidence, takes_base
from benchmarks.learning.promises import promise
from benchmarks.learning.statistics import BINS, calibration_error, calibration_floor
from benchmarks.learning.tables import tables
from benchmarks.results import Param, Result
from benchmarks.suites.accuracy import QUICK_SHOTS, SHOTS, name_of
from edge_imprint.backbones import BaseStatistics

__all__ = ["run", "tables"]

USED = ("mobilenet_v1_0.25_128", "default-int8", "mobilenet_v2_384", "mobilenet_v1_1.0_224")
BATCH = ("mean", "kmeans", "oracle")
SIMPLE = ("mean", "kmeans")


def run(context: Context, result: Result) -> None:
    """Measure every backbone, data set, shot count and seed; then average and compare."""
    counts = QUICK_SHOTS if context.quick else SHOTS
    backbones = USED[:1] if context.quick else USED
    result.settings = {
        "shots": [name_of(shots) for shots in counts],
        "methods": {name: method.title for name, method in (METHODS | BASELINES).items()},
        "baselines": {name: baseline.settings for name, baseline in BASELINES.items()},
        "budgets": {name: {str(dim): budget for dim, budget in method.budgets.items()}
                    for name, method in METHODS.items()},
        "kept": "what an earlier run found for the same shots, code and libraries is taken over",
        "base_statistics": "given" if takes_base() else "not used by this version",
        "unknown": "confidence" if has_confidence() else "largest cosine with a proxy",
        "calibration": f"{BINS} bins of equal mass; pooled: pictures of all seeds together; floor: expected of "
        "perfect confidences on as many pictures",
    }  # fmt: skip
    if not context.quick:
        result.skip(untrained.reason())
    if not has_confidence():
        result.skip("this version's head has no confidence: its calibration error is not measured")
    for backbone in backbones:
        base = _base(context, backbone, result)
        for embeddings in context.sets(backbone, result):
            for shots in counts:
                _cell(context, result, embeddings, shots, base)
    if result.measurements:
        _averages(result)
        promise(result)


def _base(context: Context, backbone: str, result: Result) -> BaseStatistics | None:
    if not isinstance(context.source, BaseSource):
        return None
    try:
        return context.source.base_statistics(backbone)
    except DataMissingError as error:
        result.skip(f"{backbone}: no base statistics: {error}")
        return None


def _cell(
    context: Context, result: Result, embeddings: EmbeddingSet, shots: int | None, base: BaseStatistics | None
) -> None:
    where: dict[str, Param] = {"backbone": embeddings.backbone, "data": embeddings.data, "shots": name_of(shots)}
    text = f"{BACKBONES[embeddings.backbone].title}, {title_of(embeddings.data)}, {name_of(shots)} shots"
    draws = [draw(embeddings, shots, seed) for seed in range(context.seeds)]
    scores: dict[str, list[float]] = {}
    for name in context.track([*METHODS, *BASELINES], text):
        if name in METHODS:
            learnt = [METHODS[name].learn(embeddings, seen, base) for seen in draws]
            scores[name] = [float(found["balanced_accuracy"]) for found in learnt]
            result.add(
                "nbytes", "bytes", [float(found["nbytes"]) for found in learnt], {"method": name, **where}, "max"
            )
            result.add("proxies", "proxies", [float(found["proxies"]) for found in learnt], {"method": name, **where})
            if "confidence" in learnt[0]:
                pairs = [(found["confidence"], found["right"]) for found in learnt]
                _calibration(result, pairs, {"method": name, **where})
        else:
            scores[name] = accuracies(BASELINES[name], embeddings, draws, shots is None)
        result.add("balanced_accuracy", "%", scores[name], {"method": name, **where})
    best = max(BATCH, key=lambda name: float(np.mean(scores[name])))
    simple = max(SIMPLE, key=lambda name: float(np.mean(scores[name])))
    differences = (("auto_minus_best", "auto", best), ("auto_minus_logistic", "auto", "logistic"),
                   ("proxies_minus_simple", "proxies", simple))  # fmt: skip
    for measurement, ours, other in differences:
        paired = np.asarray(scores[ours]) - np.asarray(scores[other])
        result.add(measurement, "points", paired.tolist(), {"other": other, **where})
    _unknown(context, result, embeddings, shots, base, where)


def _calibration(result: Result, pairs: Sequence[tuple], where: dict[str, Param]) -> None:  # type: ignore[type-arg]
    result.add("calibration_error", "%", [calibration_error(*pair) for pair in pairs], where)
    together = [np.concatenate(column) for column in zip(*pairs, strict=True)]
    result.add("calibration_error_pooled", "%", [calibration_error(*together)], where)
    result.add("calibration_floor", "%", [calibration_floor(together[0], 0)], {"of": "pooled", **where})
    floors = [calibration_floor(confidence, seed) for seed, (confidence, _) in enumerate(pairs)]
    result.add("calibration_floor", "%", floors, {"of": "seed", **where})


def _unknown(
    context: Context,
    result: Result,
    embeddings: EmbeddingSet,
    shots: int | None,
    base: BaseStatistics | None,
    where: dict[str, Param],
) -> None:
    found = [METHODS["auto"].unknown(embeddings, shots, seed, base) for seed in range(context.seeds)]
    own, cosine = (np.array([one[name].mean() for one in found]) for name in ("own", "cosine"))
    result.add("auroc", "", own.tolist(), {"score": "own", **where})
    result.add("auroc", "", cosine.tolist(), {"score": "cosine", **where})
    result.add("auroc_gain", "", (own - cosine).tolist(), where)


def _averages(result: Result) -> None:
    """Over the cells of each number of shots and over all: seed by seed, so that an interval over seeds has a meaning.

    A single value at "all" stands for every seed.
    """
    counts = result.settings["shots"]
    for name, unit, by in (
        ("balanced_accuracy", "%", list(result.settings["methods"])),
        ("auto_minus_best", "points", [None]),
        ("auto_minus_logistic", "points", [None]),
        ("proxies_minus_simple", "points", [None]),
        ("auroc_gain", "", [None]),
    ):
        for method in by:
            which: dict[str, Param] = {} if method is None else {"method": method}
            for shots in [*counts, "every"]:
                where = which if shots == "every" else {"shots": shots, **which}
                cells = [np.resize(found.samples, result.seeds) for found in result.select(name, **where)]
                result.add(f"average_{name}", unit, np.mean(cells, axis=0).tolist(), {"shots": shots, **which})
