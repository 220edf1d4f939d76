"""The second-moment head's own time: one shot learnt and one embedding answered, the equations solved on the way.

Next to it, in the same process and in turns, what a batch method has to do at least for the same answer: LAPACK's
Cholesky factorisation and solution in single precision, of a matrix that is there already.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve  # here: the limit on threads reaches only what is loaded
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.context import Context
from benchmarks.harness import interleave, ratio
from benchmarks.markdown import table
from benchmarks.results import Result
from edge_imprint.head import ImprintHead

CLASSES, SHOTS = 10, 30
BUDGETS = {256: "512KB", 384: "1MB", 1024: "8MB", 1280: "8MB"}
QUICK = (256,)
LIMITS_MS = {256: 2.0, 1280: 40.0}
REPEATS, QUICK_REPEATS, WARMUPS = 31, 5, 3
SAMPLE_NS, QUICK_SAMPLE_NS = 20_000_000, 300_000
SIDES = 16
HEAD, MEANS, LAPACK = "a shot and an answer", "the same, class means only", "LAPACK, factor and solve alone"


def run(context: Context, result: Result) -> None:
    """Time every dimension."""
    dims = QUICK if context.quick else tuple(BUDGETS)
    result.settings = {
        "classes": CLASSES,
        "shots_taught_before_per_class": SHOTS,
        "budgets": {str(dim): BUDGETS[dim] for dim in dims},
        "data": "seeded random clumps: time does not depend on what the embeddings show",
        "warmups": WARMUPS,
        "repeats": QUICK_REPEATS if context.quick else REPEATS,
        "garbage_collector": "off while timing",
        "threads": 1,
    }
    for dim in context.track(dims, "second moment"):
        with threadpool_limits(1):
            _time(context, result, dim)
    for dim, limit in LIMITS_MS.items():
        if dim in dims:
            value = result.one("solve", dim=dim, contestant=HEAD).value / 1e6
            rule = f"a shot and an answer with {CLASSES} classes at most {limit:g} ms on one core"
            result.promise(f"solve: {dim} dimensions", rule, value, "ms", value <= limit)


def _time(context: Context, result: Result, dim: int) -> None:
    rng = np.random.default_rng(dim)
    centres = rng.normal(size=(CLASSES, dim))
    places = rng.permutation(np.repeat(np.arange(CLASSES), 40))
    shots = (centres[places] + rng.normal(size=(len(places), dim))).astype(np.float32)
    labels = [f"class {place}" for place in places]
    heads = {
        HEAD: ImprintHead(dim=dim, budget=BUDGETS[dim], method="ridge"),
        MEANS: ImprintHead(dim=dim, budget=BUDGETS[dim], method="ridge", max_proxies=1),
    }
    for head in heads.values():
        head.partial_fit(shots[: CLASSES * SHOTS], labels[: CLASSES * SHOTS])
    proxies = sum(heads[HEAD].proxies_per_class().values())

    def learner(head: ImprintHead) -> Callable[[], object]:
        rows = itertools.cycle(range(CLASSES * SHOTS, len(places)))

        def learn_and_answer() -> object:
            place = next(rows)
            head.partial_fit(shots[place : place + 1], labels[place : place + 1])
            return head.predict(shots[:1])

        return learn_and_answer

    samples = interleave(
        {**{name: learner(head) for name, head in heads.items()}, LAPACK: _lapack(dim, proxies + 1, rng)},
        repeats=QUICK_REPEATS if context.quick else REPEATS,
        warmups=WARMUPS,
        sample_ns=QUICK_SAMPLE_NS if context.quick else SAMPLE_NS,
    )
    for name, values in samples.items():
        result.add("solve", "ns", values, {"dim": dim, "contestant": name}, "median")
    result.add("solve_ratio", "", [ratio(samples, HEAD, LAPACK)], {"dim": dim})
    result.add("operations", "multiply-accumulates", [operations(dim, proxies)], {"dim": dim})
    result.add("proxies", "proxies", [proxies], {"dim": dim})
    result.add("nbytes", "bytes", [heads[HEAD].nbytes], {"dim": dim})


def operations(dim: int, proxies: int) -> float:
    """Multiplications with an addition of a shot and an answer: scatter, factor, solution, scores."""
    scatter = dim * (dim + 1) / 2
    factor = dim * (dim + 1) * (dim + 2) / 6
    sides = -(-(proxies + 1) // SIDES) * SIDES
    return scatter + factor + sides * dim * (dim + 1) + (proxies + 1) * dim


def _lapack(dim: int, sides: int, rng: np.random.Generator) -> Callable[[], object]:
    wide = rng.normal(size=(dim, 2 * dim)).astype(np.float32)
    matrix = wide @ wide.T + np.eye(dim, dtype=np.float32)
    right = rng.normal(size=(dim, sides)).astype(np.float32)
    return lambda: cho_solve(cho_factor(matrix, lower=True, check_finite=False), right, check_finite=False)


def tables(result: Result) -> dict[str, str]:
    """Milliseconds and operations of each dimension."""
    rows = []
    for found in result.select("solve", contestant=HEAD):
        dim = found.params["dim"]
        low, high = found.spread["quartile_1"] or 0.0, found.spread["quartile_3"] or 0.0
        count = result.one("operations", dim=dim).value
        rows.append(
            [
                f"{dim}",
                f"{result.one('proxies', dim=dim).value:.0f}",
                f"{found.value / 1e6:.2f} ({low / 1e6:.2f} to {high / 1e6:.2f})",
                f"{result.one('solve', dim=dim, contestant=MEANS).value / 1e6:.2f}",
                f"{count / 1e6:.1f}",
                f"{count / found.value:.1f}",
                f"{result.one('solve_ratio', dim=dim).value:.2f} x",
                f"{result.one('nbytes', dim=dim).value / 1024:,.0f} KB",
            ]
        )
    head = [
        "dimensions",
        "proxies",
        "a shot and an answer, ms",
        "with class means only, ms",
        "million multiply-accumulates",
        "of them per ns",
        "against LAPACK alone",
        "bytes in use",
    ]
    note = (
        f"{CLASSES} classes, one core, from Python, a shot learnt, the equations solved, an embedding answered. "
        "LAPACK: factorisation and solution of a ready matrix in single precision, no shot, no score, no int8."
    )
    return {"solve": f"{table(head, rows)}\n\n{note}"}
