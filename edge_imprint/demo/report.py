"""The demo's page: one HTML file with every picture and chart inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_imprint.demo import charts, story, timing

_TILE_PIXELS = 124  # twice the size on the page, for sharp screens


def render(report: Mapping[str, Any], objects: story.Part, digits: story.Part) -> str:
    """Fill the template. `report` holds the numbers of report.json; the parts bring the pictures."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.get_template("report.html")
    memory, names = report["memory"], report["objects"]["shown_as"]
    tested_on, secret = report["objects"]["tested_on"], set(report["objects"]["never_shown"])
    page = dict(report)
    page.update(
        facts=_facts(report),
        repeats=timing.REPEATS,
        learn_text=charts.time_text(report["milliseconds"]["head: learn"]["median"]),
        predict_text=charts.time_text(report["milliseconds"]["head: predict"]["median"]),
        total_ms=sum(stage["median"] for name, stage in report["milliseconds"].items() if name != "head: learn"),
        budget=story.BUDGET.replace("KB", " KB"),
        objects={
            **report["objects"],
            "bytes_text": _kilobytes(report["objects"]["bytes_used"]),
            "taught_rows": [_row(names[label], tiles) for label, tiles in objects.taught.items()],
            "asked_rows": [
                _row(names[label], tiles, tested_on[label])
                for label, tiles in objects.asked.items()
                if label not in secret
            ],
            "stranger_rows": [_row(names[label], tiles) for label, tiles in objects.asked.items() if label in secret],
        },
        digits={
            **report["digits"],
            "asked_rows": [
                _row(f"{digit}, never shown" if tiles[0].stranger else digit, tiles)
                for digit, tiles in digits.asked.items()
            ],
        },
        memory={
            **memory,
            "budget_text": _kilobytes(memory["budget"]),
            "most_used_text": _kilobytes(memory["most_used"]),
            "snapshot_text": _kilobytes(memory["snapshot_bytes"]),
        },
        charts=_charts(report),
    )
    return template.render(page)


def _charts(report: Mapping[str, Any]) -> dict[str, str]:
    objects, digits, memory = report["objects"], report["digits"], report["memory"]
    return {
        "accuracy": charts.accuracy_against_shots(digits["curve"]),
        "objects_verdicts": charts.verdict_shares(
            "photographs",
            {"taught": objects["verdicts_taught"], "never shown": objects["verdicts_never_shown"]},
        ),
        "digits_verdicts": charts.verdict_shares(
            "digits", {"taught": digits["verdicts_taught"], "never shown": digits["verdicts_never_shown"]}
        ),
        "bytes": charts.bytes_used(memory["used"], memory["budget"], memory["forgotten"]),
        "proxies": charts.proxies_per_class(memory["proxies"]),
        "stages": charts.stage_times(report["milliseconds"]),
    }


def _facts(report: Mapping[str, Any]) -> list[dict[str, str]]:
    objects, digits, memory, stages = (report[name] for name in ("objects", "digits", "memory", "milliseconds"))
    twenty = next(p for p in digits["curve"] if p["method"] == "auto" and p["shots"] == max(story.SHOTS))
    head_ms = stages["head: learn"]["median"]
    return [
        {
            "value": f"{objects['accuracy']:.0f} %",
            "text": f"of new views named right, after {objects['shots']} pictures per thing",
        },
        {
            "value": f"{twenty['mean']:.0f} %",
            "text": f"of handwritten digits, after {twenty['shots']} scans each",
        },
        {
            "value": f"{100 - objects['verdicts_never_shown']['known']:.0f} %",
            "text": "of views of things never shown were not taken for known",
        },
        {
            "value": _kilobytes(memory["most_used"]),
            "text": f"at most in use for ten digits; the budget was {_kilobytes(memory['budget'])}",
        },
        {"value": charts.time_text(head_ms), "text": "to learn one shot, once the backbone has looked"},
    ]


def _row(name: str, tiles: Sequence[story.Tile], note: str = "") -> dict[str, Any]:
    return {"name": name, "note": note, "tiles": [_tile(name, tile) for tile in tiles]}


def _tile(name: str, tile: story.Tile) -> dict[str, Any]:
    said = f", answered: {tile.answer}, {tile.verdict}" if tile.verdict else ""
    return {
        "src": _inline_picture(tile.picture),
        "alt": f"{name}{said}",
        "answer": tile.answer,
        "verdict": tile.verdict,
        "right": tile.right,
        "stranger": tile.stranger,
    }


def _inline_picture(picture: bytes | np.ndarray[Any, Any]) -> str:
    image = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else Image.fromarray(picture)
    image = image.convert("RGB")
    image.thumbnail((_TILE_PIXELS, _TILE_PIXELS), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _kilobytes(size: int) -> str:
    return f"{size / 1024:.1f} KB".replace(".0 KB", " KB")
