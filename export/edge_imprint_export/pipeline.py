"""What happens to an opened source: embedded, built in each format, compared, measured, reported, written."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import BaseStatistics, Manifest, StatisticsSpec, write_bundle
from edge_imprint.errors import BundleError, EdgeImprintError, ExportError, MissingRuntimeError, ParityError
from edge_imprint_export.built import Built
from edge_imprint_export.calibration import Calibration, Which
from edge_imprint_export.formats import Builder
from edge_imprint_export.measure import measure
from edge_imprint_export.options import Options
from edge_imprint_export.parity import parity
from edge_imprint_export.projection import Projection, fit_projection
from edge_imprint_export.reference import source_embeddings
from edge_imprint_export.report.data import FileReport, Report, report_file
from edge_imprint_export.report.html import render
from edge_imprint_export.report.machine import machine, versions
from edge_imprint_export.sources.source import Source

Tell = Callable[[str, int, int], None]
Embeddings = NDArray[np.float32]

STATISTICS = "base_statistics.npz"
# Fewer pictures say little about how embeddings lie in general.
LEAST_FOR_STATISTICS = 8


class Pipeline:
    """One export, from the opened source on.

    Args:
        source: the backbone.
        options: what was asked for.
        pictures: that calibrate and judge.
        tell: told (what is going on, done, total).

    Raises:
        ExportError: the source's embeddings are of no use.
        UsageError: too few pictures for the projection.
    """

    def __init__(self, source: Source, options: Options, pictures: Calibration, tell: Tell) -> None:
        self._source = source
        self._options = options
        self._pictures = pictures
        self._tell = tell
        self._notes = list(source.notes)
        raw = source_embeddings(source, pictures, lambda done, total: tell("Embedding with the source", done, total))
        self._same = len(raw) > 1 and not np.ptp(raw, axis=0).any()
        if self._same:
            self._notes.append("Every picture gets the same embedding: nothing can be told apart. Check the weights.")
        self._projection = self._fitted(raw)
        self._reference = raw if self._projection is None else self._projection(raw)
        self._builder = Builder(
            source, options, pictures, self._of("calibrate", self._reference), self._projection, tell
        )
        self._built: list[Built] = []
        self._files: list[FileReport] = []

    def _of(self, which: Which, rows: Embeddings) -> Embeddings:
        return rows[list(self._pictures.places(which))]

    def _fitted(self, raw: Embeddings) -> Projection | None:
        if self._options.project is None:
            return None
        if self._same:
            raise ExportError(
                f"a projection keeps what tells pictures apart; {self._source.name} gives each the same embedding. "
                "Check its weights and its input rule"
            )
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
            ExportError: no format can be made.
        """
        impossible = self._build()
        if timing:
            self._measure()
        opened = self._source
        statistics = self._statistics()
        if statistics is None:
            self._notes.append(f"No base statistics: they need {LEAST_FOR_STATISTICS} calibration pictures or more.")
        return Report(
            name=opened.name,
            licence=opened.licence,
            description=opened.description,
            dim=self._reference.shape[1],
            input=self._builder.input,
            source=source,
            embedding=opened.embedding,
            candidates=opened.candidates,
            options={**dataclasses.asdict(self._options), "formats": list(self._options.formats)},
            calibration=self._pictures,
            files=tuple(self._files),
            impossible=tuple(impossible.items()),
            notes=(*self._notes, *self._builder.notes),
            machine=machine(),
            versions=versions(),
        )

    def _build(self) -> dict[str, str]:
        """Make every file; returns the reasons of those that cannot be made."""
        impossible: dict[str, str] = {}
        first: EdgeImprintError | None = None
        for format in self._options.formats:
            self._tell(format, 0, 1)
            try:
                built = self._builder.build(format)
            # What a runtime refuses here, it would refuse on the device.
            except (ExportError, MissingRuntimeError, BundleError) as error:
                impossible[format] = str(error)
                first = first or error
                continue
            built, file = self._faithful(built)
            self._built.append(built)
            self._files.append(file)
        if first is not None and not self._built:
            if len(set(impossible.values())) == 1:
                raise first
            reasons = "; ".join(f"{format}: {reason}" for format, reason in impossible.items())
            raise ExportError(f"no format can be made. {reasons}")
        return impossible

    def _faithful(self, built: Built) -> tuple[Built, FileReport]:
        """A file and its report, after layers went back to float32 as far as needed and allowed.

        A file that is not faithful even so ends the export at once.
        """
        file = self._compared(built)
        while file.verdict.grade == "fail":
            more = self._builder.with_more_in_float(built, file.parity.cosine_min)
            if more is None:
                raise ParityError(
                    f"{built.spec.name} is not faithful enough, nothing was written: {file.verdict.reasons[0]} "
                    + _way_out(built)
                )
            built, file = more, self._compared(more)
        return built, file

    def _compared(self, built: Built) -> FileReport:
        """A file against the source."""
        expected = self._of("judge", self._reference)
        names = self._pictures.names_of("judge")
        tensors = self._pictures.tensors("judge", built.spec, spec=self._builder.input)
        got = np.empty_like(expected)
        for i in range(len(tensors)):
            try:
                got[i] = built.embed(tensors[i])[0]
            except BundleError as error:
                raise ParityError(f"{built.spec.name} fails on {names[i]}, nothing was written: {error}") from None
            self._tell(f"{built.format}: comparing", i + 1, len(tensors))
        return report_file(
            built.format,
            built.spec,
            built.content,
            parity(expected, got, labels=self._pictures.labels_of("judge")),
            self._pictures,
            min_cosine=self._options.min_cosine,
            int8=built.int8,
        )

    def _measure(self) -> None:
        """Add time and memory to the files' reports."""
        self._tell("Measuring time and memory", 0, 1)
        try:
            whole = {f"all.{b.spec.name}": b.int8.whole for b in self._built if b.int8 and b.int8.whole is not None}
            measured = measure({**{built.spec.name: built.content for built in self._built}, **whole})
        except ExportError as error:  # they ran a moment ago, so that it is this machine that cannot measure
            self._notes.append(f"Time and memory were not measured: {error}.")
            return
        for i, file in enumerate(self._files):
            own, other = measured[file.spec.name], measured.get(f"all.{file.spec.name}")
            if other is not None:
                own = dataclasses.replace(own, all_int8_ms=other.median_ms)
            self._files[i] = dataclasses.replace(file, measured=own)

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
        contents = {built.spec.name: built.content for built in self._built}
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
            tuple(built.spec for built in self._built),
            entry,
        )
        reports = {"report.json": report.to_json().encode(), "report.html": render(report).encode()}
        write_bundle(target, manifest, contents, extras=reports, replace=replace_bundle)


def _way_out(built: Built) -> str:
    if built.spec.precision == "float32":
        return "The converter changed the network; leave this format out (--formats)"
    chosen = built.int8
    if chosen is None:  # the source was int8 already
        return "Keep more dimensions (--project), or lower --min-cosine"
    more = min(max(2 * len(chosen.keep_float), 4), chosen.layers)
    return (
        f"{len(chosen.keep_float)} of {chosen.layers} layers are in float32. Add calibration pictures like those that "
        f"the device will see, keep more layers (--keep-float {more}), or lower --min-cosine"
    )
