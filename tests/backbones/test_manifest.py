"""Manifest: strict about every key, and a digest that follows the numbers and nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from edge_imprint.backbones import FileSpec, InputSpec, Manifest, Quantisation, StatisticsSpec, read_manifest
from edge_imprint.errors import BundleError

SHA = "0123456789abcdef" * 4
FILE = FileSpec("b.tflite", "tflite", "int8", SHA, 10, "nhwc", "int8", "pool", Quantisation(0.5, -128), None)
CROP = InputSpec(96, 96, resize="shorter_side_then_centre_crop", resize_side=110)
MANIFEST = Manifest("näme", "CC0-1.0", "what it is", 64, CROP, (FILE,), StatisticsSpec("s.npz", SHA))


def test_json_round_trip() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST
    plain = dataclasses.replace(MANIFEST, base_statistics=None, input=InputSpec(1, 4096, colour="bgr"))
    assert Manifest.from_json(plain.to_json()) == plain
    sound = dataclasses.replace(MANIFEST, input=None)
    assert Manifest.from_json(sound.to_json()) == sound
    assert json.loads(sound.to_json())["input"] is None


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("name",), "", "name must be a text"),
        (("name",), None, "name must be a text"),
        (("licence",), 3, "licence must be a text"),
        (("dim",), 0, "dim must be an integer from 1"),
        (("dim",), True, "dim must be an integer from 1"),
        (("dim",), 64.0, "dim must be an integer from 1"),
        (("input",), [], "input must be a JSON object"),
        (("input", "height"), 0, r"input\.height must be an integer from 1 to 4096; got 0"),
        (("input", "width"), 4097, r"input\.width"),
        (("input", "colour"), "grey", "one of rgb, bgr; got 'grey'"),
        (("input", "resize"), "crop", "one of squash, shorter"),
        (("input", "resize_side"), 95, "from 96"),
        (("input", "resize_side"), None, "from 96"),
        (("input", "interpolation"), "nearest", "one of bilinear"),
        (("input", "mean"), [1, 2], "three finite numbers"),
        (("input", "mean"), [1, 2, "3"], "three finite numbers"),
        (("input", "scale"), [1, 0, 1], "other than 0"),
        (("input", "scale"), 1.0, "three finite numbers"),
        (("files",), [], "at least one file"),
        (("files",), {}, "at least one file"),
        (("files", 0), "b.onnx", "each entry of files"),
        (("files", 0, "name"), "../b.onnx", "bare file name"),
        (("files", 0, "name"), "/b.onnx", "bare file name"),
        (("files", 0, "name"), "..", "bare file name"),
        (("files", 0, "name"), "a\\b.onnx", "bare file name"),
        (("files", 0, "name"), "a\x00", "bare file name"),
        (("files", 0, "name"), "manifest.json", "named differently"),
        (("files", 0, "name"), "s.npz", "named differently"),
        (("files", 0, "format"), "pt", "one of onnx, tflite"),
        (("files", 0, "precision"), "int4", "one of float32, int8"),
        (("files", 0, "sha256"), SHA.upper(), "64 lower-case hex"),
        (("files", 0, "sha256"), SHA + "0", "64 lower-case hex"),
        (("files", 0, "size_bytes"), -1, "size_bytes"),
        (("files", 0, "layout"), "chw", "one of nhwc, nchw"),
        (("files", 0, "dtype"), "float16", "one of float32, uint8, int8"),
        (("files", 0, "dtype"), "float32", "null for a float32 input"),
        (("files", 0, "embedding"), "", "files"),
        (("files", 0, "input_quantisation"), 1, "JSON object"),
        (("files", 0, "input_quantisation", "scale"), 0, "above 0"),
        (("files", 0, "input_quantisation", "scale"), "1", "above 0"),
        (("files", 0, "input_quantisation", "zero_point"), 256, "zero_point"),
        (("base_statistics", "file"), "sub/s.npz", "bare file name"),
        (("base_statistics", "sha256"), "", "64 lower-case hex"),
        (("schema",), 2, "up to schema 1; got 2"),
        (("schema",), "1", "schema must be 1"),
        (("schema",), True, "schema must be 1"),
    ],
)
def test_every_wrong_value_is_named(place: tuple[Any, ...], value: object, message: str) -> None:
    raw = json.loads(MANIFEST.to_json())
    target = raw
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    with pytest.raises(BundleError, match=message):
        Manifest.from_json(json.dumps(raw))


def test_missing_and_unknown_keys_are_named() -> None:
    raw = json.loads(MANIFEST.to_json())
    for part in (raw, raw["input"], raw["files"][0], raw["base_statistics"]):
        for key in [key for key in part if key != "schema"]:
            kept = part.pop(key)
            with pytest.raises(BundleError, match=f"missing: {key}"):
                Manifest.from_json(json.dumps(raw))
            part[key] = kept
        part["surprise"] = 1
        with pytest.raises(BundleError, match="unknown: surprise"):
            Manifest.from_json(json.dumps(raw))
        del part["surprise"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, MANIFEST.to_json().replace("127.5", "NaN", 1), "1" * 5000]
)
def test_what_is_no_manifest_at_all(text: str) -> None:
    with pytest.raises(BundleError):
        Manifest.from_json(text)


def test_digest_follows_what_changes_the_numbers_and_nothing_else() -> None:
    digest = MANIFEST.digest(FILE)
    assert len(digest) == 64
    renamed = dataclasses.replace(MANIFEST, name="other", licence="MIT", description="x", base_statistics=None)
    assert renamed.digest(dataclasses.replace(FILE, name="c.tflite")) == digest
    seen = {digest}
    for change in (
        {"sha256": SHA[::-1]},
        {"embedding": "other"},
        {"layout": "nchw"},
        {"dtype": "uint8"},
        {"input_quantisation": Quantisation(0.5, -127)},
        {"output_quantisation": Quantisation(0.5, 0)},
    ):
        seen.add(MANIFEST.digest(dataclasses.replace(FILE, **change)))
    for change in (
        {"height": 95},
        {"colour": "bgr"},
        {"resize_side": 111},
        {"mean": (0, 0, 1)},
        {"scale": (1, 1, 1)},
    ):
        changed = dataclasses.replace(MANIFEST, input=dataclasses.replace(CROP, **change))
        seen.add(changed.digest(FILE))
    seen.add(dataclasses.replace(MANIFEST, input=None).digest(FILE))
    assert len(seen) == 13
    whole = dataclasses.replace(MANIFEST, input=dataclasses.replace(CROP, mean=(127, 127, 127)))
    as_floats = dataclasses.replace(MANIFEST, input=dataclasses.replace(CROP, mean=(127.0,) * 3))
    assert whole.digest(FILE) == as_floats.digest(FILE)


def test_digest_is_the_same_in_every_version() -> None:
    """Snapshots on devices carry it: a change here orphans every one of them."""
    assert MANIFEST.digest(FILE) == "3ab90de36e8b6334d8ad2e1ae6222d198b603e10038dfb0e5b8ffe812f1b3187"


def test_reading_a_folder_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        read_manifest(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(BundleError, match=r"manifest\.json: "):
        read_manifest(tmp_path)
    path.write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(BundleError, match="at most 1048576 bytes"):
        read_manifest(tmp_path)
    path.write_text(MANIFEST.to_json(), encoding="utf-8")
    assert read_manifest(tmp_path) == MANIFEST
