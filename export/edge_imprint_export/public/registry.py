"""The list of public backbones: openly licensed networks that `public:NAME` downloads, verifies and cuts.

The list is `registry.json` beside this file: {"schema": 1, "backbones": [{...}, ...]} with the fields of
`PublicBackbone`. Addresses are pinned to a commit, and a file counts only with the SHA-256 that stands in the list.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NoReturn
from urllib.parse import urlsplit

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import BundleError, ExportError, UsageError

SCHEMA = 1
MAX_SIZE_BYTES = 1 << 30

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.tflite")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What this project measured of a backbone; null where there is nothing to measure.

    Attributes:
        date: of the measurement, YYYY-MM-DD.
        machine: processor and runtime that `latency_ms` belongs to.
        clothing_5_shots: balanced accuracy in % of the nearest mean after 5 shots per class, clothing_small.
        cifar10_5_shots: the same on CIFAR-10; null for a network that was trained on it.
        cut_bytes: size of the .tflite file that ends at the embedding.
        latency_ms: one picture, decoded, to its embedding on one thread; the input tensor where none are taken.
    """

    date: str
    machine: str
    clothing_5_shots: float | None
    cifar10_5_shots: float | None
    cut_bytes: int | None
    latency_ms: float | None

    def __post_init__(self) -> None:
        _check_pattern("measured.date", self.date, _DATE, "a date, YYYY-MM-DD")
        _check_text("measured.machine", self.machine)
        for field in ("clothing_5_shots", "cifar10_5_shots"):
            _check_number(f"measured.{field}", getattr(self, field), 100)
        _check_number("measured.latency_ms", self.latency_ms, 1e6)
        if self.cut_bytes is not None:
            _check_int("measured.cut_bytes", self.cut_bytes, MAX_SIZE_BYTES)


@dataclass(frozen=True, kw_only=True)
class PublicBackbone:
    """One public backbone: where it comes from, under which licence, and what it is.

    Attributes:
        name: what follows `public:`, lower case.
        title: its name for people.
        description: one line: architecture, what it was trained on, who published it.
        licence: of the weights, SPDX.
        licence_url: where the publisher says so.
        url: the .tflite file, https, pinned to a commit.
        sha256: 64 lower-case hex digits of the whole file.
        size_bytes: length of the whole file.
        shape: of the input, (height, width, channels).
        input: what happens to a picture; None: derived from the file's own quantisation.
        embedding: tensor that is the embedding.
        dim: width of the embedding.
        precision: "int8" or "float32".
        measured: accuracy, size and latency.
    """

    name: str
    title: str
    description: str
    licence: str
    licence_url: str
    url: str
    sha256: str
    size_bytes: int
    shape: tuple[int, int, int]
    input: InputSpec | None
    embedding: str
    dim: int
    precision: str
    measured: Measured

    def __post_init__(self) -> None:
        _check_pattern("name", self.name, _NAME, "1 to 64 of a-z, 0-9, '.', '_' and '-'")
        for field in ("title", "description"):
            _check_text(field, getattr(self, field))
        _check_text("embedding", self.embedding, 2000)
        _check_pattern("licence", self.licence, _SPDX, "an SPDX name")
        _check_url("licence_url", self.licence_url)
        _check_url("url", self.url)
        if _FILE_NAME.fullmatch(self.file_name) is None:
            _refuse("url", "an address that ends in the name of a .tflite file", self.url)
        _check_pattern("sha256", self.sha256, _SHA256, "64 lower-case hex digits")
        _check_int("size_bytes", self.size_bytes, MAX_SIZE_BYTES)
        if not isinstance(self.shape, list | tuple) or len(self.shape) != 3:
            _refuse("shape", "height, width and channels", self.shape)
        for side in self.shape:
            _check_int("shape", side, 4096)
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.input is not None and (
            not isinstance(self.input, InputSpec) or (self.input.height, self.input.width, 3) != self.shape
        ):
            _refuse("input", f"null or an InputSpec of {self.shape}", self.input)
        _check_int("dim", self.dim, 65536)
        if self.precision not in ("int8", "float32"):
            _refuse("precision", "int8 or float32", self.precision)
        if not isinstance(self.measured, Measured):
            _refuse("measured", "a Measured", self.measured)

    @property
    def file_name(self) -> str:
        """Name of the file at its address."""
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def takes_pictures(self) -> bool:
        """Whether the input is a colour picture; a network for sound is embedded tensor by tensor."""
        return self.shape[2] == 3


@cache
def registry() -> tuple[PublicBackbone, ...]:
    """Every public backbone, in the order of the list.

    Raises:
        ExportError: the list that was installed is damaged.

    Example:
        >>> registry()[0].name
        'mobilenet_v1_0.25_128'
    """
    return parse(resources.files(__package__).joinpath("registry.json").read_text(encoding="utf-8"))


def parse(text: str) -> tuple[PublicBackbone, ...]:
    """Read the text of a `registry.json`.

    Raises:
        ExportError: not JSON, another schema, a wrong field, or a name that stands there twice.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        _refuse("the file", "JSON", str(error))
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA or not isinstance(raw.get("backbones"), list):
        _refuse("the file", f"an object with schema {SCHEMA} and a list of backbones", raw)
    found = tuple(_from_json(entry) for entry in raw["backbones"])
    for taken in ([entry.name for entry in found], [entry.file_name for entry in found]):
        twice = sorted({name for name in taken if taken.count(name) > 1})
        if twice:
            _refuse("name and file", "there once only", twice[0])
    return found


def find(name: str) -> PublicBackbone:
    """The public backbone of this name, or of this file name.

    Args:
        name: as in the list; case does not matter, and the name of its file does as well.

    Raises:
        UsageError: there is none; the message has the nearest name and all names.

    Example:
        >>> find("mobilenet_v2_1.0_224").dim
        1280
    """
    wanted = name.strip().lower()
    names = [entry.name for entry in registry()]
    for entry in registry():
        if wanted in (entry.name, entry.file_name.lower(), entry.file_name.lower().removesuffix(".tflite")):
            return entry
    near = difflib.get_close_matches(wanted, names, 1, 0.5)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(f"no public backbone is called {name!r}. {hint}There are: {', '.join(names)}.")


def _from_json(raw: object) -> PublicBackbone:
    fields = _fields(raw, PublicBackbone, "each backbone")
    if fields["input"] is not None:
        try:
            fields["input"] = InputSpec(**_fields(fields["input"], InputSpec, "input"))
        except BundleError as error:
            raise ExportError(f"the list of public backbones is damaged: {error} Install edge-imprint again.") from None
    fields["measured"] = Measured(**_fields(fields["measured"], Measured, "measured"))
    return PublicBackbone(**fields)


def _fields(raw: object, cls: type[Any], where: str) -> dict[str, Any]:
    wanted = sorted(field.name for field in dataclasses.fields(cls))
    if not isinstance(raw, dict) or sorted(raw) != wanted:
        _refuse(where, "an object with exactly " + ", ".join(wanted), sorted(raw) if isinstance(raw, dict) else raw)
    return dict(raw)


def _refuse(field: str, rule: str, value: object) -> NoReturn:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    raise ExportError(
        f"the list of public backbones is damaged: {field} must be {rule}; got {shown}. Install edge-imprint again."
    )


def _check_pattern(field: str, value: object, pattern: re.Pattern[str], rule: str) -> None:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        _refuse(field, rule, value)


def _check_text(field: str, value: object, longest: int = 300) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        _refuse(field, f"one line of 1 to {longest} characters", value)


def _check_url(field: str, value: object) -> None:
    if not isinstance(value, str) or not value.isascii() or urlsplit(value).scheme != "https":
        _refuse(field, "an https address", value)


def _check_int(field: str, value: object, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        _refuse(field, f"an integer from 1 to {high}", value)


def _check_number(field: str, value: object, high: float) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if value is not None and not (fits and 0 <= value <= high):  # type: ignore[operator]
        _refuse(field, f"null or a number from 0 to {high:g}", value)
