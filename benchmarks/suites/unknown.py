"""Does the head say "unknown"? Half the classes are never shown; their test pictures must not be accepted.

The user asks for a false-accept rate of 5 %. Measured: the share of never-shown classes' test pictures with
verdict "known", what happens to the pictures of known classes, and AUROC of the score. Each seed makes two
random halves, and each side of a half is once the known one, so every class is as often known as unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.context import Context, draw
from benchmarks.data import BACKBONES, EmbeddingSet, title_of
from benchmarks.markdown import table
from benchmarks.methods import streamed_head
from benchmarks.metrics import auroc
from benchmarks.results import Param, Result

BACKBONE = "mobilenet_v1_0.25_128"
BUDGET = "64KB"
SHOTS = (1, 5, 20, 100)
QUICK_SHOTS = (1, 5)
FALSE_ACCEPT_RATE = 0.05
HALVES_PER_SEED = 2
LOWEST, HIGHEST = 2.5, 8.0
VERDICTS = ("known", "uncertain", "unknown")


def run(context: Context, result: Result) -> None:
    """Measure every shot count on every data set."""
    counts = QUICK_SHOTS if context.quick else SHOTS
    result.settings = {
        "backbone": BACKBONE,
        "budget": BUDGET,
        "false_accept_rate": FALSE_ACCEPT_RATE,
        "halves_per_seed": HALVES_PER_SEED,
        "shots": list(counts),
    }
    for embeddings in context.sets(BACKBONE, result):
        for shots in counts:
            _cell(context, result, embeddings, shots)


def _cell(context: Context, result: Result, embeddings: EmbeddingSet, shots: int) -> None:
    where: dict[str, Param] = {"data": embeddings.data, "shots": shots}
    accepted: list[float] = []
    areas: list[float] = []
    known_shares: dict[str, list[float]] = {verdict: [] for verdict in VERDICTS}
    for seed in context.track(range(context.seeds), f"unknown: {embeddings.data}, {shots} shots"):
        for known in halves(embeddings.classes, seed):
            seen = draw(embeddings, shots, seed, known.tolist())
            head = streamed_head(seen, BUDGET, false_accept_rate=FALSE_ACCEPT_RATE)
            is_known = np.isin(embeddings.test_labels, known)
            verdicts = head.verdicts(embeddings.test)
            scores = head.decision_function(embeddings.test).max(axis=1)
            accepted.append(100.0 * float((verdicts[~is_known] == "known").mean()))
            areas.append(auroc(scores[is_known], scores[~is_known]))
            for verdict, shares in known_shares.items():
                shares.append(100.0 * float((verdicts[is_known] == verdict).mean()))
    rate = result.add("false_accept_rate", "%", accepted, where).value
    result.add("auroc", "", areas, where)
    for verdict, shares in known_shares.items():
        result.add("known_class_share", "%", shares, {"verdict": verdict, **where})
    result.promise(
        f"unknown: {title_of(embeddings.data)}, {shots} shots",
        f"false-accept rate set to 5 %, measured {LOWEST} to {HIGHEST} %",
        rate,
        "%",
        LOWEST <= rate <= HIGHEST,
    )


def halves(classes: NDArray[np.str_], seed: int) -> Iterator[NDArray[np.str_]]:
    """The known classes of each run of a seed: both sides of each random half."""
    rng = np.random.default_rng([seed, 3])
    for _ in range(HALVES_PER_SEED):
        shuffled = rng.permutation(classes)
        middle = len(shuffled) // 2
        yield shuffled[:middle]
        yield shuffled[middle:]


def tables(result: Result) -> dict[str, str]:
    """One table: a row per data set and shot count."""
    rows = []
    for found in result.select("false_accept_rate"):
        where = found.params
        shares = [result.one("known_class_share", verdict=verdict, **where).value for verdict in VERDICTS]
        rows.append(
            [
                title_of(str(where["data"])),
                str(where["shots"]),
                f"{found.value:.1f} % ± {found.spread['standard_error'] or 0:.1f}",
                *(f"{share:.0f} %" for share in shares),
                f"{result.one('auroc', **where).value:.3f}",
            ]
        )
    head = ["data", "shots per class", "never-shown classes accepted", "known classes: accepted", "uncertain",
            "rejected", "AUROC"]  # fmt: skip
    text = table(head, rows)
    note = (
        f"{BACKBONES[BACKBONE].title}, {BUDGET}, false-accept rate set to {100 * FALSE_ACCEPT_RATE:g} %; "
        f"half the classes never shown, {result.seeds} seeds x {2 * HALVES_PER_SEED} halves, "
        "mean ± standard error."
    )
    return {"unknown": f"{text}\n\n{note}"}
