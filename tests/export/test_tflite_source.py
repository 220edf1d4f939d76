"""A .tflite file as a source: cut, described, and opened again as the bundle's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_imprint.backbones import InputSpec, Manifest, load_backbone, raw, write_bundle
from edge_imprint.backbones.flatbuffer import read_graph
from edge_imprint.errors import BundleError, ExportError

pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT: pip install 'edge-imprint[export]'")
from flatmodel import Net, classifier

from edge_imprint_export.sources.tflite_file import open_tflite

PICTURES = [np.random.default_rng(seed).integers(0, 256, (60, 80, 3)).astype(np.uint8) for seed in range(3)]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "dim", "side"),
    [
        ("mobilenet_v1_0.25_128_quant", 256, 128),
        ("mobilenet_v1_1.0_224_quant_embedding_extractor", 1024, 224),
        ("tf2_mobilenet_v2_1.0_224_ptq", 1280, 224),
        ("pretrainedResnet_quant", 64, 32),
        ("vww_96_int8", 256, 96),
    ],
)
def test_a_source_embeds_as_the_whole_file_does(
    shared_data: Path, tmp_path: Path, name: str, dim: int, side: int
) -> None:
    path = shared_data / "backbones" / f"{name}.tflite"
    source = open_tflite(path)
    assert (source.name, source.dim, source.precision) == (name, dim, "int8")
    assert source.licence == "unknown"
    assert source.input is not None
    assert (source.input.height, source.input.width) == (side, side)
    assert source.original == path.read_bytes()
    assert source.embedding in source.candidates
    assert source.notes[0].startswith(f"Cut at {source.embedding!r}: ")
    graph = read_graph(source.content)
    manifest = raw.derive_tflite(Path("b.tflite"), source.content, graph, graph.tensors[graph.outputs[0]], source.input)
    write_bundle(tmp_path / "bundle", manifest, {"b.tflite": source.content})
    bundle, whole = load_backbone(tmp_path / "bundle"), load_backbone(path)
    assert bundle.manifest.input == whole.manifest.input
    assert np.array_equal(bundle.embed(PICTURES), whole.embed(PICTURES))


def test_an_embedding_and_an_input_rule_of_ones_own(shared_data: Path) -> None:
    path = shared_data / "backbones" / "vww_96_int8.tflite"
    rule = InputSpec(96, 96, colour="bgr")
    source = open_tflite(str(path), "model/flatten/Reshape", rule)
    assert source.input == rule
    assert source.embedding == "model/flatten/Reshape"
    with pytest.raises(ExportError, match=r"must be those of the input of .*got 96 x 95"):
        open_tflite(path, None, InputSpec(96, 95))


def test_a_network_that_takes_no_pictures(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "backbones" / "kws_ref_model.tflite"
    source = open_tflite(path)
    assert source.input is None
    assert source.dim == 64
    assert any("no colour picture" in note for note in source.notes)
    with pytest.raises(ExportError, match=r"takes int8 \(1, 49, 10, 1\). Leave the rule out"):
        open_tflite(path, None, InputSpec(49, 10))
    graph = read_graph(source.content)
    output = graph.tensors[graph.outputs[0]]
    manifest = raw.derive_tflite(Path("b.tflite"), source.content, graph, output, None, pictures=False)
    assert manifest.input is None
    assert Manifest.from_json(manifest.to_json()) == manifest
    write_bundle(tmp_path / "bundle", manifest, {"b.tflite": source.content})
    sounds = np.random.default_rng(0).integers(-128, 128, (3, 49, 10, 1)).astype(np.int8)
    embeddings = load_backbone(tmp_path / "bundle").infer(sounds)
    assert embeddings.shape == (3, 64)
    assert np.ptp(embeddings) > 1


def test_a_float_classifier(tmp_path: Path) -> None:
    source = open_tflite(write(tmp_path / "net.tflite", classifier()))
    assert (source.name, source.dim, source.precision) == ("net", 16, "float32")
    assert source.candidates == ("pool", "logits", "scores")
    assert source.input == InputSpec(8, 8, resize="shorter_side_then_centre_crop", resize_side=8)


def test_an_untrained_network_is_noted(shared_data: Path) -> None:
    """The published MCUNetV2 holds random weights without biases: every embedding is zero, whatever it is fed."""
    source = open_tflite(shared_data / "backbones" / "mcunetv2_large.tflite")
    assert any("likely untrained" in note for note in source.notes)


def test_a_network_that_remembers_is_refused(tmp_path: Path) -> None:
    net = Net()
    x = net.input("sound", (1, 4))
    feature = net.constant("feature", np.ones((2, 4), np.float32))
    time_weights = net.constant("time", np.ones((2, 3), np.float32))
    state = net.tensor("state", (1, 6))
    net.graph.tensors[state].isVariable = True
    y = net.operator("SVDF", [x, feature, time_weights, -1, state], net.tensor("y", (1, 2)), "SVDFOptions", rank=1)
    path = write(tmp_path / "net.tflite", net.write(y))
    with pytest.raises(ExportError, match="keeps 'state' of SVDF from one input to the next"):
        open_tflite(path)


def test_files_that_are_no_sources(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is missing"):
        open_tflite(tmp_path / "gone.tflite")
    with pytest.raises(BundleError, match=r"net\.tflite"):
        open_tflite(write(tmp_path / "net.tflite", classifier()[:500]))
    net = Net()
    x = net.input("pictures", (2, 8, 8, 3))
    axes = net.constant("axes", np.array([0, 1, 2], np.int32))
    y = net.operator("MEAN", [x, axes], net.tensor("y", (1, 3)), "ReducerOptions")
    several = write(tmp_path / "several.tflite", net.write(y))
    with pytest.raises(BundleError, match=r"takes \(2, 8, 8, 3\)"):
        open_tflite(several)
