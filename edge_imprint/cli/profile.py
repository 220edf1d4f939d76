"""`edge-imprint profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge_imprint.cli import profile_compare, profile_host, profile_port
from edge_imprint.cli.common import Json, Method
from edge_imprint.errors import UsageError

_SAVES, _TIMEOUT_S, _BAUD = 0, 10.0, 115200


def command(
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGE...]", show_default=False, help="Pictures or folders; made up without any."),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="B", help="default, a bundle folder, an .onnx or a .tflite file.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask this state; it is only read. Else classes are made up.")
    ] = None,
    method: Method = "auto",
    budget: Annotated[str, typer.Option(metavar="BYTES", help="Of the made-up head, like 64KB.")] = "512KB",
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Of one inference; the runtime's choice else.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(metavar="R", help="onnx or tflite, where a bundle has both.")] = None,
    precision: Annotated[str, typer.Option(metavar="P", help="float32, int8 or auto.")] = "auto",
    providers: Annotated[
        str | None, typer.Option(metavar="P,...", help="Of onnxruntime, in order: tensorrt,cuda,cpu.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(metavar="N", help="Runs of each stage: 200; with --port 100.", show_default=False)
    ] = None,
    warm_ups: Annotated[
        int | None, typer.Option("--warm-ups", "--warmups", metavar="N", help="Runs before those.", show_default=False)
    ] = None,
    camera_fps: Annotated[float, typer.Option(metavar="N", help="Frames in a second that a camera gives.")] = 30.0,
    camera_seconds: Annotated[float, typer.Option(metavar="S", help="For so long.")] = 3.0,
    cold_starts: Annotated[int, typer.Option(metavar="N", help="Processes that start from nothing.")] = 5,
    budget_ms: Annotated[
        float | None,
        typer.Option(metavar="MS", help="Exit status 3 when 99 % of frames take longer; with --port, of answers."),
    ] = None,
    budget_mb: Annotated[
        float | None, typer.Option(metavar="MB", help="Exit status 3 when memory peaks above; 1 MB = 1,048,576 bytes.")
    ] = None,
    budget_kb: Annotated[
        float | None,
        typer.Option(metavar="KB", help="With --port: the same for all variables and the stack; 1 KB = 1,024 bytes."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the profile as JSON.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw what was measured, and memory: .png, .svg or .pdf.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A.json B.json", help="Put two profiles of one kind side by side; measures nothing."),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option(metavar="PORT", help="A microcontroller: /dev/ttyACM0, COM3, or socket://HOST:PORT."),
    ] = None,
    saves: Annotated[
        int, typer.Option(metavar="N", help="With --port: save into its flash so often; replaces what is stored.")
    ] = _SAVES,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="With --port: seconds of silence to give up after.")
    ] = _TIMEOUT_S,
    baud: Annotated[int, typer.Option(metavar="N", help="With --port: speed of a real serial line.")] = _BAUD,
    as_json: Json = False,
) -> None:
    """Measure what teaching and recognising cost on this machine, or on a microcontroller.

    Every stage from a frame to an answer, frames dropped at a camera's rate,
    memory, the time from nothing to the first answer, and what the machine
    says of clocks, warmth and power. With --port a device counts each operation
    itself, in cycles on a real part and in instructions in an emulator; its
    head is left as it was, only the last shot can no longer be undone.

    \b
    Examples:
      edge-imprint profile
      edge-imprint profile photos/ --state robot.eimp --threads 2 --out pi5.json
      edge-imprint profile --bundle bundle/ --budget-ms 30 --budget-mb 64
      edge-imprint profile --plot profile.png
      edge-imprint profile --compare pi4.json pi5.json
      edge-imprint profile --port /dev/ttyACM0 --budget-kb 20 --out old.json
      edge-imprint profile --port /dev/ttyACM0 --out new.json --plot new.png
      edge-imprint profile --compare old.json new.json
    """
    if compare is not None:
        _refuse(
            "--compare measures nothing: it reads two files", port=port, out=out, plot=plot, budget_ms=budget_ms,
            budget_mb=budget_mb, budget_kb=budget_kb,
        )  # fmt: skip
        profile_compare.run(*compare, as_json=as_json)
        return
    if port is not None:
        _refuse(
            "with --port a microcontroller is measured", images=images, bundle=bundle, state=state, threads=threads,
            runtime=runtime, providers=providers,
        )  # fmt: skip
        status = profile_port.run(
            port,
            repeats=100 if repeats is None else repeats,
            warmups=5 if warm_ups is None else warm_ups,
            saves=saves,
            timeout_s=timeout,
            baud=baud,
            as_json=as_json,
            out=out,
            plot=plot,
            budget_ms=budget_ms,
            budget_bytes=_budget_bytes(budget_ms, budget_mb, budget_kb),
        )
        if status:
            raise typer.Exit(status)
        return
    if (saves, timeout, baud, budget_kb) != (_SAVES, _TIMEOUT_S, _BAUD, None):
        raise UsageError(
            "--saves, --timeout, --baud and --budget-kb are about a microcontroller. Name its --port, or leave them out"
        )
    if state is not None and (runtime, precision) != (None, "auto"):
        raise UsageError("a state names the file that it was learned with. Leave out --runtime and --precision")
    from edge_imprint.profiling.run import REPEATS, WARM_UPS

    subject = profile_host.subject_of(
        images or [], bundle=bundle, state=state, providers=providers, method=method, budget=budget, threads=threads,
        runtime=runtime, precision=precision,
    )  # fmt: skip
    status = profile_host.run(
        subject,
        plot=plot,
        out=out,
        as_json=as_json,
        budgets=(budget_ms, budget_mb),
        repeats=REPEATS if repeats is None else repeats,
        warm_ups=WARM_UPS if warm_ups is None else warm_ups,
        camera_fps=camera_fps,
        camera_seconds=camera_seconds,
        cold_starts=cold_starts,
    )
    if status:
        raise typer.Exit(status)


def _refuse(why: str, **options: Any) -> None:
    for name, value in options.items():
        if value is not None and value != []:
            shown = "pictures" if name == "images" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{why}, and has no use for {shown}. Leave {shown} out")


def _budget_bytes(budget_ms: float | None, budget_mb: float | None, budget_kb: float | None) -> float | None:
    """A device's budget of memory, in whichever unit it was given; all budgets are checked."""
    from edge_imprint.profiling.compare import KB, MB, check_budgets

    check_budgets(budget_ms, budget_mb, budget_kb)
    if budget_mb is not None and budget_kb is not None:
        raise UsageError("--budget-mb and --budget-kb are one budget in two units. Give one of them")
    if budget_kb is not None:
        return budget_kb * KB
    return None if budget_mb is None else budget_mb * MB
