"""The measurements of the suite `peers`: each contestant is taught and asked by the same calls in all of them."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.context import Context, Draw, draw
from benchmarks.data import EmbeddingSet, normalise
from benchmarks.errors import BenchmarkError
from benchmarks.harness import interleave
from benchmarks.metrics import auroc, balanced_accuracy
from benchmarks.peers.peer import CannotForgetError, Entry, Peer, Setting
from benchmarks.results import Param, Result
from benchmarks.suites.accuracy import name_of
from benchmarks.suites.unknown import HALVES_PER_SEED, halves
from edge_imprint.backbones import BaseStatistics

MOST_TEST_PICTURES = 1000
MOST_S = 20.0
"""A contestant that would take longer for all seeds of a cell is run for the first one only."""
FRESH_SHOTS = 20
ASKED = 64
CLASSES, FORGOTTEN, SHOTS_OF_MANY = 100, 50, 5
Entries = Mapping[str, Entry]


def unit(embeddings: EmbeddingSet) -> EmbeddingSet:
    """Rows scaled to length 1, since no peer does that itself; of the test pictures as many of each class."""
    per_class = MOST_TEST_PICTURES // len(embeddings.classes)
    places = np.concatenate(
        [np.flatnonzero(embeddings.test_labels == label)[:per_class] for label in embeddings.classes]
    )
    return EmbeddingSet(
        embeddings.data,
        embeddings.backbone,
        normalise(embeddings.train),
        embeddings.train_labels,
        normalise(embeddings.test[places]),
        embeddings.test_labels[places],
    )


def taught(entry: Entry, seen: Draw, base: BaseStatistics | None) -> Peer:
    """A contestant after one pass over single shots, ready to answer."""
    peer = entry.make(Setting(seen.shots.shape[1], sorted(set(seen.labels.tolist())), base))
    peer.learn(seen.shots, seen.labels)
    peer.settle()
    return peer


def accuracy(
    context: Context,
    result: Result,
    entries: Entries,
    data: EmbeddingSet,
    shots: int | None,
    base: BaseStatistics | None,
) -> None:
    """Balanced test accuracy of each seed; bytes in memory and on disk with the shots of the first."""
    where: dict[str, Param] = {"backbone": data.backbone, "data": data.data, "shots": name_of(shots)}
    draws = [draw(data, shots, seed) for seed in range(context.seeds)]
    for name, entry in context.track(entries.items(), f"{data.backbone}, {data.data}, {name_of(shots)} shots"):
        found: list[float] = []
        start = time.perf_counter()
        for seen in draws[:1] if shots is None and entry.any_order else draws:
            peer = taught(entry, seen, base)
            found.append(balanced_accuracy(data.test_labels, peer.predict(data.test)))
            if len(found) == 1:
                result.add("nbytes", "bytes", [peer.nbytes], {"peer": name, **where}, "max")
                result.add("disk", "bytes", [disk_bytes(peer)], {"peer": name, **where}, "max")
                took_s = time.perf_counter() - start
                if took_s * len(draws) > MOST_S:
                    result.skip(
                        f"{entry.title}, {data.data}, {name_of(shots)} shots: about {took_s:.0f} s for each of "
                        f"{len(draws)} seeds, over {MOST_S:g} s in all: the first only"
                    )
                    break
        result.add("balanced_accuracy", "%", found, {"peer": name, **where})


def disk_bytes(peer: Peer) -> int:
    """Bytes of all files that saving writes."""
    with tempfile.TemporaryDirectory(prefix="eimp-peers-") as folder:
        peer.save(Path(folder) / "state.bin")
        return sum(file.stat().st_size for file in Path(folder).iterdir())


def cost(
    result: Result,
    entries: Entries,
    data: EmbeddingSet,
    shots: int,
    base: BaseStatistics | None,
    repeats: int,
    warmups: int,
    sample_ns: int,
) -> None:
    """Nanoseconds to learn one shot, so that the next prediction knows it, and to answer one embedding.

    Raises:
        BenchmarkError: who was timed answers otherwise than who was measured for accuracy.
    """
    seen, fresh = draw(data, shots, 0), draw(data, shots + FRESH_SHOTS, 0)
    lessons = [_Lesson(entry, seen, fresh, base) for entry in entries.values()]
    calls: dict[str, Callable[[], object]] = dict(zip(entries, (lesson.one for lesson in lessons), strict=True))
    resets: dict[str, Callable[[], object]] = dict(zip(entries, (lesson.again for lesson in lessons), strict=True))
    where: dict[str, Param] = {"backbone": data.backbone, "data": data.data, "shots": name_of(shots)}
    timed = interleave(calls, repeats=repeats, warmups=warmups, sample_ns=sample_ns, before=resets)
    for name, samples in timed.items():
        result.add("learn", "ns", samples, {"peer": name, **where}, "median")

    peers = {name: taught(entry, seen, base) for name, entry in entries.items()}
    timed = interleave(
        {name: _question(peer, data.test) for name, peer in peers.items()},
        repeats=repeats,
        warmups=warmups,
        sample_ns=sample_ns,
    )
    for name, samples in timed.items():
        result.add("predict", "ns", samples, {"peer": name, **where}, "median")
        again = balanced_accuracy(data.test_labels, peers[name].predict(data.test))
        measured = result.one("balanced_accuracy", peer=name, **where).samples[0]
        if again != measured:
            raise BenchmarkError(f"{name}: the timed contestant has {again:.3f} %, the measured one {measured:.3f} %")


class _Lesson:
    """One more shot after the same ones, again and again."""

    def __init__(self, entry: Entry, seen: Draw, fresh: Draw, base: BaseStatistics | None) -> None:
        self._taught = lambda: taught(entry, seen, base)
        rows = [(fresh.shots[at : at + 1], fresh.labels[at : at + 1]) for at in range(len(fresh.labels))]
        self._shots = itertools.cycle(rows)

    def again(self) -> None:
        self._peer = self._taught()

    def one(self) -> None:
        self._peer.learn(*next(self._shots))
        self._peer.settle()


def _question(peer: Peer, test: NDArray[np.float32]) -> Callable[[], object]:
    rows = itertools.cycle([test[at : at + 1] for at in range(min(ASKED, len(test)))])
    return lambda: peer.predict(next(rows))


def unknown(
    context: Context, result: Result, entries: Entries, data: EmbeddingSet, shots: int, base: BaseStatistics | None
) -> None:
    """AUROC of a contestant's own score: test pictures of taught classes against those of classes never shown."""
    where: dict[str, Param] = {"backbone": data.backbone, "data": data.data, "shots": shots}
    for name, entry in context.track(entries.items(), f"unknown: {data.data}"):
        found = []
        for seed in range(context.seeds):
            for known in itertools.islice(halves(data.classes, seed), HALVES_PER_SEED):
                peer = taught(entry, draw(data, shots, seed, known.tolist()), base)
                scores = peer.known_score(data.test)
                if scores is not None:
                    shown = np.isin(data.test_labels, known)
                    found.append(auroc(scores[shown], scores[~shown]))
        if found:
            result.add("auroc", "", found, {"peer": name, **where})


def forgetting(
    context: Context, result: Result, entries: Entries, data: EmbeddingSet, base: BaseStatistics | None, repeats: int
) -> None:
    """100 classes taught, 50 forgotten: bytes before and after, nanoseconds for each class or for starting again."""
    every = many(data)
    gone = sorted(set(every.labels.tolist()))[::2][:FORGOTTEN]
    keep = ~np.isin(every.labels, gone)
    rest = Draw(every.shots[keep], every.labels[keep])
    for name, entry in context.track(entries.items(), "forgetting"):
        times, before, after, forgets = [], 0, 0, True
        for _ in range(repeats):
            peer = taught(entry, every, base)
            before = peer.nbytes
            start = time.perf_counter_ns()
            try:
                for label in gone:
                    peer.forget(label)
                peer.settle()
                times.append((time.perf_counter_ns() - start) / FORGOTTEN)
            except CannotForgetError:
                forgets = False
                start = time.perf_counter_ns()
                peer = taught(entry, rest, base)
                times.append(float(time.perf_counter_ns() - start))
            after = peer.nbytes
        if set(peer.predict(data.test)) & set(gone):
            raise BenchmarkError(f"{name} answers with a class that it was to forget")
        where: dict[str, Param] = {"peer": name, "forgets": forgets}
        result.add("forget", "ns", times, where, "median")
        result.add("before_forgetting", "bytes", [before], where, "max")
        result.add("given_back", "bytes", [before - after], where, "max")


def many(data: EmbeddingSet) -> Draw:
    """Real embeddings under the labels of 100 classes of 5 shots, one class after the other."""
    places = np.random.default_rng([0, 5]).permutation(len(data.train))[: CLASSES * SHOTS_OF_MANY]
    labels = np.array([f"thing {at // SHOTS_OF_MANY:02}" for at in range(len(places))])
    return Draw(data.train[places], labels)
