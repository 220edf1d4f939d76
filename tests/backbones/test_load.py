"""load_backbone: bundles and single ONNX files, and what is said when something is missing."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_imprint.backbones import (
    InputSpec,
    load_backbone,
    read_manifest,
    write_bundle,
)
from edge_imprint.backbones.onnx import choose_providers
from edge_imprint.errors import BundleError, ImageError, MissingRuntimeError, ValueRangeError

pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install edge-imprint[onnx]")
MakeBundle = Callable[..., Path]
MakeNetwork = Callable[..., bytes]
PICTURE = np.random.default_rng(7).integers(0, 256, (50, 70, 3)).astype(np.uint8)
OTHER = PICTURE[::-1].copy()
MIDDLE = {"resize": "shorter_side_then_centre_crop", "resize_side": 32}
UNCHANGED = {"mean": (0.0,) * 3, "scale": (1.0,) * 3}


def expected(network: bytes, spec: InputSpec) -> np.ndarray:
    """The embedding by hand: Pillow, numpy and a session of our own."""
    import onnxruntime

    middle = None if spec.resize == "squash" else (10, 0, 60, 50)
    small = Image.fromarray(PICTURE).resize((spec.width, spec.height), Image.Resampling.BILINEAR, box=middle)
    real = (np.asarray(small, np.float32) - np.float32(spec.mean)) * np.float32(spec.scale)
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": real.transpose(2, 0, 1)[None]})[0]


def test_a_bundle_gives_the_networks_own_numbers(make_bundle: MakeBundle, make_network: MakeNetwork) -> None:
    backbone = load_backbone(make_bundle(), precision="float32")
    embeddings = backbone.embed([PICTURE, OTHER])
    assert embeddings.shape == (2, backbone.dim)
    assert embeddings.dtype == np.float32
    assert np.array_equal(embeddings[:1], expected(make_network(0), InputSpec(32, 32)))
    assert backbone.embed([]).shape == (0, backbone.dim)
    info = json.loads(json.dumps(backbone.info()))
    assert info["name"] == "tiny"
    assert info["licence"] == "Apache-2.0"
    assert info["input_size"] == [32, 32]
    assert info["files"][info["file"]] == info["size_bytes"]
    assert info["runtime"] == "onnxruntime cpu"
    assert info["digest"] == backbone.digest
    assert backbone.digest[:12] in repr(backbone)


def test_an_embedding_does_not_depend_on_its_neighbours_or_on_how_the_picture_is_given(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    backbone = load_backbone(make_bundle())
    alone = backbone.embed([PICTURE])[0]
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "PNG")
    path = tmp_path / "p.png"
    path.write_bytes(stream.getvalue())
    together = backbone.embed([OTHER, PICTURE, path, str(path), stream.getvalue(), Image.open(path)])
    assert all(np.array_equal(row, alone) for row in together[1:])
    stacked = backbone.embed(np.stack([OTHER, PICTURE]))  # (n, H, W, 3) is a sequence of pictures
    assert np.array_equal(stacked, together[:2])
    assert np.array_equal(backbone.infer(backbone.prepare([OTHER, PICTURE])), together[:2])


def test_float32_and_int8_are_two_functions(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    single, small, auto = (load_backbone(folder, precision=p) for p in ("float32", "int8", "auto"))
    assert single.digest != small.digest
    assert auto.digest == small.digest
    assert auto.options == {"runtime": "onnx", "precision": "int8"}
    assert load_backbone(make_bundle("renamed", title="other"), precision="int8").digest == small.digest
    assert load_backbone(make_bundle("retrained", seed=1), precision="int8").digest != small.digest


@pytest.mark.parametrize("thing", ["a.jpg", b"bytes", PICTURE, Image.fromarray(PICTURE), Path("a.jpg"), None, 3])
def test_a_single_picture_is_told_to_be_a_list(make_bundle: MakeBundle, thing: object) -> None:
    with pytest.raises(ImageError, match=r"Use embed\(\[picture\]\)"):
        load_backbone(make_bundle()).embed(thing)  # type: ignore[arg-type]


def test_a_bad_picture_among_several_is_named(make_bundle: MakeBundle) -> None:
    backbone = load_backbone(make_bundle())
    with pytest.raises(ImageError, match=r"picture 2 of 3: .*uint8"):
        backbone.embed([PICTURE, PICTURE / 255, PICTURE])
    with pytest.raises(ImageError, match=r"^a picture must be a readable file; gone\.jpg"):
        backbone.embed([PICTURE, "gone.jpg"])


def test_a_bundle_whose_manifest_does_not_fit_its_file(make_bundle: MakeBundle, tmp_path: Path) -> None:
    source = make_bundle(statistics=False)
    manifest = read_manifest(source)
    contents = {file.name: (source / file.name).read_bytes() for file in manifest.files}

    def rewritten(number: int, **changes: object) -> Path:
        file_changes = {k: v for k, v in changes.items() if k in ("layout", "dtype", "embedding")}
        rest = {k: v for k, v in changes.items() if k not in file_changes}
        files = tuple(dataclasses.replace(file, **file_changes) for file in manifest.files)
        write_bundle(tmp_path / f"b{number}", dataclasses.replace(manifest, files=files, **rest), contents)
        return tmp_path / f"b{number}"

    for number, (changes, message) in enumerate(
        [
            ({"input": InputSpec(31, 32)}, "Correct height, width"),
            ({"layout": "nhwc"}, "Correct height, width"),
            ({"dtype": "uint8"}, "Correct height, width"),
            ({"embedding": "nothing"}, "one of: 'embedding'"),
        ]
    ):
        with pytest.raises(BundleError, match=message):
            load_backbone(rewritten(number, **changes))
    wrong = load_backbone(rewritten(9, dim=17))
    with pytest.raises(BundleError, match="must give 17 numbers"):
        wrong.embed([PICTURE])
    with pytest.raises(BundleError, match="it has onnx float32, onnx int8"):
        load_backbone(source, runtime="tflite")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_single_onnx_gets_imagenet_preprocessing(make_network: MakeNetwork, tmp_path: Path) -> None:
    network = make_network(3)
    path = write(tmp_path / "strange näme (1).onnx", network)
    backbone = load_backbone(path)
    spec = InputSpec(32, 32, **MIDDLE, mean=(123.675, 116.28, 103.53), scale=(1 / 58.395, 1 / 57.12, 1 / 57.375))
    assert backbone.dim == 16
    assert np.array_equal(backbone.embed([PICTURE]), expected(network, spec))
    plain = InputSpec(32, 32)
    override = load_backbone(path, preprocessing=plain)
    assert np.array_equal(override.embed([PICTURE]), expected(network, plain))
    assert override.digest != backbone.digest
    assert load_backbone(write(tmp_path / "copy.onnx", network)).digest == backbone.digest


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("pooled", [True, False])
def test_every_kind_of_onnx_input_and_output(
    make_network: MakeNetwork, tmp_path: Path, layout: str, dtype: str, pooled: bool
) -> None:
    """All of them are one network fed the same real values, so all must agree with the plain one.

    With "nhwc" the test network turns its axes inside, so that a map that is not pooled is nchw all the same.
    """
    shift = 128.0 if dtype == "int8" else 0.0
    plain = load_backbone(
        write(tmp_path / "plain.onnx", make_network(4)),
        preprocessing=InputSpec(32, 32, **MIDDLE, mean=(shift,) * 3, scale=(1.0,) * 3),
    )
    network = make_network(4, layout=layout, dtype=dtype, pooled=pooled, batch="n")
    spec = InputSpec(32, 32, **MIDDLE, **UNCHANGED) if dtype == "float32" else None
    backbone = load_backbone(write(tmp_path / "other.onnx", network), preprocessing=spec)
    reference = plain.embed([PICTURE, OTHER])
    # Sums of about a hundred products of a few hundred each, in another order: 1e-5 of the largest.
    assert np.abs(backbone.embed([PICTURE, OTHER]) - reference).max() < 1e-5 * np.abs(reference).max()


def test_open_picture_size_and_several_outputs(make_network: MakeNetwork, tmp_path: Path) -> None:
    path = write(tmp_path / "open.onnx", make_network(side="s"))
    with pytest.raises(BundleError, match=r"preprocessing=InputSpec.*--size"):
        load_backbone(path)
    assert load_backbone(path, preprocessing=InputSpec(48, 40)).embed([PICTURE]).shape == (1, 16)
    path = write(tmp_path / "two.onnx", make_network(second_output=True))
    with pytest.raises(BundleError, match=r"none was named.*'embedding', 'relu'"):
        load_backbone(path)
    with pytest.raises(BundleError, match="got 'x'"):
        load_backbone(path, embedding="x")
    pooled, mapped = load_backbone(path, embedding="embedding"), load_backbone(path, embedding="relu")
    assert np.allclose(pooled.embed([PICTURE]), mapped.embed([PICTURE]), atol=1e-6)
    assert pooled.digest != mapped.digest
    assert pooled.options == {"embedding": "embedding"}


def test_files_that_are_no_backbones(make_network: MakeNetwork, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="takes no pictures"):
        load_backbone(write(tmp_path / "grey.onnx", make_network(channels=1)))
    with pytest.raises(BundleError, match="takes no pictures"):
        load_backbone(write(tmp_path / "four.onnx", make_network(batch=4)))
    network = make_network()
    for content in (network[: len(network) // 2], b"not onnx", network[:-1]):
        with pytest.raises(BundleError, match=r"broken\.onnx"):
            load_backbone(write(tmp_path / "broken.onnx", content))
    with pytest.raises(BundleError, match="has 0"):
        load_backbone(write(tmp_path / "empty.tflite", b""))
    with pytest.raises(BundleError, match="whole flatbuffer"):
        load_backbone(write(tmp_path / "broken.tflite", b"\x08\0\0\0TFL3 and no more"))
    with pytest.raises(BundleError, match="has another ending"):
        load_backbone(write(tmp_path / "weights.pt", b"x"))
    with pytest.raises(BundleError, match="does not exist"):
        load_backbone(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"nowhere\.onnx is missing"):
        load_backbone(tmp_path / "nowhere.onnx")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_backbone(tmp_path)
    for wrong in (None, 3, "nul\0byte", "", "x" * 5000):
        with pytest.raises(BundleError):
            load_backbone(wrong)  # type: ignore[arg-type]


def test_arguments_outside_their_choices(make_bundle: MakeBundle, make_network: MakeNetwork, tmp_path: Path) -> None:
    folder = make_bundle()
    path = write(tmp_path / "a.onnx", make_network())
    for source, keywords, message in [
        (folder, {"runtime": "torch"}, "'onnx', 'tflite'; got 'torch'"),
        (folder, {"precision": "int4"}, "'float32', 'int8'; got 'int4'"),
        (folder, {"threads": 0}, "threads must be 1 to 256; got 0"),
        (folder, {"threads": True}, "threads must be 1 to 256"),
        (folder, {"embedding": "x"}, "for single files"),
        (path, {"runtime": "tflite"}, "runs on runtime='onnx'"),
        (path, {"precision": "int8"}, "is float32; got 'int8'"),
        (path, {"providers": "warp drive"}, "got 'warp drive'. Use one of: .*cpu"),
        (path, {"providers": []}, "at least one"),
    ]:
        with pytest.raises(ValueRangeError, match=message):
            load_backbone(source, **keywords)
    threaded = load_backbone(path, threads=2, providers=["CPU"])
    assert np.allclose(threaded.embed([PICTURE]), load_backbone(path, threads=1).embed([PICTURE]), rtol=1e-5)


def test_providers_by_short_or_full_name() -> None:
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert choose_providers(None, available) == ["CPUExecutionProvider"]
    assert choose_providers(["tensorrt", "CudaExecutionProvider"], available) == available[:2]
    with pytest.raises(ValueRangeError, match="tensorrt, cuda, cpu"):
        choose_providers("dml", available)


def test_execution_providers_by_environment(monkeypatch):
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setenv("EDGE_IMPRINT_PROVIDERS", "tensorrt, cuda,")
    assert choose_providers(None, available) == available[:2]
    assert choose_providers("cpu", available) == available[2:]  # what a program names itself comes first
    monkeypatch.setenv("EDGE_IMPRINT_PROVIDERS", "")
    assert choose_providers(None, available) == available[2:]
    monkeypatch.setenv("EDGE_IMPRINT_PROVIDERS", "cuda")
    with pytest.raises(ValueRangeError, match=r"'cuda'.*cpu, in providers= or EDGE_IMPRINT_PROVIDERS"):
        load_backbone()


def test_a_network_that_gives_nan_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install edge-imprint[test]")
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Log", ["image"], ["log"]),
            helper.make_node("GlobalAveragePool", ["log"], ["embedding"]),
        ],
        "nan",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 3, 1, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    backbone = load_backbone(write(tmp_path / "nan.onnx", model.SerializeToString()))
    with pytest.raises(BundleError, match="must be finite"):
        backbone.embed([np.zeros((8, 8, 3), np.uint8)])


def test_numbers_whose_squares_leave_float32_are_finite_all_the_same(make_bundle: MakeBundle) -> None:
    backbone = load_backbone(make_bundle())
    picture = [np.zeros((8, 8, 3), np.uint8)]
    for number in (3e38, 1e-30, 0.0):
        backbone._runner = lambda tensor, number=number: np.full((1, backbone.dim), number, np.float32)
        assert (backbone.embed(picture) == np.float32(number)).all()
    for number in (np.inf, -np.inf, np.nan):
        output = np.ones((1, backbone.dim), np.float32)
        output[0, -1] = number
        backbone._runner = lambda tensor, output=output: output
        with pytest.raises(BundleError, match="must be finite"):
            backbone.embed(picture)


@pytest.mark.parametrize(
    ("package", "source", "extra"),
    [("onnxruntime", "bundle", "onnx"), ("ai_edge_litert", "vww_96_int8.tflite", "tflite")],
)
def test_a_missing_runtime_names_the_extra(
    make_bundle: MakeBundle, shared_data: Path, package: str, source: str, extra: str
) -> None:
    path = make_bundle() if source == "bundle" else shared_data / "backbones" / source
    code = (
        f"import sys\nfor name in ({package!r}, 'tflite_runtime', 'tensorflow'): sys.modules[name] = None\n"
        "from edge_imprint.backbones import load_backbone\n"
        "from edge_imprint.errors import MissingRuntimeError\n"
        f"try: load_backbone({str(path)!r})\n"
        "except MissingRuntimeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert f"pip install edge-imprint[{extra}]" in done.stdout
    assert done.stderr == ""
    assert issubclass(MissingRuntimeError, ImportError)


def test_importing_the_package_loads_no_runtime_and_no_pillow() -> None:
    code = (
        "import sys, edge_imprint.backbones\n"
        "print([m for m in ('PIL', 'onnxruntime', 'ai_edge_litert', 'tflite_runtime', 'tensorflow') if m in "
        "sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
