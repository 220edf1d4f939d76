"""`edge-imprint plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_imprint.cli import output
from edge_imprint.cli.common import Json


def command(
    dim: Annotated[int, typer.Option(metavar="N", help="Length of the backbone's embeddings.")],
    budget: Annotated[str, typer.Option(metavar="BYTES", help="Like 16KB or 65536; 1 KB = 1,024 bytes.")],
    classes: Annotated[int | None, typer.Option(metavar="N", help="Classes to plan for.")] = None,
    as_json: Json = False,
) -> None:
    """Say beforehand what fits in a budget: bytes of each part, classes and proxies.

    A proxy is one stored vector; a class has at least one, and more when its
    pictures differ a lot.

    \b
    Examples:
      edge-imprint plan --dim 256 --budget 16KB
      edge-imprint plan --dim 256 --budget 64KB --classes 10
    """
    from edge_imprint.head import plan

    facts = plan(dim, budget, classes=classes).as_dict()
    if as_json:
        output.write_json(facts)
    else:
        output.write_facts(
            {
                name.replace("_", " "): f"{value:,}" if isinstance(value, int) else str(value)
                for name, value in facts.items()
            }
        )
