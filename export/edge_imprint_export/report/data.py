"""What an export says about itself: the numbers behind `report.json` and `report.html`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_imprint.backbones import FileSpec, InputSpec
from edge_imprint_export.calibration import Calibration
from edge_imprint_export.int8.choose import Chosen
from edge_imprint_export.measure import Measurement
from edge_imprint_export.parity import Parity, Verdict, judge

SCHEMA = 1
MOST_WORST = 5
_GRADES = ("pass", "warn", "fail")


@dataclass(frozen=True)
class WorstPicture:
    """A judging picture that a file changes most; `place` counts among the judging ones."""

    place: int
    name: str
    cosine: float


@dataclass(frozen=True)
class FileReport:
    """One file of the bundle.

    Attributes:
        format: "onnx", "onnx-int8", "tflite" or "tflite-int8".
        spec: the manifest's entry.
        verdict: see `judge`.
        parity: on the judging pictures.
        worst: the lowest cosines, lowest first.
        operators: (name, how often), the most frequent first.
        unsupported: for each target the operators that it lacks.
        int8: how its settings were chosen; None where nothing was quantised here.
        measured: on this machine; None when that was not wanted.
    """

    format: str
    spec: FileSpec
    verdict: Verdict
    parity: Parity
    worst: tuple[WorstPicture, ...]
    operators: tuple[tuple[str, int], ...]
    unsupported: Mapping[str, tuple[str, ...]]
    int8: Chosen | None = None
    measured: Measurement | None = None

    @property
    def price(self) -> str:
        """What the layers that stay in float32 cost, in one sentence; empty where there are none."""
        if self.int8 is None or not self.int8.keep_float:
            return ""
        kept, measured = len(self.int8.keep_float), self.measured
        text = f"{kept} of {self.int8.layers} layers stay in float32 ({100 * self.int8.float_share:.0f} % of the work)"
        if measured is None or measured.all_int8_ms is None:
            return f"{text}."
        return f"{text}: {measured.median_ms:.2f} ms here; every layer in int8 takes {measured.all_int8_ms:.2f} ms."

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; what differs from run to run is under "measured" alone."""
        parity = _rounded(dataclasses.asdict(self.parity))
        spec = self.spec
        return {
            "format": self.format,
            "file": spec.name,
            "precision": spec.precision,
            "size_bytes": spec.size_bytes,
            "sha256": spec.sha256,
            "input": {"layout": spec.layout, "dtype": spec.dtype},
            "embedding": spec.embedding,
            "verdict": dataclasses.asdict(self.verdict),
            "parity": {name: value for name, value in parity.items() if name != "few_shot"},
            "few_shot": parity["few_shot"],
            "worst_pictures": [{"picture": one.name, "cosine": round(one.cosine, 8)} for one in self.worst],
            "operators": dict(self.operators),
            "unsupported_operators": {target: list(names) for target, names in self.unsupported.items()},
            "int8": None if self.int8 is None else _choice(self.int8),
            "measured": None if self.measured is None else dataclasses.asdict(self.measured),
        }


def _choice(chosen: Chosen) -> dict[str, Any]:
    """How int8 settings were chosen, without the file itself."""
    found: dict[str, Any] = _rounded(
        {
            "method": chosen.method,
            "keep_float": chosen.keep_float,
            "layers": chosen.layers,
            "float_share": chosen.float_share,
            "reached": chosen.reached,
            "trials": chosen.trials,
            "sensitivity": [
                {"layer": layer, "operator": operator, "lost": lost} for layer, operator, lost in chosen.sensitivity
            ],
        }
    )
    return found


def report_file(
    format: str,
    spec: FileSpec,
    content: bytes,
    measured_parity: Parity,
    calibration: Calibration,
    *,
    min_cosine: float = 0.99,
    int8: Chosen | None = None,
    measured: Measurement | None = None,
) -> FileReport:
    """Put together what is known of one file.

    Args:
        format: see `FileReport`.
        spec: the manifest's entry.
        content: the file's bytes, for its operators.
        measured_parity: on the judging pictures of `calibration`.
        calibration: the pictures, for their names.
        min_cosine: see `judge`.
        int8: see `FileReport`.
        measured: see `FileReport`.
    """
    from edge_imprint_export.operators import onnx_operators, support, tflite_operators

    names = calibration.names_of("judge")
    places = sorted(range(len(names)), key=lambda place: measured_parity.cosines[place])[:MOST_WORST]
    operators = onnx_operators(content) if spec.format == "onnx" else tflite_operators(content)
    unsupported = support(spec.format, operators)
    return FileReport(
        format=format,
        spec=spec,
        verdict=judge(measured_parity, spec.precision, names, min_cosine=min_cosine),
        parity=measured_parity,
        worst=tuple(WorstPicture(place, names[place], measured_parity.cosines[place]) for place in places),
        operators=tuple(sorted(operators, key=lambda entry: (-entry[1], entry[0]))),
        unsupported={target: tuple(missing) for target, missing in unsupported.items()},
        int8=int8,
        measured=measured,
    )


@dataclass(frozen=True, kw_only=True)
class Report:
    """One export.

    Attributes:
        name: of the bundle.
        licence: of the weights.
        description: one line.
        dim: width of the embedding.
        input: what happens to a picture before these files; None for a network that takes none.
        source: what was exported, as it was named; a file without its folder.
        embedding: the tensor or module that was chosen.
        candidates: others that could have been.
        options: the settings, by name.
        calibration: the pictures.
        files: those written, or with `failed` those that would have been.
        impossible: (format, reason) of formats that were asked for and could not be made.
        notes: what was decided on the way, one sentence each.
        machine: what the times were measured on.
        versions: of the packages that took part.
    """

    name: str
    licence: str
    description: str
    dim: int
    input: InputSpec | None
    source: str
    embedding: str
    candidates: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration
    files: tuple[FileReport, ...]
    impossible: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst of the files', with the reasons of those files."""
        if not self.files:
            return Verdict("fail", ("No file could be made.",))
        grade = max((file.verdict.grade for file in self.files), key=_GRADES.index)
        reasons = [
            f"{file.spec.name}: {reason}"
            for file in self.files
            if file.verdict.grade == grade
            for reason in file.verdict.reasons
        ]
        return Verdict(grade, tuple(reasons))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON. The same export gives the same, except for "measured", "machine" and "versions"."""
        pictures = self.calibration
        return {
            "schema": SCHEMA,
            "name": self.name,
            "licence": self.licence,
            "description": self.description,
            "dim": self.dim,
            "verdict": dataclasses.asdict(self.verdict),
            "source": {
                "name": self.source,
                "embedding": self.embedding,
                "candidates": list(self.candidates),
                "input": None if self.input is None else dataclasses.asdict(self.input),
            },
            "options": dict(self.options),
            "calibration": {
                "pictures": len(pictures),
                "found": pictures.found,
                "calibrating": len(pictures.calibrating),
                "judging": len(pictures.judging),
                "held_out": pictures.held_out,
                "synthetic": pictures.is_synthetic,
                "labels": sorted(set(pictures.labels or ())),
                "skipped": [{"file": name, "reason": reason} for name, reason in pictures.skipped],
            },
            "files": [file.as_dict() for file in self.files],
            "impossible": [{"format": format, "reason": reason} for format, reason in self.impossible],
            "notes": [*self.notes, *pictures.notes],
            "machine": dict(self.machine),
            "versions": dict(self.versions),
        }

    def to_json(self) -> str:
        """The text of `report.json`."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _rounded(value: Any) -> Any:
    """Floats to eight decimals, tuples to lists, all the way down."""
    if isinstance(value, float):
        return round(value, 8)
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return value
