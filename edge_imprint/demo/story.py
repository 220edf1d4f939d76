"""What the demo does and measures, part by part. Each part returns plain numbers and the pictures to show."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import BaseStatistics
from edge_imprint.demo import data
from edge_imprint.episodes import balanced_accuracy, evaluate
from edge_imprint.head import ImprintHead
from edge_imprint.learner import DEFAULT_BUDGET, Learner

BUDGET = DEFAULT_BUDGET
TIGHT_BUDGET = "32KB"
MEMORY_SHOTS = 30
SHOTS = (1, 2, 5, 10, 20)
CURVE_METHODS = ("auto", "proxies", "qi", "westerhoff")
CURVE_EPISODES = 5
DIGITS_EACH = 100
DIGITS_CHUNK = 100
OBJECT_SHOTS = 5
OBJECT_TESTS = 8
TILES_EACH = 3
SECRET_DIGITS = ("7", "8", "9")
FORGOTTEN = "3"
VERDICTS = ("known", "uncertain", "unknown")


@dataclass(frozen=True)
class Tile:
    """One picture in the report: what it is, and, when it was asked about, what was answered."""

    picture: bytes | NDArray[np.uint8]
    truth: str
    answer: str = ""
    verdict: str = ""
    stranger: bool = False

    @property
    def right(self) -> bool:
        """Whether the answer is right; for a thing never shown, any verdict but "known" is."""
        return self.verdict != "known" if self.stranger else self.answer == self.truth


@dataclass(frozen=True)
class Part:
    """Numbers for report.json, and the pictures for the page in named rows."""

    numbers: dict[str, Any]
    taught: dict[str, list[Tile]]
    asked: dict[str, list[Tile]]


@dataclass(frozen=True)
class Digits:
    """Digit scans, embedded once, the same number of each digit; and what the backbone's bundle says of others."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.str_]
    embeddings: NDArray[np.float32]
    base: BaseStatistics | None

    def of(self, digit: str, start: int, stop: int) -> NDArray[np.intp]:
        """Positions of the scans `start` to `stop` of one digit."""
        return np.flatnonzero(self.labels == digit)[start:stop]

    def mixed(self, digits: Sequence[str], start: int, stop: int) -> NDArray[np.intp]:
        """Positions of the scans `start` to `stop` of several digits, in turn: 0, 1, ... 9, 0, 1, ..."""
        return np.stack([self.of(digit, start, stop) for digit in digits], axis=1).ravel()


def embed_digits(learner: Learner, advance: Callable[[], None]) -> Digits:
    """Push the first scans of every digit through the backbone like any picture."""
    pictures, names = data.digit_scans()
    labels = np.asarray(names)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == digit)[:DIGITS_EACH] for digit in sorted(set(names))]))
    rows = []
    for start in range(0, len(chosen), DIGITS_CHUNK):
        rows.append(learner.embed(list(pictures[chosen[start : start + DIGITS_CHUNK]])))
        advance()
    return Digits(pictures[chosen], labels[chosen], np.concatenate(rows), learner.backbone.base_statistics)


def digits_part(digits: Digits, advance: Callable[[], None]) -> Part:
    """Accuracy against shots for all ten digits; then seven digits taught and three kept secret."""
    outcomes = evaluate(
        digits.embeddings,
        list(digits.labels),
        shots=SHOTS,
        methods=CURVE_METHODS,
        episodes=CURVE_EPISODES,
        queries=50,
        budget=BUDGET,
        base=digits.base,
        advance=advance,
    )
    every = sorted(set(digits.labels.tolist()))
    shown = [digit for digit in every if digit not in SECRET_DIGITS]
    head = ImprintHead(digits.embeddings.shape[1], BUDGET, method="auto", base=digits.base)
    for position in digits.mixed(shown, 0, max(SHOTS)):
        head.partial_fit(digits.embeddings[position : position + 1], str(digits.labels[position]))
    asked = {digit: digits.of(digit, max(SHOTS), DIGITS_EACH) for digit in every}
    answers = {digit: head.predict(digits.embeddings[at]) for digit, at in asked.items()}
    verdicts = {digit: head.verdicts(digits.embeddings[at]) for digit, at in asked.items()}
    tiles = {
        digit: [
            Tile(digits.pictures[i], digit, str(label), str(verdict), digit in SECRET_DIGITS)
            for i, label, verdict in zip(asked[digit][:TILES_EACH], answers[digit], verdicts[digit], strict=False)
        ]
        for digit in every
    }
    numbers = {
        "classes": len(every),
        "scans": len(digits.labels),
        "episodes": CURVE_EPISODES,
        "curve": [
            {
                "method": outcome.method,
                "shots": outcome.shots,
                "mean": round(100 * outcome.accuracy.mean, 2),
                "half_width": round(100 * (outcome.accuracy.half_width or 0.0), 2),
            }
            for outcome in outcomes
        ],
        "taught": shown,
        "never_shown": list(SECRET_DIGITS),
        "shots": max(SHOTS),
        "method": head.method,
        "false_accept_rate": float(head.false_accept_rate),
        "verdicts_taught": _shares([verdicts[digit] for digit in shown]),
        "verdicts_never_shown": _shares([verdicts[digit] for digit in SECRET_DIGITS]),
    }
    taught = {digit: [Tile(digits.pictures[i], digit) for i in digits.of(digit, 0, OBJECT_SHOTS)] for digit in shown}
    return Part(numbers, taught, tiles)


def objects_part(learner: Learner) -> Part:
    """Teach things from views of their photographs, then ask about new views and things never shown."""
    rng = np.random.default_rng(0)
    things, strangers = data.available(data.TAUGHT), data.available(data.NEVER_SHOWN)
    lessons = {thing.label: data.views(thing.teach_from, OBJECT_SHOTS, rng) for thing in things}
    for turn in range(OBJECT_SHOTS):
        for label, files in lessons.items():
            learner.learn(files[turn], label)
    tests = {thing.label: data.views(thing.test_on, OBJECT_TESTS, rng) for thing in (*things, *strangers)}
    answers = {label: learner.predict_many(files) for label, files in tests.items()}
    names = {thing.label for thing in strangers}
    truth = [thing.label for thing in things for _ in range(OBJECT_TESTS)]
    given = [str(answer.label) for thing in things for answer in answers[thing.label]]
    numbers = {
        "taught": [thing.label for thing in things],
        "never_shown": [thing.label for thing in strangers],
        "shots": OBJECT_SHOTS,
        "bytes_used": learner.head.nbytes,
        "accuracy": round(100 * balanced_accuracy(truth, given), 2),
        "verdicts_taught": _shares([[a.verdict for a in answers[thing.label]] for thing in things]),
        "verdicts_never_shown": _shares([[a.verdict for a in answers[thing.label]] for thing in strangers]),
        "tested_on": {thing.label: thing.honesty for thing in things},
        "shown_as": {thing.label: thing.shown_as for thing in (*things, *strangers)},
    }
    tiles = {
        label: [
            Tile(file, label, str(answer.label), answer.verdict, label in names)
            for file, answer in zip(files[:TILES_EACH], answers[label], strict=False)
        ]
        for label, files in tests.items()
    }
    taught = {label: [Tile(file, label) for file in files] for label, files in lessons.items()}
    return Part(numbers, taught, tiles)


def memory_part(digits: Digits) -> dict[str, Any]:
    """Fill a tight budget one shot at a time, forget one digit, save, reload and compare every answer."""
    every = sorted(set(digits.labels.tolist()))
    head = ImprintHead(dim=digits.embeddings.shape[1], budget=TIGHT_BUDGET)
    used = [head.nbytes]
    learnt, asked = digits.mixed(every, 0, MEMORY_SHOTS), digits.mixed(every, MEMORY_SHOTS, DIGITS_EACH)
    for position in learnt:
        head.partial_fit(digits.embeddings[position : position + 1], str(digits.labels[position]))
        used.append(head.nbytes)
    questions = digits.embeddings[asked]
    proxies = {str(label): int(count) for label, count in head.proxies_per_class().items()}
    accuracy = balanced_accuracy(digits.labels[asked], head.predict(questions))
    head.forget(FORGOTTEN)
    used.append(head.nbytes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.eimp"
        head.save(path)
        file_bytes = path.stat().st_size
        again = ImprintHead.load(path)
    same = bool(
        np.array_equal(head.predict(questions), again.predict(questions))
        and np.array_equal(head.decision_function(questions), again.decision_function(questions))
    )
    return {
        "budget": head.budget,
        "used": used,
        "most_used": max(used),
        "shots": len(learnt),
        "accuracy": round(100 * accuracy, 2),
        "proxies": proxies,
        "forgotten": FORGOTTEN,
        "bytes_freed": used[-2] - used[-1],
        "snapshot_bytes": file_bytes,
        "same_after_reload": same,
    }


def _shares(groups: Sequence[Sequence[str] | NDArray[Any]]) -> dict[str, float]:
    """Percent of each verdict over all groups together."""
    verdicts = [str(verdict) for group in groups for verdict in group]
    return {name: round(100 * verdicts.count(name) / max(1, len(verdicts)), 2) for name in VERDICTS}
