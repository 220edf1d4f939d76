"""Tables of the suite `peers`."""

from __future__ import annotations

from benchmarks.data import BACKBONES, title_of
from benchmarks.learning.statistics import half_width
from benchmarks.markdown import microseconds, table
from benchmarks.peers.kills import OUTCOMES
from benchmarks.peers.verdict import COLUMNS, average, compare, equals, mine, sentences, value
from benchmarks.results import Result


def tables(result: Result) -> dict[str, str]:
    """Markdown by marker name.

    `peers`: accuracy and cost. `peers.short`: who is first. `peers.first`: the same in sentences, with the reasons.
    `peers.behaviour`: forgetting, unknown, kill -9.
    `peers.kinds`: what each keeps, how a shot is learnt, and how its bytes are found.
    """
    return {
        "peers": _costs(result),
        "peers.first": "\n".join(f"- {sentence}" for sentence in sentences(result)),
        "peers.short": short(result),
        "peers.behaviour": _behaviour(result),
        "peers.kinds": _kinds(result),
    }


def short(result: Result) -> str:
    """A row for each of edge-imprint's contestants: the best of its equals and itself, column by column."""
    peers, shots = result.settings["peers"], result.settings["cost_where"]["shots"]
    rows = []
    for ours in mine(result):
        rivals, accuracy = equals(result, ours), average(result, ours, shots).mean()
        cells = []
        for column in COLUMNS if rivals else ():
            own, best, least = compare(result, ours, rivals, column.measurement)
            mark = "**" if own <= least else ""
            cells.append(f"{mark}{column.show(own)}{mark}, {column.show(least)} ({peers[best]['title']})")
        cells = cells or ["nobody"] * len(COLUMNS)
        rows.append([peers[ours]["title"], f"{accuracy:.1f} %", str(len(rivals)), *cells])
    head = [
        "",
        f"accuracy, {shots} shots",
        "peers as accurate or better",
        *(column.says.removeprefix("in ") for column in COLUMNS),
    ]
    return f"{table(head, rows)}\n\nOurs, and the best of these peers; bold where ours is first."


def _name(about: dict[str, str]) -> str:
    return about["title"] if about["family"] in about["title"] else f"{about['family']}: {about['title']}"


def _costs(result: Result) -> str:
    counts = result.settings["shots"]
    rows = []
    for name, about in result.settings["peers"].items():
        times = [microseconds(value(result, what, name)) for what in ("learn", "predict")]
        sizes = [f"{value(result, what, name) / 1024:,.1f}" for what in ("nbytes", "disk")]
        rows.append([_name(about), *(_accuracy(result, name, shots) for shots in counts), *times, *sizes])
    head = ["", *(f"{shots} shot{'s' if shots != '1' else ''}, %" for shots in counts), "µs per shot",
            "µs per prediction", "KiB in memory", "KiB on disk"]  # fmt: skip
    where = result.settings["cost_where"]
    cells = {(found.params["backbone"], found.params["data"]) for found in result.select("balanced_accuracy")}
    note = (
        f"Balanced test accuracy, mean of {len(cells)} backbones and data sets; ± is half of the 95 % interval over "
        f"{result.seeds} seeds (Student's t), none where every seed has the same answers or one seed was run. Times "
        f"and bytes after {where['shots']} shots of each class of {title_of(where['data'])}, "
        f"{BACKBONES[where['backbone']].title}; medians, one thread, the same process, in turns; a shot's time ends "
        "when the next prediction knows it, refits included."
    )
    return f"{table(head, rows)}\n\n{note}"


def _accuracy(result: Result, name: str, shots: str) -> str:
    samples = average(result, name, shots)
    text = f"{samples.mean():.1f}"
    return f"{text} ± {half_width(samples.tolist()):.1f}" if len(set(samples.tolist())) > 1 else text


def _behaviour(result: Result) -> str:
    rows = []
    for name, about in result.settings["peers"].items():
        (before,), (given,), (forget,) = (
            list(result.select(what, peer=name)) for what in ("before_forgetting", "given_back", "forget")
        )
        took = microseconds(forget.value)
        if forget.params["forgets"]:
            back = f"{given.value:,.0f} of {before.value:,.0f}; {took} µs a class"
        else:
            back = f"cannot forget: rebuilt in {took} µs"
        areas = [found.value for found in result.select("auroc", peer=name)]
        area = f"AUROC {sum(areas) / len(areas):.2f}" if areas else "no score"
        kills = {outcome: int(result.one("kills", peer=name, outcome=outcome).value) for outcome in OUTCOMES}
        lost = sum(kills.values()) - kills[OUTCOMES[0]]
        rows.append([_name(about), back, f"{about['refuses'] or 'no'}; {area}", f"{lost} of {sum(kills.values())}"])
    head = ["", "50 of 100 classes forgotten: bytes given back", "refuses the unknown", "lost by kill -9 while saving"]
    note = (
        "Forgetting: 5 shots a class; rebuilding needs shots that somebody kept. Unknown: its documented way, and how "
        "well its own score tells taught classes from never-shown ones (half of them each), mean of "
        f"{' and '.join(title_of(str(d)) for d in dict.fromkeys(f.params['data'] for f in result.select('auroc')))}. "
        "Lost: files that were neither the old nor the new state after a process that saved without pause was killed."
    )
    return f"{table(head, rows)}\n\n{note}"


def _kinds(result: Result) -> str:
    rows = [
        [_name(about), about["keeps"], about["update"], about["memory"], about["disk"]]
        for about in result.settings["peers"].values()
    ]
    return table(["", "keeps", "learns a shot", "bytes in memory", "format on disk"], rows)
