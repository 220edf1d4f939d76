"""A network that takes no pictures: its bundle embeds tensors, and says so to everybody who comes with a picture."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_imprint import Learner
from edge_imprint.backbones import Manifest, file_spec, load_backbone, raw, write_bundle
from edge_imprint.backbones.embedding import find_embedding
from edge_imprint.backbones.flatbuffer import cut, read_graph
from edge_imprint.cli import main
from edge_imprint.errors import BundleError, ShapeError
from edge_imprint.head import ImprintHead

PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def keyword_bundle(shared_data: Path, tmp_path: Path) -> Path:
    """The keyword spotter of MLPerf Tiny: spectrograms (49, 10, 1) in int8, embeddings of 64."""
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install edge-imprint[tflite]")
    path = shared_data / "backbones" / "kws_ref_model.tflite"
    graph = read_graph(path.read_bytes())
    tensor = find_embedding(graph, path.name)
    content = cut(path.read_bytes(), graph, tensor)
    manifest = raw.derive_tflite(path, content, graph, tensor, None, pictures=False)
    write_bundle(tmp_path / "keywords", manifest, {manifest.files[0].name: content})
    return tmp_path / "keywords"


def test_its_tensors_are_embedded(keyword_bundle: Path) -> None:
    backbone = load_backbone(keyword_bundle)
    assert backbone.manifest.input is None
    assert backbone.info()["input_size"] is None
    sounds = np.random.default_rng(0).integers(-128, 128, (6, 49, 10, 1)).astype(np.int8)
    embeddings = backbone.infer(sounds)
    assert embeddings.shape == (6, 64)
    assert np.array_equal(backbone.infer(sounds[2:3])[0], embeddings[2])
    head = ImprintHead(dim=backbone.dim, budget="16KB")
    head.partial_fit(embeddings, ["yes", "no"] * 3)
    assert head.predict(embeddings[:2]).tolist() == ["yes", "no"]
    with pytest.raises(ShapeError, match=r"Use tensor\[None\]"):
        backbone.infer(sounds[0, 0, 0])
    for wrong in (sounds.astype(np.float32), sounds[:, :48]):
        with pytest.raises(BundleError, match="failed on a tensor"):
            backbone.infer(wrong)


def test_a_picture_is_refused_everywhere(
    keyword_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = load_backbone(keyword_bundle)
    for take in (backbone.prepare, backbone.embed):
        with pytest.raises(BundleError, match=r"kws_ref_model takes no pictures.*tensors of int8"):
            take([PICTURE])
    for source in (keyword_bundle, backbone):
        with pytest.raises(BundleError, match="a learner takes pictures; backbone kws_ref_model takes none"):
            Learner(source)
    (tmp_path / "p.png").write_bytes(b"")
    arguments = ["learn", "mug", str(tmp_path / "p.png"), "--state", str(tmp_path / "s.eimp")]
    assert main([*arguments, "--backbone", str(keyword_bundle)]) == 2
    assert "a learner takes pictures" in capsys.readouterr().err
    assert not (tmp_path / "s.eimp").exists()
    assert main(["info", str(keyword_bundle)]) == 0
    assert "takes no pictures" in capsys.readouterr().out


def test_a_wrong_dtype_is_noticed_all_the_same(keyword_bundle: Path, tmp_path: Path) -> None:
    manifest = load_backbone(keyword_bundle).manifest
    file = dataclasses.replace(manifest.files[0], dtype="uint8")
    contents = {file.name: (keyword_bundle / file.name).read_bytes()}
    write_bundle(tmp_path / "wrong", dataclasses.replace(manifest, files=(file,)), contents)
    with pytest.raises(BundleError, match=r"described for it, uint8 of any shape; it takes int8 \(1, 49, 10, 1\)"):
        load_backbone(tmp_path / "wrong")


def test_an_onnx_network_of_any_rank(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install edge-imprint[test]")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install edge-imprint[onnx]")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["motion"], ["embedding"], axes=[1], keepdims=0)],
        "motion",
        [helper.make_tensor_value_info("motion", kind, [1, 20, 6])],
        [helper.make_tensor_value_info("embedding", kind, [1, 6])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content = bytes(model.SerializeToString())
    file = file_spec(
        "b.onnx", content, format="onnx", precision="float32", layout="nhwc", dtype="float32", embedding="embedding"
    )
    manifest = Manifest("motion", "CC0-1.0", "means of an accelerometer", 6, None, (file,))
    write_bundle(tmp_path / "motion", manifest, {"b.onnx": content})
    moves = np.random.default_rng(0).normal(size=(3, 20, 6)).astype(np.float32)
    assert np.allclose(load_backbone(tmp_path / "motion").infer(moves), moves.mean(axis=1), atol=1e-6)
    (tmp_path / "motion.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"takes \(1, 20, 6\), so it takes no pictures"):
        load_backbone(tmp_path / "motion.onnx")
