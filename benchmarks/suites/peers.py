"""edge-imprint next to what a user would pick instead: accuracy, time, bytes, forgetting, unknown, kill -9.

Every contestant sees the same unit embeddings in the same random order, single shots, in one process and on one thread
(threadpoolctl; faiss, usearch and hnswlib are told as well). What is not installed is left out, with the command that
installs it.
"""

from __future__ import annotations

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.context import Context
from benchmarks.data import BaseSource
from benchmarks.errors import DataMissingError
from benchmarks.peers import kills, measuring, verdict
from benchmarks.peers.registry import installed
from benchmarks.peers.tables import tables
from benchmarks.results import Result
from benchmarks.suites.accuracy import name_of
from edge_imprint.backbones import BaseStatistics

__all__ = ["run", "tables"]

BACKBONES = ("mobilenet_v1_0.25_128", "default-int8")
SHOTS, QUICK_SHOTS = (1, 5, 20, None), (1, 5)
COST_SHOTS, QUICK_COST_SHOTS = 20, 5
REPEATS, QUICK_REPEATS = 21, 5
WARMUPS = 2
SAMPLE_NS = 500_000
KILLS, QUICK_KILLS = 40, 4
FORGETTING_REPEATS, QUICK_FORGETTING_REPEATS = 5, 1


def run(context: Context, result: Result) -> None:
    """Accuracy everywhere; then costs and behaviour on the first backbone."""
    entries = installed(result)  # before the limit on threads, which reaches only what is loaded
    counts = QUICK_SHOTS if context.quick else SHOTS
    cost_shots = QUICK_COST_SHOTS if context.quick else COST_SHOTS
    repeats = QUICK_REPEATS if context.quick else REPEATS
    result.settings = {
        "shots": [name_of(shots) for shots in counts],
        "peers": {
            name: {key: text for key, text in vars(entry).items() if isinstance(text, str)}
            for name, entry in entries.items()
        },
        "test_pictures": f"the first {measuring.MOST_TEST_PICTURES} at most, as many of each class",
        "embeddings": "L2-normalised beforehand, untimed",
        "threads": 1,
        "warmups": WARMUPS,
        "repeats": repeats,
        "least_sample_ns": SAMPLE_NS,
        "garbage_collector": "off while timing",
        "learning": "before each sample a contestant is made anew from the same shots, untimed",
        "fixed": "settings do not follow the shots, as in `learning`; CBCL's are what did best at 5 and 20 shots",
        "kills": "a process that saves two states in turns without pause, killed after 2 to 5 times a save's duration",
    }
    with threadpool_limits(1):
        for backbone in BACKBONES[:1] if context.quick else BACKBONES:
            base = _base(context, backbone)
            sets = [measuring.unit(embeddings) for embeddings in context.sets(backbone, result)]
            for data in sets:
                for shots in counts:
                    measuring.accuracy(context, result, entries, data, shots, base)
            if sets and "cost_where" not in result.settings:
                last = sets[-1]
                result.settings["cost_where"] = {
                    "backbone": backbone,
                    "data": last.data,
                    "shots": name_of(cost_shots),
                }
                with context.console.status("times in turns"):
                    measuring.cost(result, entries, last, cost_shots, base, repeats, WARMUPS, SAMPLE_NS)
                times = QUICK_FORGETTING_REPEATS if context.quick else FORGETTING_REPEATS
                measuring.forgetting(context, result, entries, last, base, times)
                for data in sets:
                    measuring.unknown(context, result, entries, data, cost_shots, base)
    if result.measurements:
        kills.measure(context, result, QUICK_KILLS if context.quick else KILLS)
        verdict.promise(result)


def _base(context: Context, backbone: str) -> BaseStatistics | None:
    """What a bundle brings along, where the source of the embeddings knows it."""
    if not isinstance(context.source, BaseSource):
        return None
    try:
        return context.source.base_statistics(backbone)
    except DataMissingError:
        return None
