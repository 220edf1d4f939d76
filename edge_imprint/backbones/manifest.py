"""What a bundle says about itself: how pictures become numbers, which files there are, and which hash each
must have.

A bundle is a folder with a `manifest.json` and the files it names, side by side:

    {"schema": 1, "name": ..., "licence": ..., "description": ..., "dim": 256,
     "input": {"height": 64, "width": 64, "colour": "rgb", "resize": "squash", "resize_side": null,
               "interpolation": "bilinear", "mean": [127.5, 127.5, 127.5], "scale": [0.00784, 0.00784,
               0.00784]},
     "files": [{"name": "backbone.onnx", "format": "onnx", "precision": "float32", "sha256": ...,
     "size_bytes": ...,
                "layout": "nchw", "dtype": "float32", "embedding": "embedding",
                "input_quantisation": null, "output_quantisation": null}],
     "base_statistics": {"file": "base_statistics.npz", "sha256": ...}}

`input` is null for a network that takes no pictures (sound, motion): its tensors are made elsewhere.
`layout`, `dtype` and quantisation belong to a file, not to the bundle: the ONNX and the TFLite file of one
network differ in them. Every value is checked when an object is made, from JSON or from Python alike.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_imprint.backbones.digest import sha256_hex
from edge_imprint.backbones.spec import (
    FileSpec,
    InputSpec,
    Quantisation,
    StatisticsSpec,
    check_int,
    check_text,
    refuse,
)
from edge_imprint.errors import BundleError

SCHEMA = 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_DIM = 65536


@dataclass(frozen=True)
class Manifest:
    """A bundle's description; see the module's text for its JSON form.

    Attributes:
        name: 1 to 300 characters.
        licence: of the weights, an SPDX name where there is one.
        description: one line for people.
        dim: width of the embedding.
        input: what happens to a picture; None for a network that takes no pictures.
        files: at least one, names unique.
        base_statistics: optional.
    """

    name: str
    licence: str
    description: str
    dim: int
    input: InputSpec | None
    files: tuple[FileSpec, ...]
    base_statistics: StatisticsSpec | None = None

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_text("licence", self.licence)
        check_text("description", self.description, 2000)
        check_int("dim", self.dim, 1, MAX_DIM)
        if self.input is not None and not isinstance(self.input, InputSpec):
            refuse("input", "an InputSpec, or None for a network that takes no pictures", self.input)
        object.__setattr__(self, "files", tuple(self.files))
        if not self.files or not all(isinstance(file, FileSpec) for file in self.files):
            refuse("files", "a list with at least one file", self.files)
        names = [file.name for file in self.files] + ([self.base_statistics.file] if self.base_statistics else [])
        if len(set(names)) < len(names) or MANIFEST_NAME in names:
            refuse("files", f"named differently from each other and from {MANIFEST_NAME}", names)

    def to_json(self) -> str:
        """Write the text of a `manifest.json`."""
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read the text of a `manifest.json`.

        Raises:
            BundleError: not JSON, another schema, or a key that is missing, unknown or out of its range.

        Example:
            >>> Manifest.from_json('{"schema": 1}')
            Traceback (most recent call last):
            ...
            edge_imprint.errors.BundleError: the manifest must have exactly the keys ...
        """
        try:
            raw = json.loads(text, parse_constant=lambda word: refuse("a number", "finite", word))
        except (ValueError, RecursionError) as error:
            raise BundleError(f"a manifest must be JSON; {error}. Export the bundle again.") from None
        schema = raw.pop("schema", None) if isinstance(raw, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise BundleError(f"this version reads manifests up to schema {SCHEMA}; got {schema}. Update edge-imprint.")
        if isinstance(schema, bool) or schema != SCHEMA:
            refuse("schema", str(SCHEMA), schema)
        fields = _fields(raw, cls, "the manifest")
        if fields["input"] is not None:
            fields["input"] = InputSpec(**_fields(fields["input"], InputSpec, "input"))
        if not isinstance(fields["files"], list):
            refuse("files", "a list with at least one file", fields["files"])
        fields["files"] = tuple(_file_from_json(entry) for entry in fields["files"])
        if fields["base_statistics"] is not None:
            stored = _fields(fields["base_statistics"], StatisticsSpec, "base_statistics")
            fields["base_statistics"] = StatisticsSpec(**stored)
        return cls(**fields)

    def digest(self, file: FileSpec) -> str:
        """Identify the embedding function of this bundle when `file` is the one that runs.

        SHA-256 over what decides the numbers and nothing else: preprocessing, tensor, quantisation, dim and
        the file's own hash. A bundle renamed or described anew keeps its digest; its float32 and int8 files
        have different ones.

        Returns:
            64 lower-case hex digits.
        """
        what = dataclasses.asdict(file)
        for ignored in ("name", "size_bytes", "precision"):
            del what[ignored]
        what["dim"] = self.dim
        what["input"] = None if self.input is None else dataclasses.asdict(self.input)
        return sha256_hex(json.dumps(what, sort_keys=True, separators=(",", ":")).encode())


def _fields(raw: object, cls: type[Any], where: str) -> dict[str, Any]:
    """`raw` as the keyword arguments of a dataclass: exactly its fields, no more and no fewer."""
    wanted = {field.name for field in dataclasses.fields(cls)}
    if not isinstance(raw, dict):
        refuse(where, "a JSON object with " + ", ".join(sorted(wanted)), raw)
    if set(raw) != wanted:
        missing, unknown = sorted(wanted - set(raw)), sorted(set(raw) - wanted)
        raise BundleError(
            f"{where} must have exactly the keys {', '.join(sorted(wanted))}; missing: "
            f"{', '.join(missing) or 'none'}; unknown: {', '.join(unknown)[:80] or 'none'}. Correct the "
            "manifest or export the bundle again."
        )
    return dict(raw)


def _file_from_json(raw: object) -> FileSpec:
    fields = _fields(raw, FileSpec, "each entry of files")
    for name in ("input_quantisation", "output_quantisation"):
        if fields[name] is not None:
            fields[name] = Quantisation(**_fields(fields[name], Quantisation, f"files[].{name}"))
    return FileSpec(**fields)


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json` of a bundle folder.

    Raises:
        BundleError: missing, unreadable, longer than 1 MiB, or wrong inside; the message starts with the
            file's path.
    """
    path = folder / MANIFEST_NAME
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BundleError(
            f"a bundle is a folder with a {MANIFEST_NAME}; {path}: {reason}. "
            "Name a bundle folder, a .onnx or a .tflite file, or 'default'."
        ) from None
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"a manifest has at most {MAX_MANIFEST_BYTES} bytes; {path} has more. Export the bundle again."
        )
    try:
        return Manifest.from_json(content.decode("utf-8"))
    except (BundleError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}") from None
