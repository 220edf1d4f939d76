"""The head's own time, without decoding and embedding: one shot learned, one embedding recognised.

Peers run in the same process on the same data, in turns: scikit-learn's MiniBatchKMeans for learning, one
numpy float32 matrix-vector product of the same size for recognising.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans  # here: the limit on threads reaches only what is loaded
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.context import Context, draw
from benchmarks.data import EmbeddingSet
from benchmarks.errors import BenchmarkError
from benchmarks.harness import interleave, ratio
from benchmarks.markdown import microseconds, table
from benchmarks.methods import streamed_head
from benchmarks.results import Result
from edge_imprint.errors import CapacityError
from edge_imprint.head import ImprintHead

BACKBONE = "mobilenet_v1_0.25_128"
BUDGET = "64KB"
TAUGHT_SHOTS, TIMED_SHOTS = 50, 20
PROXIES, QUICK_PROXIES = 200, 20
REPEATS, QUICK_REPEATS = 51, 5
WARMUPS = 5
SAMPLE_NS, QUICK_SAMPLE_NS = 5_000_000, 300_000
LEARN_FASTER, PREDICT_SLOWER = 5.0, 3.0

LEARN = "head.partial_fit"
PREDICT = "head.predict"
PRODUCT = "numpy float32 matrix-vector product"


def run(context: Context, result: Result) -> None:
    """Time learning, then recognising."""
    repeats = QUICK_REPEATS if context.quick else REPEATS
    sample_ns = QUICK_SAMPLE_NS if context.quick else SAMPLE_NS
    proxies = QUICK_PROXIES if context.quick else PROXIES
    result.settings = {
        "backbone": BACKBONE,
        "budget": BUDGET,
        "shots_taught_before_per_class": TAUGHT_SHOTS,
        "warmups": WARMUPS,
        "repeats": repeats,
        "least_sample_ns": sample_ns,
        "garbage_collector": "off while timing",
        "threads": "1 for BLAS and OpenMP: the faster way for every contestant at this size",
    }
    # One data set is enough: time does not depend on what the pictures show. The last has the same count
    # per class.
    for embeddings in list(context.sets(BACKBONE, result))[-1:]:
        result.settings["data"] = embeddings.data
        result.settings["dim"] = embeddings.dim
        with threadpool_limits(1):
            _time("learn", learners(embeddings), repeats, sample_ns, result)
            _time("predict", predictors(embeddings, proxies), repeats, sample_ns, result)
        _promises(result, proxies)


def _time(
    what: str, contestants: dict[str, Callable[[], object]], repeats: int, sample_ns: int, result: Result
) -> None:
    samples = interleave(contestants, repeats=repeats, warmups=WARMUPS, sample_ns=sample_ns)
    first = next(iter(contestants))
    for name, values in samples.items():
        result.add(what, "ns", values, {"contestant": name}, "median")
        result.add(f"{what}_ratio", "", [ratio(samples, name, first)], {"contestant": name}, "median")


def learners(embeddings: EmbeddingSet) -> dict[str, Callable[[], object]]:
    """Calls that learn one more shot each, all taught the same shots before."""
    taught = draw(embeddings, TAUGHT_SHOTS, seed=0)
    fresh = draw(embeddings, TAUGHT_SHOTS + TIMED_SHOTS, seed=0)
    shots = [fresh.shots[place : place + 1] for place in range(len(fresh.labels))]
    labels = [fresh.labels[place : place + 1] for place in range(len(fresh.labels))]
    head = streamed_head(taught, BUDGET)
    calls: dict[str, Callable[[], object]] = {LEARN: _each(head.partial_fit, shots, labels)}
    # As many centres as there are classes is the least a user would take; as many as the head keeps is like
    # for like.
    for centres in sorted({len(embeddings.classes), sum(head.proxies_per_class().values())}):
        peer = MiniBatchKMeans(n_clusters=centres, n_init=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.partial_fit(taught.shots)
        calls[f"MiniBatchKMeans({centres}).partial_fit"] = _each(peer.partial_fit, shots)
    return calls


def predictors(embeddings: EmbeddingSet, proxies: int) -> dict[str, Callable[[], object]]:
    """Calls that recognise one embedding among that many proxies: as many classes, a shot each.

    Raises:
        BenchmarkError: the head keeps another number of proxies than one a class.
    """
    head = crowded_head(embeddings.train[:proxies])
    kept = sum(head.proxies_per_class().values())
    if kept != proxies:
        raise BenchmarkError(f"one shot each of {proxies} classes should make {proxies} proxies; the head has {kept}")
    weights = np.ascontiguousarray(embeddings.train[:proxies], dtype=np.float32)
    one = np.ascontiguousarray(embeddings.test[0], dtype=np.float32)
    return {
        PRODUCT: lambda: weights @ one,
        PREDICT: lambda: head.predict(one[None]),
        "head.decision_function": lambda: head.decision_function(one[None]),
    }


def crowded_head(shots: NDArray[np.float32]) -> ImprintHead:
    """A head with a class for every shot, in the smallest power of two of kilobytes that holds them."""
    for exponent in itertools.count(6):
        head = ImprintHead(dim=shots.shape[1], budget=1024 << exponent)
        try:
            for number, shot in enumerate(shots):
                head.partial_fit(shot[None], [f"class {number}"])
        except CapacityError:
            continue
        return head
    raise AssertionError("count() does not end")


def _each(call: Callable[..., object], *columns: list[Any]) -> Callable[[], object]:
    """A call without arguments that goes round the rows of the columns."""
    rows = itertools.cycle(zip(*columns, strict=True))
    return lambda: call(*next(rows))


def _promises(result: Result, proxies: int) -> None:
    for found in list(result.select("learn_ratio"))[1:]:
        contestant = str(found.params["contestant"])
        result.promise(
            f"latency: one shot, {contestant}",
            f"partial_fit at least {LEARN_FASTER:g} x faster than MiniBatchKMeans.partial_fit",
            found.value,
            "x",
            found.value >= LEARN_FASTER,
        )
    slower = result.one("predict_ratio", contestant=PREDICT).value
    result.promise(
        "latency: one embedding",
        f"predict against {proxies} proxies at most {PREDICT_SLOWER:g} x one numpy matrix-vector product",
        slower,
        "x",
        slower <= PREDICT_SLOWER,
    )


def tables(result: Result) -> dict[str, str]:
    """One table: microseconds of each contestant, and its ratio to the first of its group."""
    titles = {"learn": "learn one shot", "predict": "recognise one embedding"}
    rows = []
    for what, title in titles.items():
        for found in result.select(what):
            low, high = found.spread["quartile_1"] or 0.0, found.spread["quartile_3"] or 0.0
            times = result.one(f"{what}_ratio", contestant=found.params["contestant"]).value
            rows.append(
                [
                    f"{title}: {found.params['contestant']}",
                    microseconds(found.value),
                    f"{microseconds(low)} to {microseconds(high)}",
                    f"{times:.2f} x",
                ]
            )
    note = f"{result.settings['dim']}-d, single calls from Python; ratio to the first row of the same task."
    return {"latency": f"{table(['task', 'µs, median', 'quartiles', 'ratio'], rows)}\n\n{note}"}
