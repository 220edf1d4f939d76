"""`edge-imprint backbones`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json, size_text

if TYPE_CHECKING:
    from edge_imprint_export.public.registry import PublicBackbone


def command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", show_default=False, help="Say everything about one of them."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List public backbones: openly licensed networks that are fetched by name.

    Nothing is downloaded here. Accuracy, size and latency were measured by this
    project; NAME says on what.

    \b
    Examples:
      edge-imprint backbones
      edge-imprint backbones mobilenet_v2_1.0_224
      edge-imprint export public:mobilenet_v2_1.0_224 --out bundle
    """
    from edge_imprint_export.public.registry import find, registry

    if name is None:
        _all(registry(), as_json)
    else:
        _one(find(name.removeprefix("public:")), as_json)


def _facts(entry: PublicBackbone) -> dict[str, Any]:
    """A backbone, ready for JSON, and where it lies in this user's cache."""
    from edge_imprint_export.public.download import cached

    path = cached(entry)
    return {
        **dataclasses.asdict(entry),
        "takes_pictures": entry.takes_pictures,
        "cached": path is not None,
        "path": None if path is None else str(path),
    }


def _all(entries: tuple[PublicBackbone, ...], as_json: bool) -> None:
    facts = [_facts(entry) for entry in entries]
    if as_json:
        output.write_json({"backbones": facts})
        return
    columns = ("backbone", "licence", "dim", "input", "size", "clothing", "CIFAR-10", "latency", "cached")
    output.write_table(columns, [_row(entry) for entry in facts])
    output.write(
        "\nAccuracy: nearest mean after 5 shots per class, on classes that the network was not trained on."
        f"\nGet one:  edge-imprint export public:{entries[0].name} --out bundle\n"
    )


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    measured = facts["measured"]
    return (
        facts["name"],
        facts["licence"],
        str(facts["dim"]),
        _input(facts),
        size_text(measured["cut_bytes"] or facts["size_bytes"]),
        _with(measured["clothing_5_shots"], " %", 1),
        _with(measured["cifar10_5_shots"], " %", 1),
        _with(measured["latency_ms"], " ms", 2),
        "yes" if facts["cached"] else "no",
    )


def _one(entry: PublicBackbone, as_json: bool) -> None:
    facts = _facts(entry)
    if as_json:
        output.write_json(facts)
        return
    measured = entry.measured
    size = size_text(entry.size_bytes)
    if measured.cut_bytes is not None:
        size += f" to download, {size_text(measured.cut_bytes)} when cut at its embedding"
    output.write_facts(
        {
            "name": f"{entry.name} ({entry.title})",
            "description": entry.description,
            "licence": f"{entry.licence}, {entry.licence_url}",
            "embedding": f"{entry.dim} numbers, tensor {entry.embedding}",
            "input": _input(facts),
            "precision": entry.precision,
            "size": size,
            "5-shot accuracy": f"clothing {_with(measured.clothing_5_shots, ' %', 1)}, "
            f"CIFAR-10 {_with(measured.cifar10_5_shots, ' %', 1)} (balanced, nearest mean)",
            "latency": _with(measured.latency_ms, " ms", 2),
            "measured": f"{measured.date}, {measured.machine}",
            "address": entry.url,
            "SHA-256": entry.sha256,
            "cached": facts["path"] or "no",
            "get it": f"edge-imprint export public:{entry.name} --out bundle",
        }
    )


def _input(facts: dict[str, Any]) -> str:
    height, width, channels = facts["shape"]
    return f"{height} x {width}" + ("" if facts["takes_pictures"] else f" x {channels}, no picture")


def _with(value: float | None, unit: str, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"
