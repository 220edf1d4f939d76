"""Tables of the suite `learning`."""

from __future__ import annotations

from benchmarks.data import BACKBONES, title_of
from benchmarks.learning.statistics import half_width
from benchmarks.markdown import table
from benchmarks.results import Measurement, Result


def tables(result: Result) -> dict[str, str]:
    """Markdown by marker name.

    `learning`: averages over the cells by number of shots. `learning.cells`: every cell. `learning.losses`: the cells
    in which auto is below the best of mean, k-means and oracle, or below logistic regression. `learning.confidence`:
    calibration and unknown classes.
    """
    found = {"learning": _averages(result), "learning.cells": _cells(result), "learning.losses": _losses(result)}
    return {**found, "learning.confidence": _confidence(result)}


def with_interval(found: Measurement, digits: int = 1, sign: str = "") -> str:
    """A mean and half of its 95 % interval, or the mean alone where nothing varies: one sample, or equal ones."""
    value = f"{found.value:{sign}.{digits}f}"
    return value if len(set(found.samples)) < 2 else f"{value} ± {half_width(found.samples):.{digits}f}"


def _averages(result: Result) -> str:
    methods = result.settings["methods"]
    rows = []
    for shots in [*result.settings["shots"], "every"]:
        row = [with_interval(result.one("average_balanced_accuracy", method=method, shots=shots)) for method in methods]
        gap = result.one("average_auto_minus_best", shots=shots)
        rows.append([shots, f"**{row[0]}**", *row[1:], with_interval(gap, 1, "+")])
    head = ["shots per class", *methods.values(), "auto minus best of mean, k-means, oracle"]
    note = (
        f"Balanced test accuracy in %, mean of {len({_cell_of(m) for m in result.select('auroc_gain')})} backbones and "
        f"data sets; ± is half of the 95 % interval over {result.seeds} seeds (Student's t). "
        "The best is chosen per cell. Budgets of auto: "
        f"{_budgets(result, 'auto')}; of proxies: {_budgets(result, 'proxies')}."
    )
    return f"{table(head, rows)}\n\n{note}"


def _budgets(result: Result, method: str) -> str:
    return ", ".join(f"{budget} at {dim}-d" for dim, budget in result.settings["budgets"][method].items())


def _cells(result: Result) -> str:
    methods = result.settings["methods"]
    rows = []
    for gap in result.select("auto_minus_best"):
        where = {key: gap.params[key] for key in ("backbone", "data", "shots")}
        every = {method: result.one("balanced_accuracy", method=method, **where) for method in methods}
        best = max(found.value for found in every.values())
        values = [_bold(with_interval(found), found.value == best) for found in every.values()]
        rows.append([*_names(gap), *values, with_interval(gap, 1, "+")])
    head = ["data, backbone", "shots per class", *methods.values(), "auto minus best of mean, k-means, oracle"]
    return (
        f"{table(head, rows)}\n\n± is half of the 95 % interval over {result.seeds} seeds; the best of a row is bold."
    )


def _losses(result: Result) -> str:
    rows = []
    for name in ("auto_minus_best", "auto_minus_logistic"):
        for gap in result.select(name):
            if gap.value < 0:
                other = result.settings["methods"][gap.params["other"]]
                rows.append([*_names(gap), str(other), with_interval(gap, 1, "+")])
    head = ["data, backbone", "shots per class", "auto is below", "points"]
    cells = len(list(result.select("auto_minus_best")))
    return f"{table(head, rows)}\n\nOf {cells} cells; ± is half of the 95 % interval of the paired difference."


def _confidence(result: Result) -> str:
    rows = []
    for gain in result.select("auroc_gain"):
        where = {key: gain.params[key] for key in ("backbone", "data", "shots")}
        errors = [*result.select("calibration_error", method="auto", **where),
                  *result.select("calibration_error_pooled", method="auto", **where),
                  *result.select("calibration_floor", method="auto", of="pooled", **where)]  # fmt: skip
        calibration = [with_interval(found) for found in errors] or ["not measured"] * 3
        areas = [with_interval(result.one("auroc", score=score, **where), 3) for score in ("own", "cosine")]
        rows.append([*_names(gain), *calibration, *areas, with_interval(gain, 3, "+")])
    head = ["data, backbone", "shots per class", "calibration error, %", "all seeds together", "by chance alone",
            "AUROC unknown", "largest cosine with a mean", "gain"]  # fmt: skip
    note = (
        f"Expected calibration error of auto, {result.settings['calibration']}. AUROC: half of the classes never "
        f"shown, both sides of one random half per seed, {result.seeds} seeds."
    )
    return f"{table(head, rows)}\n\n{note}"


def _names(found: Measurement) -> list[str]:
    data, backbone = title_of(str(found.params["data"])), BACKBONES[str(found.params["backbone"])].title
    return [f"{data}, {backbone}", str(found.params["shots"])]


def _cell_of(found: Measurement) -> tuple[object, object]:
    return found.params["backbone"], found.params["data"]


def _bold(text: str, is_best: bool) -> str:
    return f"**{text}**" if is_best else text
