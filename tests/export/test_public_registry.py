"""The list of public backbones: what stands in it is true of the files, and what could not be is refused."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import public_registry, results
from edge_imprint.backbones.flatbuffer import read_graph
from edge_imprint.cli import backbones
from edge_imprint.errors import ExportError, UsageError
from edge_imprint_export.public.registry import PublicBackbone, find, parse, registry

TEXT = resources.files("edge_imprint_export.public").joinpath("registry.json").read_text(encoding="utf-8")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command alone, with an empty cache."""
    monkeypatch.setenv("EDGE_IMPRINT_CACHE", str(tmp_path))
    made = typer.Typer()
    made.command()(backbones.command)
    return made


def published(entry: PublicBackbone, shared_data: Path) -> bytes:
    path = shared_data / "backbones" / entry.file_name
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {path.parent}")
    return path.read_bytes()


@pytest.mark.parametrize("entry", registry(), ids=lambda entry: entry.name)
def test_what_the_list_says_is_true_of_the_file(entry: PublicBackbone, shared_data: Path) -> None:
    content = published(entry, shared_data)
    assert hashlib.sha256(content).hexdigest() == entry.sha256
    assert len(content) == entry.size_bytes
    graph = read_graph(content, entry.file_name)
    source = graph.tensors[graph.inputs[0]]
    assert source.shape == (1, *entry.shape)
    (embedding,) = [tensor for tensor in graph.tensors if tensor.name == entry.embedding]
    assert embedding.shape[-1] == entry.dim  # a row, or a map that is pooled
    assert embedding.dtype in ("int8", "uint8")
    assert entry.precision == "int8"


def test_addresses_are_pinned_to_a_commit_and_licences_are_open() -> None:
    for entry in registry():
        for url in (entry.url, entry.licence_url):
            assert re.search(r"/[0-9a-f]{40}/", url), url
        assert entry.licence in ("Apache-2.0", "MIT", "BSD-3-Clause")
    assert len([entry for entry in registry() if "google-coral/test_data" in entry.url]) == 3


def test_measured_figures_are_those_of_the_suite() -> None:
    assert public_registry.fresh(TEXT, results.load("public_backbones")) == TEXT
    for entry in registry():
        assert entry.measured.cut_bytes is not None
        assert entry.measured.cut_bytes <= entry.size_bytes
        assert (entry.measured.clothing_5_shots is not None) == entry.takes_pictures
        if entry.takes_pictures:
            assert 10 < entry.measured.clothing_5_shots < 100  # type: ignore[operator]
    assert find("mlperf_resnet8_32").measured.cifar10_5_shots is None  # it was trained on it


def test_figures_that_drifted_are_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "registry.json"
    content = json.loads(TEXT)
    content["backbones"][0]["measured"]["latency_ms"] = 99.0
    path.write_text(json.dumps(content), encoding="utf-8")
    assert public_registry.main(["--check"], path) == 2
    assert "python -m benchmarks.public_registry" in capsys.readouterr().err
    assert public_registry.main([], path) == 0
    assert path.read_text(encoding="utf-8") == TEXT
    assert public_registry.main(["--check"], path) == 0
    assert public_registry.main([], path, tmp_path) == 2  # no result there
    assert path.read_text(encoding="utf-8") == TEXT


def test_names_are_found_and_near_misses_are_told() -> None:
    for entry in registry():
        assert find(entry.name) is entry
        assert find(entry.name.upper()) is entry
        assert find(entry.file_name) is entry
        assert find(entry.file_name.removesuffix(".tflite")) is entry
    with pytest.raises(UsageError, match=r"'mobilenet_v2'. Did you mean mobilenet_v2_1\.0_224\? There are: ") as caught:
        find("mobilenet_v2")
    assert all(entry.name in str(caught.value) for entry in registry())
    for stranger in ("", "zzz", "../../etc/passwd", "\x00"):
        with pytest.raises(UsageError, match=r"no public backbone is called .*\. There are: mobilenet"):
            find(stranger)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "Upper", "name must be"),
        ("name", "../up", "name must be"),
        ("title", "", "title must be one line"),
        ("description", "two\nlines", "description must be one line"),
        ("licence", "see website", "licence must be an SPDX name"),
        ("licence_url", "http://example.org/", "licence_url must be an https address"),
        ("url", "ftp://example.org/x.tflite", "url must be an https address"),
        ("url", "https://example.org/x.onnx", "url must be an address that ends in the name of a"),
        ("url", "https://example.org/", "url must be an address that ends in the name of a"),
        ("sha256", "A" * 64, "sha256 must be 64 lower-case"),
        ("size_bytes", 0, "size_bytes must be an integer"),
        ("size_bytes", True, "size_bytes must be an integer"),
        ("size_bytes", 1 << 40, "size_bytes must be an integer"),
        ("shape", [128, 128], "shape must be height, width and channels"),
        ("shape", [128, 128, 3.0], "shape must be an integer"),
        ("input", {}, "input must be an object with exactly"),
        ("input", [], "input must be an object with exactly"),
        ("embedding", "", "embedding must be one line"),
        ("dim", 0, "dim must be an integer"),
        ("precision", "int4", "precision must be int8 or float32"),
        ("measured", None, "measured must be an object with exactly"),
    ],
)
def test_a_wrong_field_is_refused_by_name(field: str, value: object, message: str) -> None:
    content = json.loads(TEXT)
    content["backbones"][0][field] = value
    with pytest.raises(ExportError, match=f"the list of public backbones is damaged: {message}.*; got "):
        parse(json.dumps(content))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("date", "yesterday"), ("machine", ""), ("clothing_5_shots", 101), ("clothing_5_shots", "40"),
        ("cifar10_5_shots", -1), ("cifar10_5_shots", True), ("cut_bytes", 0), ("cut_bytes", 1.5),
        ("latency_ms", float("inf")),
    ],
)  # fmt: skip
def test_a_wrong_figure_is_refused_by_name(field: str, value: object) -> None:
    content = json.loads(TEXT)
    content["backbones"][0]["measured"][field] = value
    with pytest.raises(ExportError, match=rf"measured\.{field} must be"):
        parse(json.dumps(content))


def test_a_list_that_is_not_one_is_refused() -> None:
    whole = json.loads(TEXT)
    twice = copy.deepcopy(whole)
    twice["backbones"].append(twice["backbones"][0])
    extra = copy.deepcopy(whole)
    extra["backbones"][0]["surprise"] = 1
    wrong: list[Any] = [[], {}, {"schema": 2, "backbones": []}, {"schema": 1, "backbones": {}}, twice, extra]
    for text in ("", "{", "[" * 100_000, *map(json.dumps, wrong), json.dumps({"schema": 1, "backbones": [1]})):
        with pytest.raises(ExportError, match="the list of public backbones is damaged"):
            parse(text)


def test_an_input_rule_of_its_own_must_fit_the_shape() -> None:
    from edge_imprint.backbones import InputSpec

    entry = registry()[0]
    rule = InputSpec(height=128, width=128)
    content = json.loads(TEXT)
    content["backbones"][0]["input"] = dataclasses.asdict(rule)
    assert parse(json.dumps(content))[0].input == rule
    with pytest.raises(ExportError, match=r"input must be null or an InputSpec of \(128, 128, 3\)"):
        dataclasses.replace(entry, input=InputSpec(height=96, width=96))
    content["backbones"][0]["input"]["colour"] = "green"
    with pytest.raises(ExportError, match=r"damaged: input\.colour must be"):
        parse(json.dumps(content))


def test_the_command_lists_every_backbone(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, [], catch_exceptions=False)
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "backbone", "licence", "dim", "input", "size", "clothing", "CIFAR-10", "latency", "cached"
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1 : 1 + len(registry())]] == [entry.name for entry in registry()]
    assert "edge-imprint export public:mobilenet_v1_0.25_128 --out bundle" in done.stdout
    document = json.loads(CliRunner().invoke(app, ["--json"], catch_exceptions=False).stdout)
    assert [entry["name"] for entry in document["backbones"]] == [entry.name for entry in registry()]
    assert {entry["cached"] for entry in document["backbones"]} == {False}


def test_the_command_says_everything_about_one(app: typer.Typer, tmp_path: Path, shared_data: Path) -> None:
    from edge_imprint_export.public.download import fetch

    entry = find("mlperf_kws")
    text = CliRunner().invoke(app, ["public:mlperf_kws"], catch_exceptions=False).stdout
    for fact in (entry.sha256, entry.url, entry.licence_url, "49 x 10 x 1, no picture", "clothing -"):
        assert fact in text
    published(entry, shared_data)
    path = fetch(entry, from_file=shared_data / "backbones" / entry.file_name)
    assert path.is_relative_to(tmp_path)
    document = json.loads(CliRunner().invoke(app, [entry.name, "--json"], catch_exceptions=False).stdout)
    assert document["cached"] is True
    assert document["path"] == str(path)
    path.write_bytes(b"damaged")
    assert json.loads(CliRunner().invoke(app, [entry.name, "--json"]).stdout)["cached"] is False


def test_the_command_as_its_user_runs_it_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom edge_imprint.cli import main\ncode = main(['backbones', '--json'])\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'ai_edge_litert', 'litert_torch', 'transformers', 'flatbuffers'}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == "0 []\n"
    assert len(json.loads(done.stdout)["backbones"]) == len(registry())
    command = [sys.executable, "-m", "edge_imprint.cli", "backbones", "mobilenet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: no public backbone is called 'mobilenet'. Did you mean mobilenet_v")


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25_128", "mlperf_kws"])
def test_a_public_backbone_opens_as_a_source_that_is_cut(
    name: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install 'edge-imprint[export]'")
    from edge_imprint_export.sources.public import open_public

    monkeypatch.setenv("EDGE_IMPRINT_CACHE", str(tmp_path))
    entry = find(name)
    content = published(entry, shared_data)
    source = open_public(name, from_file=shared_data / "backbones" / entry.file_name)
    again = open_public(name)  # from the cache, without a network
    for opened in (source, again):
        assert (opened.name, opened.licence, opened.dim) == (entry.name, "Apache-2.0", entry.dim)
        assert opened.original == content
        assert opened.content == source.content
        assert len(opened.content) == entry.measured.cut_bytes
        assert (opened.input is not None) == entry.takes_pictures
        assert entry.title in opened.description
        assert str(tmp_path) not in repr((opened.notes, opened.description))
