"""`edge-imprint export`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_imprint.cli import interrupts, output
from edge_imprint.cli.common import Json, size_text
from edge_imprint.errors import MissingRuntimeError, UsageError

if TYPE_CHECKING:
    from edge_imprint_export import Report

Tell = Callable[[str, int, int], None]

# Pictures that cannot be used get a line each, but no pages of them.
MOST_NAMED = 5


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            show_default=False,
            help="torch:MODULE:FACTORY, hf:ID or hf:FOLDER, timm:NAME, public:NAME, or an .onnx, .tflite, .pt2 or "
            "TorchScript file.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The bundle's folder: new or empty.")],
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Pictures like those that the device will see, 100 or more; FOLDER/LABEL/*.jpg also gives accuracy.",
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(metavar="F,F,...", help="Some of onnx, onnx-int8, tflite, tflite-int8; all when left out."),
    ] = None,
    embedding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Module or tensor that is the embedding; found when left out.")
    ] = None,
    project: Annotated[
        int | None, typer.Option(metavar="D", help="Reduce the embedding to D dimensions (principal axes).")
    ] = None,
    fold_preprocessing: Annotated[
        bool, typer.Option("--fold-preprocessing", help="Mean, scale and colour order go into the network: feed uint8.")
    ] = False,
    size: Annotated[str | None, typer.Option(metavar="H[xW]", help="Pictures' size, like 96 or 96x128.")] = None,
    mean: Annotated[str | None, typer.Option(metavar="M[,M,M]", help="Mean per channel, of pixels 0 to 255.")] = None,
    std: Annotated[str | None, typer.Option(metavar="S[,S,S]", help="Deviation per channel, likewise.")] = None,
    colour: Annotated[str | None, typer.Option(metavar="rgb|bgr", help="Channel order of the network.")] = None,
    resize: Annotated[
        str | None, typer.Option(metavar="RULE", help="squash, or crop:N (shorter side to N, then the centre).")
    ] = None,
    min_cosine: Annotated[
        float, typer.Option(metavar="X", help="Fail when an int8 file's worst picture is below this.")
    ] = 0.99,
    keep_float: Annotated[
        str, typer.Option(metavar="N|auto", help="Leave the N most sensitive layers of int8 files in float32.")
    ] = "auto",
    method: Annotated[
        str,
        typer.Option(
            metavar="M",
            help="How int8 ranges are set: minmax, percentile, mse, entropy (ONNX), equalised (TFLite); auto measures.",
        ),
    ] = "auto",
    pictures: Annotated[int, typer.Option(metavar="N", help="Calibration pictures to use at most.", min=1)] = 400,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Of the bundle.")] = None,
    licence: Annotated[str | None, typer.Option(metavar="SPDX", help="Of the weights, such as Apache-2.0.")] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Use this copy of a public backbone: no download.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier bundle in DIR.")] = False,
    as_json: Json = False,
) -> None:
    """Turn a frozen backbone into a checked bundle: ONNX and TFLite, float32 and int8, with a report.

    A classifier is cut at its embedding. Every file is compared with the source
    on pictures that were not used for calibration; below --min-cosine nothing
    is written. DIR/report.html says how faithful, how large and how fast each
    file is and which operators a microcontroller or a Jetson lacks.

    \b
    Examples:
      edge-imprint export public:mobilenet_v1_0.25_128 --out bundle
      edge-imprint export hf:google/mobilenet_v2_1.0_224 --out bundle --calibration photos/
      edge-imprint export torch:my_package.networks:make --size 96 --out bundle --calibration photos/
      edge-imprint export classifier.onnx --embedding pooled --formats onnx-int8 --out bundle --calibration photos/
      edge-imprint export model.tflite --project 64 --out bundle --calibration photos/
    """
    layers = _layers(keep_float)
    with interrupts.leaves(f"{out} was not written"):
        try:
            from edge_imprint_export import InputChanges, export_backbone
        except ImportError as error:
            raise MissingRuntimeError(
                f"the exporter is not whole here: {error}. Install it: pip install 'edge-imprint[export]'"
            ) from None
        changes = InputChanges.parse(size=size, mean=mean, std=std, colour=colour, resize=resize)
        with _bar(quiet=as_json) as tell:
            report = export_backbone(
                source,
                out,
                formats=formats,
                calibration=calibration,
                embedding=embedding,
                input=changes,
                project=project,
                fold_preprocessing=fold_preprocessing,
                min_cosine=min_cosine,
                keep_float=layers,
                method=method,
                max_pictures=pictures,
                name=name,
                licence=licence,
                from_file=from_file,
                replace_bundle=replace,
                progress=tell,
            )
    _show(report, out, as_json)


def _layers(text: str) -> int | str:
    """A number of layers, or auto."""
    if text.isdecimal():
        return int(text)
    if text != "auto":
        raise UsageError(f"--keep-float must be a number of layers or auto; got {text}")
    return text


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Tell]:
    """A line on standard error that says what is going on, with a bar where there is something to count."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda text, done, total: interrupts.check()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # The exporter takes standard error away from talkative libraries for as long as they run; the bar has its own.
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding=sys.stderr.encoding, errors="replace") as terminal,
        Progress(*columns, console=Console(file=terminal), transient=True, redirect_stderr=False) as bar,
    ):
        task = bar.add_task("", total=None)
        shown = ""

        def tell(text: str, done: int, total: int) -> None:
            nonlocal shown
            interrupts.check()
            # Drawn ten times a second, and at once where something new begins, which may keep the processor busy.
            bar.update(
                task, description=text, completed=done, total=total if total > 1 else None, refresh=text != shown
            )
            shown = text

        yield tell


def _show(report: Report, out: Path, as_json: bool) -> None:
    for format, reason in report.impossible:
        output.warn(f"Warning: no {format}: {reason}")
    skipped = report.calibration.skipped
    for picture, reason in skipped[:MOST_NAMED]:
        output.warn(f"Warning: {picture} left out: {reason}")
    if len(skipped) > MOST_NAMED:
        output.warn(f"Warning: {len(skipped) - MOST_NAMED} more pictures left out: {out / 'report.json'} names them")
    if as_json:
        output.write_json({"out": str(out), **report.as_dict()})
        return
    rows = []
    for file in report.files:
        cosine, measured = file.parity, file.measured
        rows.append(
            (
                file.spec.name,
                size_text(file.spec.size_bytes),
                f"{cosine.cosine_mean:.4f}",
                f"{cosine.cosine_min:.4f}",
                "" if measured is None else f"{measured.median_ms:.2f} ms",
                file.verdict.grade,
            )
        )
    output.write_table(("file", "size", "cosine", "least", "latency", "verdict"), rows)
    lines = [f"{report.name}: {report.dim} dimensions, embedding {report.embedding}"]
    if report.verdict.grade != "pass":
        lines += [f"{report.verdict.grade}: {reason}" for reason in report.verdict.reasons]
    lines += [f"{file.spec.name}: {file.price}" for file in report.files if file.price]
    lines += [f"note: {note}" for note in report.notes]
    lines += [
        f"The report: {out / 'report.html'}",
        f"Use it: edge-imprint learn LABEL IMAGE... --state FILE --backbone {out}",
    ]
    output.write_story(lines)
