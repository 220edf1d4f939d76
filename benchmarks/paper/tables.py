"""The tables: Markdown for people, CSV with every sample, and the same as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markdown import table
from benchmarks.paper.figures import NAMES
from benchmarks.paper.ranking import ALPHA
from benchmarks.paper.summary import FEW, Collapse, Place, Point, Summary, shots_name, spearman, task_order
from edge_imprint.atomic import replace_file

PAPER = {"qi": 86.79, "hosoda": 82.90, "janson": 86.64, "westerhoff": 91.06, "oracle": 94.54}
"""Average accuracy in percent that the paper reports, over 4 backbones and 12 tasks."""


def write_all(folder: Path) -> tuple[str, dict[str, Any]]:
    """Write tables.md, shots.csv, k.csv and nc1.csv next to the results.

    Returns:
        The text of tables.md, and what it says as a JSON object.

    Raises:
        UsageError: no results yet.
        StorageError: results cannot be read or tables not written.
        MissingRuntimeError: scipy is not installed.
    """
    summary = Summary(folder)
    facts: dict[str, Any] = {
        "presets": presets(summary),
        "ranking": [found for few in (False, True) if (found := ranking_facts(summary, few))],
        "best_k": best_k(summary),
        "nc1": nc1_facts(summary),
        "refused": [f"{record['method']}: {record['refused']}" for record in summary.refused],
    }
    sections = [
        _presets_text(facts["presets"]), *(_ranking_text(one) for one in facts["ranking"]),
        *_shots_text(summary), _best_k_text(facts["best_k"]), _nc1_text(facts["nc1"]), _refused_text(facts["refused"]),
    ]  # fmt: skip
    text = "\n\n".join(section for section in sections if section) + "\n"
    replace_file(folder / "tables.md", text.encode())
    for name, rows in (("shots", _shots_rows(summary)), ("k", _k_rows(summary)), ("nc1", _nc1_rows(summary))):
        lines = list(rows)
        if len(lines) > 1:
            replace_file(folder / f"{name}.csv", _csv(lines))
    return text, facts


def presets(summary: Summary) -> list[dict[str, Any]]:
    """Average accuracy and average rank of each method with all shots, next to the paper's average."""
    blocks = list(summary.blocks().values())
    if not blocks:
        return []
    ranking = summary.ranking()
    return [
        {
            "method": method,
            "mean": round(float(np.mean([scores[method] for scores in blocks])), 2),
            "paper": PAPER.get(method),
            "rank": None if ranking is None else round(ranking.ranks[method], 2),
            "blocks": len(blocks),
        }
        for method in summary.methods
    ]


def ranking_facts(summary: Summary, few: bool) -> dict[str, Any] | None:
    """The tests on average ranks, or None where there is nothing to compare."""
    found = summary.ranking(few)
    if found is None:
        return None
    return {
        "on": f"up to {FEW} shots" if few else "all shots, every task",
        "blocks": found.blocks,
        "ranks": {method: round(value, 3) for method, value in found.ranks.items()},
        "friedman_chi2": round(found.chi2, 3),
        "friedman_p": found.p,
        "critical_difference": round(found.critical, 3),
        "wilcoxon_holm_differ": [list(pair) for pair in found.differing],
    }


def best_k(summary: Summary) -> list[dict[str, Any]]:
    """For each d the k of the highest mean, and the k of every seed."""
    seeds: dict[tuple[Place, int], list[Collapse]] = {}
    for one in summary.collapse():
        seeds.setdefault((one.place, one.merge), []).append(one)
    found = []
    for place in summary.places("k"):
        for merge in summary.merges(place):
            curve = {point.x: point.accuracy.mean for point in summary.k(place, merge)}
            best = summary.best_k(place, merge)
            gain, at_d = curve[best] - curve.get(1, curve[best]), curve.get(merge, 0) - curve.get(1, 0)
            found.append(
                {
                    "data": place[0],
                    "backbone": place[1],
                    "d": merge,
                    "best_k": best,
                    "at_best": round(curve[best], 2),
                    "at_d": round(curve[merge], 2) if merge in curve else None,
                    "at_1": round(curve[1], 2) if 1 in curve else None,
                    "share_at_d": round(at_d / gain, 2) if merge > 1 and at_d > 0 and gain > 0 else None,
                    "by_seed": [one.best_k for one in seeds.get((place, merge), [])],
                }
            )
    return found


def nc1_facts(summary: Summary) -> dict[str, Any]:
    """Mean NC1 and gain by d, and how their ranks correlate: everywhere, and within each data set and backbone."""
    points = summary.collapse()
    rows = []
    for place, merge in dict.fromkeys((one.place, one.merge) for one in points):
        own = [one for one in points if (one.place, one.merge) == (place, merge)]
        rows.append(
            {
                "data": place[0],
                "backbone": place[1],
                "d": merge,
                "labels": own[0].labels,
                "nc1": float(f"{np.mean([one.nc1 for one in own]):.4g}"),
                "gain": round(float(np.mean([one.gain for one in own])), 2),
                "best_gain": round(float(np.mean([one.best_gain for one in own])), 2),
            }
        )
    # NC1 is divided by the number of labels: only tasks with as many labels as the largest compare.
    most = max((one.labels for one in points), default=0)
    points = [one for one in points if one.labels == most]
    correlations = {}
    for name, own in [("everywhere", points)] + [
        (" / ".join(place), [one for one in points if one.place == place])
        for place in dict.fromkeys(one.place for one in points)
    ]:
        if len(own) > 2 and len({one.nc1 for one in own}) > 1:
            correlations[name] = {
                "labels": most,
                "points": len(own),
                "spearman": round(spearman([one.nc1 for one in own], [one.gain for one in own]), 3),
            }
    return {"rows": rows, "spearman": correlations}


def _presets_text(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [
        [NAMES[row["method"]], f"{row['mean']:.2f}", _number(row["paper"], 2), _number(row["rank"], 2)] for row in rows
    ]
    return (
        f"## Methods with all shots\n\n{table(['method', 'accuracy, %', 'paper, %', 'average rank'], cells)}\n\n"
        f"Balanced accuracy, mean over {rows[0]['blocks']} blocks (data set, backbone, task). The paper's averages are "
        "over 4 larger backbones and 12 tasks of other data."
    )


def _ranking_text(facts: dict[str, Any]) -> str:
    rows = [[NAMES[method], f"{value:.2f}"] for method, value in facts["ranks"].items()]
    pairs = ", ".join(f"{NAMES[one]} and {NAMES[other]}" for one, other in facts["wilcoxon_holm_differ"]) or "none"
    return (
        f"## Ranks: {facts['on']}\n\n{table(['method', 'average rank'], rows)}\n\n"
        f"{facts['blocks']} blocks; Friedman chi2 = {facts['friedman_chi2']:.1f}, p = {facts['friedman_p']:.2g}; ranks "
        f"differ when they are {facts['critical_difference']:.2f} apart (Nemenyi, {ALPHA}). Told apart by Wilcoxon's "
        f"test with Holm's correction: {pairs}."
    )


def _shots_text(summary: Summary) -> Iterable[str]:
    refused = {((one["data"], one["backbone"]), one["method"], one["shots"]) for one in summary.refused}
    for place in summary.places("shots"):
        curves = {method: {point.x: point for point in summary.shots(place, method)} for method in summary.methods}
        longest = max((summary.shots(place, method) for method in summary.methods), key=len)
        rows = [
            [
                shots_name(point.x),
                *(
                    _mean(curves[method].get(point.x), (place, method, point.x) in refused)
                    for method in summary.methods
                ),
            ]
            for point in longest
        ]
        yield (
            f"## Accuracy against shots: {place[0]}, {place[1]}\n\n"
            f"{table(['shots', *(NAMES[method] for method in summary.methods)], rows)}\n\n"
            "Balanced accuracy in %, mean over seeds with the half width of its 95 % interval."
        )


def _best_k_text(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [
        [
            row["data"], row["backbone"], str(row["d"]), str(row["best_k"]), _number(row["at_1"], 1),
            _number(row["at_d"], 1), _number(row["at_best"], 1), _number(row["share_at_d"], 2),
            " ".join(map(str, row["by_seed"])),
        ]
        for row in rows
    ]  # fmt: skip
    head = [
        "data",
        "backbone",
        "d",
        "best k",
        "at k = 1, %",
        "at k = d, %",
        "at best k, %",
        "share of the gain at k = d",
        "best k by seed",
    ]
    return (
        f"## Where accuracy against k is highest\n\n{table(head, cells)}\n\nd classes share a label; best k is that of "
        "the highest mean over seeds; the gain is that over k = 1, and where k = d "
        "brings none the share is left empty."
    )


def _nc1_text(facts: dict[str, Any]) -> str:
    if not facts["rows"]:
        return ""
    cells = [
        [row["data"], row["backbone"], str(row["d"]), str(row["labels"]), f"{row['nc1']:.3g}", f"{row['gain']:+.1f}",
         f"{row['best_gain']:+.1f}"]
        for row in facts["rows"]
    ]  # fmt: skip
    spearmans = "; ".join(
        f"{name} {one['spearman']:+.2f} ({one['points']} points)" for name, one in facts["spearman"].items()
    )
    head = ["data", "backbone", "d", "labels", "NC1", "gain at the largest k, points", "gain at the best k, points"]
    return (
        f"## Gain against collapse\n\n{table(head, cells)}\n\nGain of k-means over one mean. Spearman's correlation of "
        f"NC1 and the gain at the largest k, tasks with most labels only: {spearmans or 'too few points'}. The best k "
        "is chosen on the test "
        "set: its gain cannot be negative."
    )


def _refused_text(lines: list[str]) -> str:
    counts = {line: lines.count(line) for line in dict.fromkeys(lines)}
    return "" if not lines else "## Refused\n\n" + "\n".join(f"- {line} ({n} cells)" for line, n in counts.items())


def _shots_rows(summary: Summary) -> Iterable[Sequence[Any]]:
    yield "data", "backbone", "task", "shots", "method", "mean", "half_width", "samples"
    for place in summary.places("shots"):
        for task in task_order({record["task"] for record in summary.records}):
            for method in summary.methods:
                for point in summary.shots(place, method, task):
                    yield (*place, task, shots_name(point.x), method, *_point(point))


def _k_rows(summary: Summary) -> Iterable[Sequence[Any]]:
    yield "data", "backbone", "d", "k", "mean", "half_width", "samples"
    for place in summary.places("k"):
        for merge in summary.merges(place):
            for point in summary.k(place, merge):
                yield (*place, merge, point.x, *_point(point))


def _nc1_rows(summary: Summary) -> Iterable[Sequence[Any]]:
    yield "data", "backbone", "d", "labels", "seed", "nc1", "gain", "best_k", "best_gain"
    for one in summary.collapse():
        yield (
            *one.place, one.merge, one.labels, one.seed, f"{one.nc1:.6g}", round(one.gain, 3), one.best_k,
            round(one.best_gain, 3),
        )  # fmt: skip


def _point(point: Point) -> tuple[Any, ...]:
    half = point.accuracy.half_width
    samples = " ".join(f"{value:.2f}" for _, value in sorted(point.samples.items()))
    return round(point.accuracy.mean, 3), "" if half is None else round(half, 3), samples


def _mean(point: Point | None, refused: bool) -> str:
    if point is None:
        return "refused" if refused else ""
    half = point.accuracy.half_width
    return f"{point.accuracy.mean:.1f}" + ("" if half is None else f" ± {half:.1f}")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
