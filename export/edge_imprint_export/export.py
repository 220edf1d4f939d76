"""One export from end to end: open, calibrate, build each format, compare, measure, report, write."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import BaseStatistics, InputSpec, Manifest, StatisticsSpec, write_bundle
from edge_imprint.backbones.bundle import check_target
from edge_imprint.errors import EdgeImprintError, ExportError, MissingRuntimeError, ParityError, StorageError
from edge_imprint_export.built import Built
from edge_imprint_export.calibration import Calibration
from edge_imprint_export.formats import Builder, impossible_formats
from edge_imprint_export.measure import measure
from edge_imprint_export.options import InputChanges, Options, parse_formats
from edge_imprint_export.parity import parity
from edge_imprint_export.projection import Projection, fit_projection
from edge_imprint_export.reference import source_embeddings
from edge_imprint_export.report.data import FileReport, Report, report_file
from edge_imprint_export.report.html import render
from edge_imprint_export.report.machine import machine, versions
from edge_imprint_export.sources import open_source
from edge_imprint_export.sources.source import Source, TfliteSource

if TYPE_CHECKING:
    from torch import nn

Tell = Callable[[str, int, int], None]
Embeddings = NDArray[np.float32]

STATISTICS = "base_statistics.npz"
# Fewer pictures say little about how embeddings lie in general.
LEAST_FOR_STATISTICS = 8


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
    name: str | None = None,
    licence: str | None = None,
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
            cosine of 0.995 at least and 0.999 on average.
        method: how int8 ranges are set, "auto" measures which is best.
        name: of the bundle; None takes the source's.
        licence: of the weights, an SPDX name; None takes the source's.
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
    tell = progress or (lambda text, done, total: None)
    target = check_target(out, replace=replace_bundle)
    try:
        tell("Opening the source", 0, 1)
        opened = open_source(
            source,
            embedding=embedding,
            input=input,
            from_file=from_file,
            progress=lambda done, total: tell("Downloading", done, total),
        )
        opened.name, opened.licence = name or opened.name, licence or opened.licence
        pictures = _pictures(opened, calibration, tell)
        if formats is None:
            options = _without_impossible(options, opened)
        made = _Export(opened, options, pictures, tell)
        report = made.report(_named(source), timing=timing)
        made.write(target, report, replace_bundle)
    except OSError as error:
        raise StorageError(f"cannot export: {error.strerror or error}. Make room on the disk or free memory") from error
    return report


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


def _pictures(source: Source, calibration: str | Path | Sequence[str | Path] | None, tell: Tell) -> Calibration:
    if calibration is not None:
        return Calibration.open(
            calibration, source.input, progress=lambda done, total: tell("Reading pictures", done, total)
        )
    shape = None
    if source.input is None:
        from edge_imprint.backbones.flatbuffer import read_graph

        assert isinstance(source, TfliteSource)
        graph = read_graph(source.content, source.name)
        shape = graph.tensors[graph.inputs[0]].shape[1:]
    return Calibration.synthetic(source.input, shape)


class _Export:
    """What one export has found out so far."""

    def __init__(self, source: Source, options: Options, pictures: Calibration, tell: Tell) -> None:
        self._source = source
        self._options = options
        self._pictures = pictures
        self._tell = tell
        self._notes = list(source.notes)
        raw = source_embeddings(source, pictures, lambda done, total: tell("Embedding with the source", done, total))
        self._projection = self._fitted(raw)
        self._reference = raw if self._projection is None else self._projection(raw)
        self._builder = Builder(
            source, options, pictures, self._of("calibrate", self._reference), self._projection, tell
        )
        self._built: dict[str, Built] = {}

    def _of(self, which: Any, rows: Embeddings) -> Embeddings:
        return rows[list(self._pictures.places(which))]

    def _fitted(self, raw: Embeddings) -> Projection | None:
        if self._options.project is None:
            return None
        if self._pictures.is_synthetic:
            raise ExportError("a projection needs calibration pictures; got none. Add --calibration FOLDER")
        fitted = fit_projection(raw, self._options.project)
        self._notes.append(
            f"Projected from {raw.shape[1]} to {len(fitted.bias)} dimensions, which keep {100 * fitted.kept:.1f} % of "
            "the variance of the calibration pictures' embeddings."
        )
        return fitted

    def report(self, source: str, *, timing: bool) -> Report:
        """Build every format, compare and measure it.

        Args:
            source: what to call it.
            timing: see `export_backbone`.

        Raises:
            ParityError: a file is not faithful.
        """
        impossible = self._build()
        files = self._compared(timing)
        opened = self._source
        report = Report(
            name=opened.name,
            licence=opened.licence,
            description=opened.description,
            dim=self._reference.shape[1],
            input=self._builder.input,
            source=source,
            embedding=opened.embedding,
            candidates=opened.candidates,
            options={
                "formats": list(self._options.formats),
                "project": self._options.project,
                "fold_preprocessing": self._options.fold_preprocessing,
                "min_cosine": self._options.min_cosine,
                "keep_float": self._options.keep_float,
                "method": self._options.method,
            },
            calibration=self._pictures,
            files=tuple(files),
            impossible=tuple(impossible.items()),
            notes=tuple(self._notes),
            machine=machine(),
            versions=versions(),
        )
        failed = [file for file in files if file.verdict.grade == "fail"]
        if failed:
            raise ParityError(
                f"{failed[0].spec.name} is not faithful enough, nothing was written: {failed[0].verdict.reasons[0]} "
                + _way_out(failed[0])
            )
        return report

    def _build(self) -> dict[str, str]:
        """Make every file; returns the reasons of those that cannot be made."""
        impossible: dict[str, str] = {}
        first: EdgeImprintError | None = None
        for format in self._options.formats:
            self._tell(format, 0, 1)
            try:
                self._built[format] = self._builder.build(format)
            except (ExportError, MissingRuntimeError) as error:
                impossible[format] = str(error)
                first = first or error
        if first is not None and not self._built:
            if len(set(impossible.values())) == 1:
                raise first
            reasons = "; ".join(f"{format}: {reason}" for format, reason in impossible.items())
            raise ExportError(f"no format can be made. {reasons}")
        return impossible

    def _compared(self, timing: bool) -> list[FileReport]:
        expected = self._of("judge", self._reference)
        labels = self._pictures.labels_of("judge")
        measured = {}
        if timing:
            self._tell("Measuring time and memory", 0, 1)
            measured = measure({built.spec.name: built.content for built in self._built.values()})
        files = []
        for format, built in self._built.items():
            tensors = self._pictures.tensors("judge", built.spec, spec=self._builder.input)
            got = np.empty_like(expected)
            for i in range(len(tensors)):
                got[i] = built.embed(tensors[i])[0]
                self._tell(f"{format}: comparing", i + 1, len(tensors))
            files.append(
                report_file(
                    format,
                    built.spec,
                    built.content,
                    parity(expected, got, labels=labels),
                    self._pictures,
                    min_cosine=self._options.min_cosine,
                    int8=built.int8,
                    measured=measured.get(built.spec.name),
                )
            )
        return files

    def _statistics(self) -> bytes | None:
        """Moments of the embeddings' directions; None where there are too few real pictures."""
        lengths = np.linalg.norm(self._reference, axis=1)
        unit = self._reference[lengths > 0] / lengths[lengths > 0, None]
        if self._pictures.is_synthetic or len(unit) < LEAST_FOR_STATISTICS:
            return None
        wide = unit.astype(np.float64)
        moment = (wide.T @ wide / len(wide)).astype(np.float32)
        return BaseStatistics(wide.mean(axis=0).astype(np.float32), moment, len(unit)).to_npz()

    def write(self, target: Path, report: Report, replace_bundle: bool) -> None:
        """Write the bundle, whole or not at all."""
        self._tell("Writing", 0, 1)
        contents = {built.spec.name: built.content for built in self._built.values()}
        statistics, entry = self._statistics(), None
        if statistics is not None:
            contents[STATISTICS] = statistics
            entry = StatisticsSpec(STATISTICS, hashlib.sha256(statistics).hexdigest())
        manifest = Manifest(
            report.name[:300],
            report.licence[:300],
            report.description[:2000],
            report.dim,
            report.input,
            tuple(built.spec for built in self._built.values()),
            entry,
        )
        reports = {"report.json": report.to_json().encode(), "report.html": render(report).encode()}
        write_bundle(target, manifest, contents, extras=reports, replace=replace_bundle)


def _way_out(file: FileReport) -> str:
    if file.spec.precision == "float32":
        return "The converter changed the network; leave this format out (--formats)"
    return "Add calibration pictures like those that the device will see, raise --keep-float, or lower --min-cosine"
