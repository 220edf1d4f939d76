"""One export from end to end: open, calibrate, build each format, compare, measure, report, write."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_imprint.backbones import InputSpec
from edge_imprint.backbones.bundle import check_target
from edge_imprint.backbones.spec import check_text
from edge_imprint.errors import StorageError, UsageError
from edge_imprint_export.calibration import Calibration
from edge_imprint_export.fold import input_tensor
from edge_imprint_export.formats import impossible_formats
from edge_imprint_export.options import InputChanges, Options, parse_formats
from edge_imprint_export.pipeline import Pipeline, Tell
from edge_imprint_export.report.data import Report
from edge_imprint_export.sources import open_source
from edge_imprint_export.sources.source import Source, TfliteSource

if TYPE_CHECKING:
    from torch import nn


def export_backbone(
    source: str | Path | nn.Module,
    out: str | Path,
    *,
    formats: str | Sequence[str] | None = None,
    calibration: str | Path | Sequence[str | Path] | None = None,
    embedding: str | None = None,
    input: InputSpec | InputChanges | None = None,
    project: int | None = None,
    fold_preprocessing: bool = False,
    min_cosine: float = 0.99,
    keep_float: int | str = "auto",
    method: str = "auto",
    max_pictures: int = 400,
    name: str | None = None,
    licence: str | None = None,
    description: str | None = None,
    from_file: str | Path | None = None,
    replace_bundle: bool = False,
    timing: bool = True,
    progress: Tell | None = None,
) -> Report:
    """Turn a frozen backbone into a checked bundle.

    A classifier is cut at its embedding. Each file is compared with the source on calibration pictures that were not
    used to calibrate it. A format that this source cannot have is left out, and the report says why. The same inputs
    give the same bytes in every file of the bundle; the reports beside them also hold times, which vary.

    Args:
        source: "torch:package.module:factory", "hf:ID_OR_FOLDER", "timm:NAME", "public:NAME", an .onnx, .tflite, .pt2
            or TorchScript file, or a torch module that takes (n, 3, height, width) float32.
        out: the bundle's folder; must be new or empty, and its parent must exist.
        formats: some of "onnx", "onnx-int8", "tflite", "tflite-int8", as a list or with commas; None: all that this
            source can have.
        calibration: a folder of pictures (FOLDER/LABEL/*.jpg also gives accuracy) or a list of files; for a network
            that takes no pictures, .npy files of its input tensors. Without it only float32 files can be made, and
            parity is measured on made-up pictures.
        embedding: name of the module or tensor that is the embedding; None looks for it.
        input: what happens to a picture, as a whole or what differs from what the source says.
        project: reduce the embedding to so many dimensions by a linear layer, the principal axes of the calibration
            pictures' embeddings.
        fold_preprocessing: mean, scale and colour order go into the network; it then takes raw uint8 pixels.
        min_cosine: 0 to 1; the export fails when an int8 file's worst picture is below.
        keep_float: how many of the most sensitive layers of int8 files stay float32; "auto": as few as reach a
            cosine of 0.995 at least and 0.999 on average, or `min_cosine` where that takes over a quarter of the work.
        method: how int8 ranges are set, "auto" measures which is best.
        max_pictures: calibration pictures to use at most, evenly along their sorted names.
        name: of the bundle; None takes the source's.
        licence: of the weights, an SPDX name; None takes the source's.
        description: one line for people; None takes the source's.
        from_file: the file of a public backbone, so that nothing is downloaded.
        replace_bundle: an earlier bundle in `out` makes way.
        timing: whether to measure latency and memory here.
        progress: told (what is going on, done, total).

    Returns:
        What is also in `out`/report.json.

    Raises:
        ParityError: a file's embeddings differ too much from the source's; the message names the worst picture.
        ExportError: the source cannot be exported, or no format can be made.
        UsageError: an argument outside its range, no usable calibration picture.
        StorageError: `out` cannot be written.
        MissingRuntimeError: a package is missing; the message names the extra.
        EdgeImprintError: whatever else is wrong. In every case nothing is written.

    Example:
        >>> export_backbone("mobilenet.tflite", "bundle", formats="coreml")
        Traceback (most recent call last):
        ...
        edge_imprint.errors.UsageError: formats must be some of onnx, onnx-int8, tflite, tflite-int8; got 'coreml'
    """
    options = Options(parse_formats(formats), project, fold_preprocessing, min_cosine, keep_float, method)
    for option, text in (("--name", name), ("--licence", licence), ("description", description)):
        if text is not None:
            check_text(option, text)
    if project is not None and calibration is None:
        raise UsageError("a projection is made of calibration pictures; got none. Add --calibration FOLDER")
    tell = progress or (lambda text, done, total: None)
    target = check_target(out, replace=replace_bundle)
    try:
        with _unchanged(source):
            tell("Opening the source", 0, 1)
            opened = open_source(
                source,
                embedding=embedding,
                input=input,
                from_file=from_file,
                progress=lambda done, total: tell("Downloading", done, total),
            )
            opened.name, opened.licence = name or opened.name, licence or opened.licence
            opened.description = description or opened.description
            pictures = _pictures(opened, calibration, max_pictures, tell)
            if formats is None:
                options = _without_impossible(options, opened)
            pipeline = Pipeline(opened, options, pictures, tell)
            report = pipeline.report(_named(source), timing=timing)
            pipeline.write(target, report, replace_bundle)
    except OSError as error:
        raise _storage(error) from error
    return report


def _storage(error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"an export needs room for temporary files; {reason}. Make room, or set TMPDIR to another")
    if error.errno == errno.ENOMEM:
        return StorageError(f"an export needs memory; {reason}. Close other programs")
    what = f"{error.filename}: {reason}" if error.filename else reason
    return StorageError(f"the files of an export must be readable and its folders writable; {what}")


@contextmanager
def _unchanged(source: str | Path | nn.Module) -> Iterator[None]:
    """Give a module its modes back, which opening it changes: it belongs to the caller."""
    if isinstance(source, str | Path):
        yield
        return
    if not hasattr(source, "named_parameters"):
        raise UsageError(f"a source is a torch module, a file or a name like public:NAME; got {type(source).__name__}")
    training = {module: module.training for module in source.modules()}
    learning = {value: value.requires_grad for value in source.parameters()}
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for value, wanted in learning.items():
            value.requires_grad_(wanted)


def _without_impossible(options: Options, source: Source) -> Options:
    """Drop the formats that this kind of source never has; nobody asked for them by name."""
    no = impossible_formats(source)
    kept = tuple(format for format in options.formats if format not in no)
    for reason in dict.fromkeys(no.values()):
        left_out = ", ".join(format for format in no if no[format] == reason)
        source.notes.append(f"Left out {left_out}: {reason}.")
    return dataclasses.replace(options, formats=kept)


def _named(source: str | Path | nn.Module) -> str:
    """The source as the report names it: a file without its folder, which is nobody else's business."""
    if not isinstance(source, str | Path):
        return f"torch module {type(source).__name__}"
    text = str(source)
    kind, colon, rest = text.partition(":")
    if colon and kind in ("torch", "timm", "public"):
        return text
    if colon and kind == "hf":
        return f"hf:{Path(rest).name}" if Path(rest).exists() else text
    return Path(text).name


def _pictures(
    source: Source, calibration: str | Path | Sequence[str | Path] | None, most: int, tell: Tell
) -> Calibration:
    if calibration is not None:

        def progress(done: int, total: int) -> None:
            tell("Reading pictures", done, total)

        return Calibration.open(calibration, source.input, limit=most, progress=progress)
    shape = None
    if source.input is None:
        assert isinstance(source, TfliteSource)
        shape = input_tensor(source).shape[1:]
    return Calibration.synthetic(source.input, shape)
