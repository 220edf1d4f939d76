"""load_backbone on .tflite files, real ones: alone, in a bundle, beside an ONNX file."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_imprint.backbones import Manifest, Quantisation, file_spec, load_backbone, write_bundle
from edge_imprint.errors import BundleError

MakeNetwork = Callable[..., bytes]
PICTURE = np.random.default_rng(7).integers(0, 256, (50, 70, 3)).astype(np.uint8)
OTHER = PICTURE[::-1].copy()


@pytest.fixture
def tflite(shared_data: Path) -> Path:
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install edge-imprint[tflite]")
    return shared_data / "backbones"


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> list[bytes]:
    with zipfile.ZipFile(shared_data / "imagenet_samples_1000.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        return [archive.read(name) for name in names[:3]]


def middle(image: Image.Image, side: int) -> np.ndarray:
    """The largest square in the middle, resized."""
    edge = min(image.size)
    left, top = (image.width - edge) / 2, (image.height - edge) / 2
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + edge, top + edge)))


@pytest.mark.parametrize(
    ("name", "dim", "side", "low", "high"),
    [
        ("mobilenet_v1_0.25_128_quant", 256, 128, -1.0, 127 / 128),
        ("mobilenet_v1_1.0_224_quant_embedding_extractor", 1024, 224, -1.0, 127 / 128),
        ("tf2_mobilenet_v2_1.0_224_ptq", 1280, 224, -0.9961, 1.004),
        ("pretrainedResnet_quant", 64, 32, 0.0, 255.0),
        ("vww_96_int8", 256, 96, 0.0, 1.0),
        ("mcunetv2_large", 384, 224, 0.0, 0.9995),
    ],
)
def test_real_tflite_classifiers_become_backbones(
    tflite: Path, photographs: list[bytes], name: str, dim: int, side: int, low: float, high: float
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    backbone = load_backbone(tflite / f"{name}.tflite")
    assert backbone.dim == dim
    spec = backbone.manifest.input
    assert (spec.height, spec.width) == (side, side)
    assert (0 - spec.mean[0]) * spec.scale[0] == pytest.approx(low, abs=1e-3)
    assert (255 - spec.mean[0]) * spec.scale[0] == pytest.approx(high, abs=1e-3)
    embeddings = backbone.embed(photographs)
    # By hand: raw pixels (less 128 for int8), and the runtime's own dequantisation rule.
    stored = backbone.file.output_quantisation
    assert stored is not None
    whole = Interpreter(model_path=str(tflite / f"{name}.tflite"))
    whole.allocate_tensors()
    if whole.get_input_details()[0]["dtype"] != np.float32:
        small = np.stack([middle(Image.open(io.BytesIO(p)).convert("RGB"), side) for p in photographs])
        fed = small if backbone.file.dtype == "uint8" else (small.astype(np.int16) - 128).astype(np.int8)
        assert np.array_equal(backbone.prepare(photographs), fed)
    steps = embeddings.astype(np.float64) / stored.scale
    assert np.abs(steps - np.rint(steps)).max() < 1e-3
    if name != "mcunetv2_large":  # dead inside: see test_flatbuffer
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        assert 0.05 < float(unit[0] @ unit[1]) < 0.9999


def test_a_file_that_takes_no_pictures(tflite: Path) -> None:
    with pytest.raises(BundleError, match=r"takes \(1, 49, 10, 1\), so it takes no pictures"):
        load_backbone(tflite / "kws_ref_model.tflite")


def test_an_override_is_part_of_the_digest(tflite: Path, photographs: list[bytes]) -> None:
    path = tflite / "vww_96_int8.tflite"
    plain, other = (
        load_backbone(path),
        load_backbone(path, embedding="model/dense/MatMul;model/dense/BiasAdd"),
    )
    assert other.dim == 2
    assert other.digest != plain.digest
    assert load_backbone(path, embedding="model/flatten/Reshape").embed(photographs[:1]).tolist() == (
        plain.embed(photographs[:1]).tolist()
    )


def test_a_tflite_classifier_inside_a_bundle(tflite: Path, tmp_path: Path) -> None:
    path = tflite / "vww_96_int8.tflite"
    raw = load_backbone(path)
    file = dataclasses.replace(raw.file, name="b.tflite")
    manifest = Manifest("vww", "Apache-2.0", "visual wake words", raw.dim, raw.manifest.input, (file,))
    write_bundle(tmp_path / "b", manifest, {"b.tflite": path.read_bytes()})
    bundled = load_backbone(tmp_path / "b")
    assert bundled.digest == raw.digest
    assert np.array_equal(bundled.embed([PICTURE]), raw.embed([PICTURE]))
    wrong = dataclasses.replace(manifest, files=(dataclasses.replace(file, input_quantisation=Quantisation(1.0, 0)),))
    write_bundle(tmp_path / "w", wrong, {"b.tflite": path.read_bytes()})
    with pytest.raises(BundleError, match=r"input_quantisation of .* must be the file's own"):
        load_backbone(tmp_path / "w")


def test_onnx_and_tflite_in_one_bundle(tflite: Path, make_network: MakeNetwork, tmp_path: Path) -> None:
    """Two formats differ in layout and dtype; one manifest must be able to say so."""
    vww = load_backbone(tflite / "vww_96_int8.tflite")
    onnx_file = file_spec(
        "b.onnx",
        network := make_network(side=96),
        format="onnx",
        precision="float32",
        layout="nchw",
        dtype="float32",
        embedding="embedding",
    )
    tflite_file = dataclasses.replace(vww.file, name="b.tflite", embedding="model/dense/MatMul;model/dense/BiasAdd")
    manifest = Manifest("both", "CC0-1.0", "both", 2, vww.manifest.input, (onnx_file, tflite_file))
    contents = {"b.onnx": network, "b.tflite": (tflite / "vww_96_int8.tflite").read_bytes()}
    write_bundle(tmp_path / "b", manifest, contents)
    assert load_backbone(tmp_path / "b").file.format == "onnx"
    assert load_backbone(tmp_path / "b", runtime="tflite").embed([PICTURE]).shape == (1, 2)
    assert load_backbone(tmp_path / "b", precision="int8").file.format == "tflite"


def test_a_tflite_backbone_may_be_shared_by_threads(tflite: Path) -> None:
    backbone = load_backbone(tflite / "vww_96_int8.tflite")
    pictures = [PICTURE, OTHER, PICTURE[:, ::-1].copy()]
    alone = [backbone.embed([picture])[0] for picture in pictures]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if not np.array_equal(backbone.embed([pictures[number]])[0], alone[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_is_written_to_standard_error(tflite: Path) -> None:
    path = str(tflite / "vww_96_int8.tflite")
    code = f"from edge_imprint.backbones import load_backbone\nload_backbone({path!r})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        timeout=60,
        check=True,
        env=dict(os.environ),
    )
    assert done.stderr == b""
    assert done.stdout == b""
