"""The commands: `run` measures, `figures` and `tables` work from the results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.paper import embeddings, plan, tiles
from benchmarks.paper.cells import ALL, METHODS, Cell, Setting
from benchmarks.paper.pictures import open_tree
from benchmarks.paper.store import Store
from benchmarks.paper.sweep import run as run_cells
from edge_imprint.cli import output
from edge_imprint.cli.common import Json
from edge_imprint.cli.interrupts import StoppedError, leaves
from edge_imprint.errors import UsageError
from edge_imprint.head.budget import parse_budget

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)

Folder = Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="The --out of a run.")]


@app.command()
def run(
    data: Annotated[
        list[Path],
        typer.Option(metavar="FOLDER", show_default=False, help="Folder or zip: LABEL/*.jpg, or train/ and test/."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="Where results go.")],
    backbone: Annotated[
        list[str] | None, typer.Option(metavar="B", help="default, a bundle folder, an .onnx or a .tflite file.")
    ] = None,
    protocol: Annotated[str, typer.Option(metavar="P", help="shots, k or all.")] = "all",
    shots: Annotated[str, typer.Option(metavar="N,N,...", help="Shots per class; all: what there is.")] = ",".join(
        "all" if count == ALL else str(count) for count in plan.SHOTS
    ),
    methods: Annotated[str, typer.Option(metavar="M,M,...", help="Methods of the shots protocol.")] = ",".join(METHODS),
    merge: Annotated[str, typer.Option(metavar="D,D,...", help="Classes to a label, k sweep.")] = ",".join(
        map(str, plan.MERGE)
    ),
    ks: Annotated[str, typer.Option("--k", metavar="K,K,...", help="Proxies per label in the k sweep.")] = ",".join(
        map(str, plan.KS)
    ),
    labels: Annotated[int, typer.Option(metavar="N", min=2, help="Labels of the k sweep at most.")] = 10,
    seeds: Annotated[int, typer.Option(metavar="N", help="Repetitions of each cell.")] = 5,
    budget: Annotated[str, typer.Option(metavar="BYTES", help="The budget of the head.")] = "512KB",
    jobs: Annotated[int, typer.Option(metavar="N", help="Processes on this machine; -1: one per core.")] = -1,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, like tcp://10.0.0.1:8786.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the paper's protocols; a second run with the same --out goes on where the first one stopped.

    \b
    Example:
      python -m benchmarks.paper run --data photos --backbone default --out results
    """
    choice = plan.Choice(
        protocol, _numbers("--shots", shots), tuple(methods.split(",")), _numbers("--merge", merge),
        _numbers("--k", ks), seeds,
    )  # fmt: skip
    parse_budget(budget)
    if jobs == 0 or jobs < -1:
        raise UsageError(f"--jobs must be at least 1, or -1 for one per core; got {jobs}")
    trees = [open_tree(source) for source in data]
    named = {_backbone_name(source): source for source in backbone or ["default"]}
    for kind, count, names in (
        ("--data", len(data), {tree.name for tree in trees}),
        ("--backbone", len(backbone or [""]), set(named)),
    ):
        if len(names) < count:
            raise UsageError(f"each {kind} needs a name of its own; two are called the same. Rename a file or folder")
    networks = {name: embeddings.backbone(source) for name, source in named.items()}
    settings = {
        "budget": budget,
        "labels": labels,
        "data": {tree.name: tree.digest for tree in trees},
        "backbones": {name: embeddings.digest(network) for name, network in networks.items()},
    }
    with Store(out, settings) as store:
        sets = {}
        total = sum(map(embeddings.batches, trees)) * len(named)
        kept = f"embeddings that were finished are kept; the same command goes on from {out}"
        with leaves(kept), output.progress("Embedding", total, quiet=as_json) as advance:
            for tree in trees:
                for name, source in named.items():
                    sets[tree.name, name] = embeddings.embed(tree, source, name, jobs, advance)
        cells: list[Cell] = []
        left_out: dict[str, None] = {}
        for (tree_name, name), found in sets.items():
            more, lines = plan.cells(choice, tree_name, name, embeddings.load(found.path).train_labels)
            cells += more
            left_out |= dict.fromkeys(lines)
        try:
            with leaves(""), output.progress("Cells", len(cells), quiet=as_json) as advance:
                computed = run_cells(
                    cells, sets, Setting(budget, labels), store, jobs=jobs, cluster=cluster, advance=advance
                )
        except StoppedError:
            done = sum(cell.key in store.records for cell in cells)
            raise StoppedError(f"{done} of {len(cells)} cells are kept; the same command goes on from there") from None
        refused = [cell.key for cell in cells if "refused" in store.records[cell.key]]
    facts: dict[str, Any] = {
        "out": str(out), "cells": len(cells), "computed": computed, "refused": refused, "left_out": list(left_out)
    }  # fmt: skip
    if as_json:
        output.write_json(facts)
        return
    output.write(f"{len(cells)} cells, {computed} of them computed now, in {out}\n")
    for found in sets.values():
        if found.skipped:
            output.warn(f"Warning: left out {len(found.skipped)} pictures of {found.data} that cannot be read")
    for line in left_out:
        output.warn(f"Left out: {line}")
    for key in refused[:3]:
        output.warn(f"Refused: {key}: {store.records[key]['refused']}")
    if len(refused) > 3:
        output.warn(f"Refused: {len(refused) - 3} more")


@app.command()
def figures(
    folder: Folder,
    kind: Annotated[str, typer.Option("--format", metavar="F", help="svg, png or pdf.")] = "svg",
    as_json: Json = False,
) -> None:
    """Draw the paper's figures from the results in DIR."""
    from benchmarks.paper import figures as drawing

    files = drawing.draw_all(folder, kind)
    if as_json:
        output.write_json({"figures": [str(file) for file in files]})
        return
    output.write("".join(f"{file}\n" for file in files))


@app.command()
def tables(folder: Folder, as_json: Json = False) -> None:
    """Write the tables, tables.md and CSV files, from the results in DIR, and print them."""
    from benchmarks.paper import tables as writing

    text, facts = writing.write_all(folder)
    if as_json:
        output.write_json(facts)
        return
    output.write(text)


@app.command("tiles")
def tiles_command(
    archive: Annotated[Path, typer.Argument(metavar="ZIP", show_default=False, help="Mosaics, train/LABEL.webp.")],
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="A new folder.")],
    per_class: Annotated[int, typer.Option(metavar="N", min=2, help="Pictures of each class.")] = 500,
) -> None:
    """Cut a zip of mosaics (20 rows of 25 tiles of 64 x 64) into one folder of pictures per label."""
    count = tiles.unpack(archive, out, per_class)
    output.write(f"{count} pictures in {out}\n")


@app.command()
def digits(
    out: Annotated[Path, typer.Option(metavar="DIR", show_default=False, help="A new folder.")],
) -> None:
    """Write scikit-learn's handwritten digits as one folder of pictures per label."""
    output.write(f"{tiles.write_digits(out)} pictures in {out}\n")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(ALL if word.strip() == "all" else _positive(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"{option} must be whole numbers of at least 1, like 1,5,20; got {text!r}") from None


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise ValueError(word)
    return number


def _backbone_name(source: str) -> str:
    return source if source == "default" else Path(source).resolve().stem
