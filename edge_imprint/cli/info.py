"""`edge-imprint info`."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json, size_text
from edge_imprint.cli.export_report import read_report, report_line
from edge_imprint.errors import StorageError

# Timed runs of each file; a few are enough to choose by.
RUNS = 10


def command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="A state file, a bundle folder, an .onnx or a .tflite file.",
        ),
    ],
    no_run: Annotated[
        bool, typer.Option("--no-run", help="For a bundle: see whether its files run here, but take no time of it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a state file or a backbone holds; nothing is changed.

    For a state file: its method, classes with their shots and proxies, bytes of
    each part of the budget and of the file, the backbone it belongs to. For a
    bundle or a network file: embedding length, input size, files, hashes. For a
    bundle also which runtimes of this machine run each file and how fast, and
    what the report of its export says.

    \b
    Examples:
      edge-imprint info robot.eimp
      edge-imprint info my-bundle/ --json
    """
    if not file.exists():
        raise StorageError(
            f"FILE must be a state file, a bundle folder, an .onnx or a .tflite file; no such file: {file}"
        )
    if file.is_dir() or file.name == "manifest.json" or file.suffix.lower() in (".onnx", ".tflite"):
        _backbone(file.parent if file.name == "manifest.json" else file, as_json, timed=not no_run)
    else:
        _state(file, as_json)


def _backbone(source: Path, as_json: bool, *, timed: bool) -> None:
    from edge_imprint.backbones import load_backbone

    facts = load_backbone(source).info()
    if source.is_dir():
        from edge_imprint.backbones import probe

        facts["runs_here"] = probe.as_json(probe.probe(source, runs=RUNS if timed else 0))
        facts["report"] = read_report(source)
    if as_json:
        output.write_json({"kind": "backbone", **facts})
        return
    apart = ("files", "size_bytes", "runs_here", "report")
    shown = {name.replace("_", " "): value for name, value in facts.items() if name not in apart}
    sides = facts["input_size"]
    shown["input size"] = "takes no pictures" if sides is None else " x ".join(str(side) for side in sides)
    shown["files"] = ", ".join(f"{name} ({size_text(size)})" for name, size in facts["files"].items())
    if facts.get("report") is not None:
        shown["report"] = report_line(facts["report"])
    output.write_facts({name: str(value) for name, value in shown.items()})
    if "runs_here" in facts:
        output.write("\n")
        output.write_table(("file", "runtime", "here"), [_row(entry) for entry in facts["runs_here"]])


def _row(entry: dict[str, Any]) -> tuple[str, str, str]:
    if not entry["runs"]:
        here = f"no: {entry['reason']}"
    else:
        here = "runs" if entry["median_ms"] is None else f"{entry['median_ms']:.3g} ms per picture, 1 thread"
    return entry["file"], f"{entry['runtime']} {entry['version'] or ''}".strip(), here


def _state(path: Path, as_json: bool) -> None:
    from edge_imprint import snapshot
    from edge_imprint.head import ImprintHead
    from edge_imprint.head.ridge.state import STATE_SECTION

    sections = snapshot.read(path)
    head = ImprintHead.load(path)
    with path.open("rb") as file:
        major, minor = struct.unpack("<8xHH", file.read(12))
    shots, proxies, exactly = head.shots_per_class(), head.proxies_per_class(), head.forgets_exactly()
    thresholds = head.thresholds()
    facts: dict[str, Any] = {
        "kind": "state",
        "format": f"{major}.{minor}",
        "dim": head.dim,
        "method": head.method,
        "scatter_shots": STATE_SECTION.unpack(sections["ridge"])[0] if head.method == "ridge" else None,
        "classes": [
            {"label": label, "shots": shots[label], "proxies": proxies[label], "forgets_exactly": exactly[label]}
            for label in shots
        ],
        "bytes_used": head.nbytes,
        "budget": head.budget,
        "memory": head.memory(),
        "file_bytes": path.stat().st_size,
        "parts": {name: len(payload) for name, payload in sections.items()},
        "false_accept_rate": head.false_accept_rate,
        "thresholds": None if thresholds is None else {name: round(v, 6) for name, v in thresholds._asdict().items()},
        "backbone": _note(head.backbone),
        "advice": [piece.as_dict() for piece in head.advice()],
    }
    if as_json:
        output.write_json(facts)
        return
    note = facts["backbone"]
    output.write_facts(
        {
            "format": f"{facts['format']}, {size_text(facts['file_bytes'])} on disk",
            "method": "proxies"
            if head.method == "proxies"
            else f"ridge, a second moment of {facts['scatter_shots']:,} shots",
            "in use": f"{size_text(head.nbytes)} of {size_text(head.budget)}",
            "budget": _sizes(facts["memory"]),
            "file": _sizes(facts["parts"]),
            "embedding length": str(head.dim),
            "false-accept rate": f"{head.false_accept_rate:g}",
            "thresholds": "none before two classes"
            if thresholds is None
            else f"known from {thresholds.known:.3f}, unknown below {thresholds.unknown:.3f}",
            "backbone": f"{note.get('name', 'not stored')} ({note.get('source', 'no source')})",
            "backbone digest": note.get("digest", "not stored"),
        }
    )
    output.write("\n")
    rows = [(str(label), str(shots[label]), str(proxies[label]), _yes(exactly[label])) for label in shots]
    # Proxies take nothing of another class along; there is nothing to say.
    columns = 4 if head.method == "ridge" else 3
    output.write_table(("class", "shots", "proxies", "forgotten exactly")[:columns], [row[:columns] for row in rows])
    if facts["advice"]:
        output.write("\n" + "".join(f"{piece['sentence']}\n" for piece in facts["advice"]))


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _sizes(parts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {size_text(size)}" for name, size in parts.items())


def _note(text: str | None) -> dict[str, str]:
    """What a state says about its backbone: the digest and, after a space, what `Learner` adds as JSON."""
    digest, _, rest = (text or "").partition(" ")
    try:
        added = json.loads(rest or "{}")
    except ValueError:
        added = {}
    return {"digest": digest, **added} if digest and isinstance(added, dict) else {}
