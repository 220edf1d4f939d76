"""`edge-imprint firmware`: a head on a microcontroller, generated, run in an emulator, talked to."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_imprint.cli import firmware_talk, output
from edge_imprint.cli.common import Json, size_text
from edge_imprint.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="The same head on a microcontroller: generate, run in an emulator, talk.")
app.add_typer(firmware_talk.app, name="talk")

BoardName = Annotated[str, typer.Option("--board", metavar="BOARD", help="Such as mps2-an386; see docs/CORTEX_M.md.")]
Dim = Annotated[int | None, typer.Option(metavar="N", help="Length of an embedding, 64 by default.")]
Budget = Annotated[str | None, typer.Option(metavar="BYTES", help="Like 16KB, the default where the board has room.")]
Classes = Annotated[int | None, typer.Option(metavar="N", help="Refuse a budget that does not hold so many.")]
Rate = Annotated[
    float | None, typer.Option("--false-accept-rate", metavar="RATE", help="Share of strangers taken for known.")
]
Proxies = Annotated[int | None, typer.Option("--max-proxies", metavar="N", help="Proxies of one class, 21 by default.")]
Method = Annotated[
    str | None,
    typer.Option("--method", metavar="NAME", help="proxies, the default; ridge or auto, for boards with the RAM."),
]
BackboneBytes = Annotated[
    int | None, typer.Option("--backbone-bytes", metavar="N", help="Room for the backbone's name, 512 by default.")
]
StartState = Annotated[
    Path | None,
    typer.Option("--state", metavar="FILE", help="A snapshot to start with; brings its own dim, budget and method."),
]


@app.command()
def generate(
    board: BoardName,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The project's folder: new or empty.")],
    dim: Dim = None,
    budget: Budget = None,
    classes: Classes = None,
    false_accept_rate: Rate = None,
    max_proxies: Proxies = None,
    backbone_bytes: BackboneBytes = None,
    method: Method = None,
    state: StartState = None,
    core: Annotated[
        str | None, typer.Option(metavar="CORE", help="Of --board custom: cortex-m0, cortex-m4, cortex-m55 ...")
    ] = None,
    rom: Annotated[
        str | None, typer.Option(metavar="ADDRESS:BYTES", help="Of --board custom, such as 0x08000000:512KB.")
    ] = None,
    ram: Annotated[
        str | None, typer.Option(metavar="ADDRESS:BYTES", help="Of --board custom, such as 0x20000000:128KB.")
    ] = None,
    clock_hz: Annotated[int | None, typer.Option("--clock-hz", metavar="N", help="Of --board custom.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write an earlier project in DIR anew.")] = False,
    as_json: Json = False,
) -> None:
    """Write a firmware project that builds with make alone.

    \b
    Examples:
      edge-imprint firmware generate --board mps2-an386 --out fw && cd fw && make run
      edge-imprint firmware generate --board microbit --out fw --budget 8KB --classes 10
      edge-imprint firmware generate --board mps3-an547 --out fw --state robot.eimp
      edge-imprint firmware generate --board mps2-an386 --out fw --method ridge --budget 48KB
      edge-imprint firmware generate --board custom --core cortex-m4 --rom 0x08000000:512KB --ram 0x20000000:128KB \\
          --clock-hz 16000000 --out fw
    """
    from edge_imprint_firmware import boards, options
    from edge_imprint_firmware.generate import generate as write

    own: dict[str, Any] = {"core": core, "rom": rom, "ram": ram, "clock_hz": clock_hz}
    if board == "custom":
        chosen = boards.custom(**own)
    else:
        chosen = boards.find(board)
        if any(value is not None for value in own.values()):
            raise UsageError(f"--core, --rom, --ram and --clock-hz are for --board custom; {board} has its own")
    head = options.chosen(
        chosen,
        dim,
        budget,
        state=state,
        classes=classes,
        false_accept_rate=false_accept_rate,
        max_proxies=max_proxies,
        backbone_bytes=backbone_bytes,
        method=method,
    )
    project = write(out, chosen, head, state=state, replace=replace)
    if as_json:
        output.write_json(project.as_dict())
        return
    output.write_facts(
        {
            "project": str(out),
            "board": f"{chosen.name} ({chosen.core.name})",
            "head": f"{project.method}, dim {project.dim}, budget {size_text(project.budget)}, "
            f"up to {project.max_classes} classes",
            "RAM": f"{size_text(project.arena_bytes)} for its arena, of {size_text(chosen.ram[1])}",
            "flash": f"{size_text(project.flash_bytes)}: two snapshots of at most {size_text(project.snapshot_bytes)}",
            "next": f"cd {out} && make {'run' if chosen.machine else '(and read boards/port_custom.c)'}",
        }
    )


@app.command()
def run(
    board: BoardName = "mps2-an386",
    dim: Dim = None,
    budget: Budget = None,
    classes: Classes = None,
    false_accept_rate: Rate = None,
    max_proxies: Proxies = None,
    backbone_bytes: BackboneBytes = None,
    method: Method = None,
    state: StartState = None,
    flash: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Stands for the board's flash and is made when missing; forgotten if left out."
        ),
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", help="TCP port of the serial line; any free one for 0.")] = 5555,
    as_json: Json = False,
) -> None:
    """Start a board in the emulator and keep it running until Ctrl-C.

    \b
    Examples:
      edge-imprint firmware run --board mps2-an386
      edge-imprint firmware run --board microbit --flash microbit.bin --port 6000
    """
    from edge_imprint_firmware import emulator

    with _ended_by_signals(), contextlib.ExitStack() as until_the_end:
        started = emulator.start(
            board,
            dim,
            budget,
            state=state,
            flash=flash,
            classes=classes,
            port=port,
            false_accept_rate=false_accept_rate,
            max_proxies=max_proxies,
            backbone_bytes=backbone_bytes,
            method=method,
        )
        until_the_end.enter_context(started)
        if as_json:
            output.write_json({"board": started.board, "url": started.url, "flash": flash and str(started.flash)})
        else:
            output.write(
                f"{started.board} runs; Ctrl-C pulls the plug. Talk to it from another terminal:\n"
                f"  edge-imprint firmware talk --port {started.url} info\n"
            )
        with contextlib.suppress(KeyboardInterrupt):  # which is how this command ends
            started.wait()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """`kill` and a closed terminal do as Ctrl-C does: without that the emulator would outlive this command."""

    def end(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
