"""`edge-imprint plan`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json, Method

if TYPE_CHECKING:
    from edge_imprint.head import Comparison, Plan

# Points of balanced accuracy that the benchmark suite `learning` found, mean of its sets, by shots per class. A test
# compares them with benchmarks/results/learning.json.
RIDGE_GAINS = {1: 2, 5: 2, 20: 4, 100: 6}
_ROWS = {
    "planned classes": "classes",
    "most classes that fit": "max_classes",
    "proxies": "proxies",
    "proxies per class": "proxies_per_class",
    "bytes per proxy": "proxy_bytes",
    "bytes per class": "class_bytes",
    "bytes of the second moment": "second_moment_bytes",
    "bytes fixed, in all": "fixed_bytes",
    "bytes in use then": "used_bytes",
}


def command(
    dim: Annotated[int, typer.Option(metavar="N", help="Length of the backbone's embeddings.")],
    budget: Annotated[str, typer.Option(metavar="BYTES", help="Like 16KB or 65536; 1 KB = 1,024 bytes.")],
    classes: Annotated[int | None, typer.Option(metavar="N", help="Classes to plan for.")] = None,
    method: Method = "auto",
    as_json: Json = False,
) -> None:
    """Say beforehand what fits in a budget, with proxies alone and with a second moment.

    A proxy is one stored vector; a class has at least one, and more when its
    pictures differ a lot. The second moment (method ridge) costs bytes that grow
    with the square of the embedding's length, learns which differences do not
    matter, and says how sure it is. With --method the facts in JSON are those of
    that method, and a budget too small for it is an error; auto, the default,
    takes ridge where its second moment needs at most two thirds of the budget.

    \b
    Examples:
      edge-imprint plan --dim 256 --budget 16KB
      edge-imprint plan --dim 256 --budget 512KB --classes 10
    """
    from edge_imprint.head import compare, plan

    chosen = plan(dim, budget, classes, method=method)
    both = compare(dim, budget, classes)
    if as_json:
        output.write_json({**chosen.as_dict(), **_facts(both)})
        return
    output.write_table((f"{chosen.budget:,} bytes, {dim}-d", "proxies", "ridge"), _rows(both))
    output.write(f"\n{_advice(both)}\n")


def _facts(both: Comparison) -> dict[str, Any]:
    """Plans of both methods; where there is none, why."""
    return {
        "methods": {"proxies": asdict(both.proxies), "ridge": _plan_or_why(both.ridge)},
        "auto": both.auto,
        "ridge_possible_from": both.ridge_possible_from,
        "ridge_chosen_from": both.ridge_chosen_from,
        "ridge_gain_points": {str(shots): points for shots, points in RIDGE_GAINS.items()},
    }


def _plan_or_why(found: Plan | str) -> dict[str, Any]:
    return {"error": found} if isinstance(found, str) else asdict(found)


def _rows(both: Comparison) -> list[tuple[str, ...]]:
    return [(name, *(_cell(found, key) for found in (both.proxies, both.ridge))) for name, key in _ROWS.items()]


def _cell(found: Plan | str, key: str) -> str:
    return "-" if isinstance(found, str) else f"{getattr(found, key):,}"


def _advice(both: Comparison) -> str:
    """What auto takes, and from where on ridge is there."""
    possible, chosen = both.ridge_possible_from, both.ridge_chosen_from
    if possible is None or chosen is None:
        where = "ridge takes more than 1 GB, the largest budget."
    else:
        where = f"ridge is possible from {possible:,} bytes on, auto takes it from {chosen:,} on."
    why = f"\nNo ridge here: {both.ridge}." if isinstance(both.ridge, str) else ""
    gains = ", ".join(f"{points} after {shots}" for shots, points in RIDGE_GAINS.items())
    worth = f"Measured on photographs, ridge gains so many points on proxies: {gains} shots per class (README.md)."
    return f"auto takes {both.auto}; {where}{why}\n{worth}"
