"""`edge-imprint profile`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_imprint.cli import profile_port
from edge_imprint.cli.common import Json


def command(
    port: Annotated[
        str, typer.Option("--port", metavar="PORT", help="/dev/ttyACM0, COM3, or socket://HOST:PORT for an emulator.")
    ],
    repeats: Annotated[int, typer.Option(metavar="N", help="Runs of each operation.")] = 100,
    warmups: Annotated[int, typer.Option(metavar="N", help="Runs before those, not counted.")] = 5,
    saves: Annotated[
        int, typer.Option(metavar="N", help="Save into the device's flash so often; replaces what is stored.")
    ] = 0,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds of silence after which to give up.")] = 10.0,
    baud: Annotated[int, typer.Option(metavar="N", help="Speed of a real serial line.")] = 115200,
    as_json: Json = False,
) -> None:
    """Measure what teaching and recognising cost on a microcontroller.

    Each operation is counted by the device itself, in cycles on a real part and
    in instructions in an emulator, and timed from here as a round trip. Its head
    is left as it was, byte for byte; only the last shot can no longer be undone.

    \b
    Examples:
      edge-imprint profile --port /dev/ttyACM0
      edge-imprint profile --port socket://127.0.0.1:5555 --repeats 500 --json
    """
    profile_port.run(port, repeats=repeats, warmups=warmups, saves=saves, timeout_s=timeout, baud=baud, as_json=as_json)
