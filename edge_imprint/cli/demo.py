"""`edge-imprint demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json


def command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where report.html and report.json go.")] = Path(
        "demo-report"
    ),
    as_json: Json = False,
) -> None:
    """The whole story on the bundled backbone and real pictures, in about a minute.

    Teaches, recognises, says unknown, forgets and reloads. Needs no network and
    no file from outside. Writes one page to look at, DIR/report.html, and its
    numbers, DIR/report.json.

    \b
    Examples:
      edge-imprint demo
      edge-imprint demo --out /tmp/demo --json
    """
    from edge_imprint.demo import STEPS, run_demo

    with output.progress("Teaching and recognising", STEPS, quiet=as_json) as advance:
        report = run_demo(out, advance=advance)
    if as_json:
        output.write_json(report)
        return
    output.write_story([*report["story"], f"Look at the report: {report['html']}"])
