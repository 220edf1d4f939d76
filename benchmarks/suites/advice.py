"""Is the advice true? Predicted against measured gain of five more shots, planted wrong labels, drift and false alarms.

Measured: what five more shots of one class do to its own share of right answers, beside the prediction made before;
how much more often than others the pairs are mixed up that are called confusable; how many of 5 % wrong labels are
flagged and how many flags are right; how often streams without drift raise an alarm and how late real changes are seen.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks.context import Context, Draw, draw
from benchmarks.data import BACKBONES, BATCH, EmbeddingSet, Pictures, backbone_of, normalise, title_of
from benchmarks.errors import DataMissingError
from benchmarks.markdown import table
from benchmarks.methods import batch_head
from benchmarks.results import Param, Result
from edge_imprint.head import ImprintHead
from edge_imprint.head.drift import DriftMonitor
from edge_imprint.head.learning_curve import curve_of
from edge_imprint.head.odd_shots import OddShots

# The constants of the learning curve were chosen on other backbones than the last.
CURVE_BACKBONES = ("default-int8", "mobilenet_v1_0.25_128", "mobilenet_v2_384")
CURVE_SHOTS = (1, 2, 5, 10, 20)
ODD_BACKBONES = ("default-int8", "mobilenet_v1_0.25_128")
ODD_SHOTS = (20, 50)
WRONG_SHARE = 0.05
DRIFT_BACKBONE, DRIFT_DATA = "default-float32", "clothing_small"
DRIFT_PEERS = {"int8 instead of float32": "default-int8", "another backbone": "mobilenet_v1_0.25_128"}
DRIFT_SHOTS = (5, 20)
WINDOWS = (64, 256)
EVERY, BEFORE, AFTER = 8, 128, 256
MORE, AHEAD, PAIRS = 5, 30, 3
BUDGET = "128KB"
Array = NDArray[np.float32]


def run(context: Context, result: Result) -> None:
    """Measure the three parts."""
    result.settings = {
        "budget": BUDGET,
        "shots": list(CURVE_SHOTS),
        "wrong_share": WRONG_SHARE,
        "windows": list(WINDOWS),
        "report_every": EVERY,
        "pictures_after_change": AFTER,
    }
    for backbone in CURVE_BACKBONES[:1] if context.quick else CURVE_BACKBONES:
        for embeddings in context.sets(backbone, result):
            for shots in CURVE_SHOTS[1:2] if context.quick else CURVE_SHOTS:
                _curve(context, result, embeddings, shots)
    for backbone in ODD_BACKBONES[:1] if context.quick else ODD_BACKBONES:
        for embeddings in context.sets(backbone, result):
            for shots in ODD_SHOTS[:1] if context.quick else ODD_SHOTS:
                _odd(context, result, embeddings, shots)
    for embeddings in context.sets(DRIFT_BACKBONE, result):
        changed = {} if context.quick or embeddings.data != DRIFT_DATA else _changed(context, result, embeddings)
        for shots in DRIFT_SHOTS[-1:] if context.quick else DRIFT_SHOTS:
            for window in WINDOWS[:1] if context.quick else WINDOWS:
                _drift(context, result, embeddings, changed, shots, window)


def _means(seen: Draw, classes: NDArray[np.str_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Means of unit shots (n_classes, dim), and how many shots each has."""
    unit = normalise(seen.shots).astype(np.float64)
    means = np.array([unit[seen.labels == label].mean(axis=0) for label in classes])
    return means, np.array([(seen.labels == label).sum() for label in classes])


def _curve(context: Context, result: Result, embeddings: EmbeddingSet, shots: int) -> None:
    """Five more of every class; and five more of one class while the others have more than both."""
    where: dict[str, Param] = {"backbone": embeddings.backbone, "data": embeddings.data, "shots": shots}
    names = ("gain", "predicted", "gain_behind", "predicted_behind", "accuracy", "predicted_accuracy", "lift")
    found: dict[str, list[float]] = {name: [] for name in names}
    for seed in context.track(range(context.seeds), f"advice: {embeddings.backbone}, {embeddings.data}, {shots} shots"):
        few, more, ahead = (draw(embeddings, n, seed) for n in (shots, shots + MORE, AHEAD))
        answers, curve = _answers(embeddings, few), curve_of(*_means(few, embeddings.classes))
        shares = _recalls(embeddings, answers)
        found["accuracy"].append(100 * float(shares.mean()))
        found["predicted_accuracy"].append(100 * float(curve.accuracy().mean()))
        found["gain"].append(100 * float((_recalls(embeddings, _answers(embeddings, more)) - shares).mean()))
        found["predicted"].append(100 * float(curve.gain(MORE).mean()))
        found["lift"].append(_lift(embeddings, answers, curve.confusion()))
        behind = [_behind(embeddings, ahead, (few, more), place) for place in range(len(embeddings.classes))]
        found["gain_behind"].append(100 * float(np.mean([gain for gain, _ in behind])))
        found["predicted_behind"].append(100 * float(np.mean([gain for _, gain in behind])))
    for name, values in found.items():
        unit = "" if name == "lift" else "%" if "accuracy" in name else "points"
        result.add(name, unit, values, where)


def _answers(embeddings: EmbeddingSet, seen: Draw) -> NDArray[np.str_]:
    return batch_head(seen, BUDGET).predict(embeddings.test)


def _behind(embeddings: EmbeddingSet, ahead: Draw, own: tuple[Draw, Draw], place: int) -> tuple[float, float]:
    """What five more shots of one class do to its share of right answers, measured and predicted."""
    label = embeddings.classes[place]
    before, after = (
        Draw(
            np.concatenate([ahead.shots[ahead.labels != label], draw.shots[draw.labels == label]]),
            np.concatenate([ahead.labels[ahead.labels != label], draw.labels[draw.labels == label]]),
        )
        for draw in own
    )
    first, second = (_recalls(embeddings, _answers(embeddings, seen))[place] for seen in (before, after))
    return float(second - first), float(curve_of(*_means(before, embeddings.classes)).gain(MORE)[place])


def _recalls(embeddings: EmbeddingSet, answers: NDArray[np.str_]) -> NDArray[np.float64]:
    return np.array([(answers[embeddings.test_labels == k] == k).mean() for k in embeddings.classes])


def _lift(embeddings: EmbeddingSet, answers: NDArray[np.str_], chance: NDArray[np.float64]) -> float:
    """How many times as often as the average pair the three pairs named first are mixed up."""
    classes = embeddings.classes
    mixed = np.array([[(answers[embeddings.test_labels == a] == b).mean() for b in classes] for a in classes])
    pairs = np.triu_indices(len(classes), 1)
    real, said = (mixed + mixed.T)[pairs], (chance + chance.T)[pairs]
    return float(real[np.argsort(-said, kind="stable")[:PAIRS]].mean() / max(real.mean(), 1e-9))


def _odd(context: Context, result: Result, embeddings: EmbeddingSet, shots: int) -> None:
    where: dict[str, Param] = {"backbone": embeddings.backbone, "data": embeddings.data, "shots": shots}
    flags: list[float] = []
    hits: list[float] = []
    planted: list[float] = []
    sure: list[float] = []
    for seed in context.track(range(context.seeds), f"odd shots: {embeddings.backbone}, {embeddings.data}"):
        seen = draw(embeddings, shots, seed)
        rng = np.random.default_rng([seed, 4])
        wrong = rng.choice(len(seen.labels), round(WRONG_SHARE * len(seen.labels)), replace=False)
        given = seen.labels.copy()
        for place in wrong.tolist():
            given[place] = rng.choice(embeddings.classes[embeddings.classes != seen.labels[place]])
        found = _teach(Draw(seen.shots, given)).found()
        flags.append(len(found))
        hits.append(sum(given[odd.number] != seen.labels[odd.number] for odd in found))
        planted.append(len(wrong))
        sure.append(sum(odd.sure for odd in found))
    n_flags = max(sum(flags), 1.0)
    result.add("flags", "", flags, where)
    result.add("precision", "%", [100 * sum(hits) / n_flags], where)
    result.add("recall", "%", [100 * sum(hits) / sum(planted)], where)
    result.add("sure", "%", [100 * sum(sure) / n_flags], where)


def _teach(seen: Draw) -> OddShots:
    """A head that is shown one shot at a time, and the log of its odd shots; numbers are places in the draw."""
    head, log = ImprintHead(seen.shots.shape[1], BUDGET), OddShots()
    counts: dict[str, int] = {}
    for place, label in enumerate(seen.labels.tolist()):
        shot, before = seen.shots[place : place + 1], counts.get(label, 0)
        if before and len(counts) > 1:
            scores = dict(zip(head.classes_.tolist(), head.decision_function(shot)[0].tolist(), strict=True))
            own = scores.pop(label)
            other = max(scores, key=lambda name: scores[name])
            log.observe(place, label, before, own, scores[other], other)
        head.partial_fit(shot, [label])
        counts[label] = before + 1
    return log


def _tint(picture: Image.Image) -> Image.Image:
    red, green, blue = picture.split()
    return Image.merge("RGB", (red.point([min(255, v * 5 // 4) for v in range(256)]), green,
                               blue.point([v * 7 // 10 for v in range(256)])))  # fmt: skip


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "no change": lambda picture: picture,
    "brightness x 0.5": lambda picture: ImageEnhance.Brightness(picture).enhance(0.5),
    "warm tint": _tint,
    "blur": lambda picture: picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 100)),
}


def _changed(context: Context, result: Result, embeddings: EmbeddingSet) -> dict[str, Array]:
    """Embeddings of the test pictures after each change, unit length."""
    found = {name: normalise(rows) for name, rows in _embedded(context)}
    for name, backbone in DRIFT_PEERS.items():
        try:
            other = context.source.load(embeddings.data, backbone)
        except DataMissingError as error:
            result.skip(f"{backbone}: {error}")
            continue
        if other.dim == embeddings.dim:
            found[name] = normalise(other.test)
    return found


def _embedded(context: Context) -> Iterator[tuple[str, Array]]:
    pictures, network = Pictures(DRIFT_DATA, "test"), backbone_of(DRIFT_BACKBONE)
    raw = pictures.read(range(len(pictures)))
    for name, change in CHANGES.items():
        rows = []
        for start in context.track(range(0, len(raw), BATCH), f"drift: {name}"):
            opened = [Image.open(io.BytesIO(data)).convert("RGB") for data in raw[start : start + BATCH]]
            rows.append(network.embed([change(picture) for picture in opened]))
        yield name, np.concatenate(rows)


def _drift(
    context: Context, result: Result, embeddings: EmbeddingSet, changed: dict[str, Array], shots: int, window: int
) -> None:
    """Streams of pictures that were not taught; with a change, after so many pictures without."""
    alarms: dict[str, list[tuple[int, str] | None]] = {}
    for seed in context.track(range(context.seeds), f"drift: {embeddings.data}, {shots} shots, window {window}"):
        rng = np.random.default_rng([seed, 5])
        pool = normalise(embeddings.train)
        places = [rng.permutation(np.flatnonzero(embeddings.train_labels == k)) for k in embeddings.classes]
        means = np.array([pool[mine[:shots]].mean(axis=0) for mine in places])
        rest = [mine[shots:] for mine in places]

        def watch(name: str, stream: Array, start: int = 0, known: int | None = None, means: Array = means) -> None:
            alarms.setdefault(name, []).append(_first_alarm(means[:known], shots, stream, window, start))

        everything = rng.permutation(np.concatenate(rest))
        watch("mixed", pool[everything[: BEFORE + AFTER]])
        watch("one class after the other", pool[np.concatenate([mine[:60] for mine in rest])])
        watch("unbalanced, 8 : 1", pool[rng.permutation(np.concatenate([*(m[:30] for m in rest[1:]), rest[0][:240]]))])
        for mine in rest[seed % 2 :: 2]:
            watch("one class only", pool[mine[: BEFORE + AFTER]])
        half = len(rest) // 2
        mine, new = rng.permutation(np.concatenate(rest[:half])), rng.permutation(np.concatenate(rest[half:]))
        watch("only new things", pool[np.concatenate([mine[:BEFORE], new[:AFTER]])], BEFORE, half)
        watch("one new thing", pool[np.concatenate([mine[:BEFORE], rest[half][:AFTER]])], BEFORE, half)
        for name, rows in changed.items():
            after = rows[rng.permutation(len(rows))[:AFTER]]
            watch(f"change: {name}", np.concatenate([pool[everything[:BEFORE]], after]), BEFORE)
    for name, found in alarms.items():
        where: dict[str, Param] = {"data": embeddings.data, "stream": name, "shots": shots, "window": window}
        seen = [alarm for alarm in found if alarm is not None]
        result.add("alarms", "%", [100.0 * (alarm is not None) for alarm in found], where)
        if seen:
            result.add("delay", "pictures", [alarm[0] for alarm in seen], where, summary="median")
            for kind in sorted({alarm[1] for alarm in seen}):
                result.add("kind", "%", [100.0 * (alarm[1] == kind) for alarm in seen], {"kind": kind, **where})


def _first_alarm(means: Array, shots: int, stream: Array, window: int, start: int) -> tuple[int, str] | None:
    """Pictures from `start` to the first alarm, below 0 for one before, and the kind that most reports name."""
    monitor, counts = DriftMonitor(stream.shape[1], window), np.full(len(means), shots)
    scores = stream @ normalise(means).T
    alarms: list[tuple[int, str]] = []
    for number, (picture, row) in enumerate(zip(stream, scores, strict=True), start=1):
        monitor.observe(picture, int(row.argmax()), float(row.max()))
        if number % EVERY == 0:
            drift = monitor.report(means, counts)
            if drift.kind is not None:
                alarms.append((number - start, drift.kind))
    if not alarms:
        return None
    kinds = [kind for _, kind in alarms]
    return alarms[0][0], max(sorted(set(kinds)), key=kinds.count)


def tables(result: Result) -> dict[str, str]:
    """The learning curve, the odd shots, the drift."""
    curve = ("accuracy", "predicted_accuracy", "gain", "predicted", "gain_behind", "predicted_behind", "lift")
    curve_head = ["accuracy %", "predicted %", "gain of 5 more, points", "predicted", "the others have 30",
                  "predicted", "named pairs mixed up, times the average"]  # fmt: skip
    odd_head = ["flags", "of them wrong labels %", "wrong labels found %", "said to be wrong %"]
    drift = []
    for found in result.select("alarms"):
        where = found.params
        delay = next(result.select("delay", **where), None)
        kinds = ", ".join(f"{kind.params['kind']} {kind.value:.0f} %" for kind in result.select("kind", **where))
        cells = [title_of(str(where["data"])), *(str(where[key]) for key in ("stream", "shots", "window"))]
        share = f"{found.value:.0f} % of {len(found.samples)}"
        drift.append([*cells, share, f"{delay.value:.0f}" if delay else "", kinds])
    drift_head = ["data", "stream", "shots", "window", "streams with an alarm", "pictures to it", "kind"]
    return {
        "advice.curve": _table(result, curve, curve_head),
        "advice.odd": _table(result, ("flags", "precision", "recall", "sure"), odd_head),
        "advice.drift": table(drift_head, drift),
    }


def _table(result: Result, names: tuple[str, ...], head: list[str]) -> str:
    rows = [
        [BACKBONES[str(where["backbone"])].title, title_of(str(where["data"])), str(where["shots"])]
        + [f"{result.one(name, **where).value:.1f}" for name in names]
        for where in (found.params for found in result.select(names[0]))
    ]
    return table(["backbone", "data", "shots", *head], rows)
