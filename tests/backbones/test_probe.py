"""Which runtimes run a bundle here: those that do, those that say they do, and those that take the process down."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_imprint.backbones import Manifest, load_backbone, probe, tflite, write_bundle
from edge_imprint.errors import BundleError

# What tflite-runtime 2.14 does under numpy 2.
BROKEN = """
class Interpreter:
    def __init__(self, **keywords):
        raise SystemError("CreateWrapperFromFile returned a result with an exception set")
"""
CRASHES = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
TALKS = 'print("loading...")\nfrom ai_edge_litert.interpreter import Interpreter\n'


@pytest.fixture
def runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts modules on the path and makes them the TFLite runtimes."""

    def use(**modules: str) -> None:
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(tflite, "RUNTIMES", tuple((name, name.replace("_", "-")) for name in modules))

    return use


@pytest.fixture
def tflite_bundle(shared_data: Path, tmp_path: Path) -> Path:
    """A published int8 TFLite classifier as a bundle; its embedding is inside."""
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install edge-imprint[tflite]")
    path = shared_data / "backbones" / "vww_96_int8.tflite"
    manifest = load_backbone(path).manifest
    write_bundle(tmp_path / "vww", manifest, {manifest.files[0].name: path.read_bytes()})
    return tmp_path / "vww"


def test_every_onnx_file_runs_and_is_timed(make_bundle):
    found = probe.probe(make_bundle(), runs=3)
    assert [(one.file, one.precision) for one in found] == [
        ("backbone.onnx", "float32"),
        ("backbone.int8.onnx", "int8"),
    ]
    for one in found:
        assert (one.runtime, one.format, one.runs, one.reason) == ("onnxruntime", "onnx", True, None)
        assert one.median_ms > 0
        assert one.version == pytest.importorskip("onnxruntime").__version__
    assert probe.as_json(found)[0]["file"] == "backbone.onnx"


def test_without_timing_a_file_is_still_run(make_bundle, tmp_path):
    assert [(one.runs, one.median_ms) for one in probe.probe(make_bundle(), runs=0)] == [(True, None)] * 2


def test_a_damaged_file_is_the_reason_in_its_own_line(make_bundle):
    bundle = make_bundle()
    content = bytearray((bundle / "backbone.onnx").read_bytes())
    content[-1] ^= 1
    (bundle / "backbone.onnx").write_bytes(content)
    damaged, whole = probe.probe(bundle, runs=1)
    assert not damaged.runs
    assert "SHA-256" in damaged.reason
    assert whole.runs


def test_a_file_that_the_runtime_refuses(make_bundle, tmp_path):
    from edge_imprint.backbones import file_spec

    manifest = load_backbone(make_bundle()).manifest
    content = b"not a network"
    spec = file_spec(
        "b.onnx", content, format="onnx", precision="float32", layout="nchw", dtype="float32", embedding="e"
    )
    write_bundle(
        tmp_path / "bad", dataclasses.replace(manifest, files=(spec,), base_statistics=None), {"b.onnx": content}
    )
    (one,) = probe.probe(tmp_path / "bad")
    assert not one.runs
    assert "onnxruntime refuses" in one.reason
    assert "\n" not in one.reason


def test_no_manifest(tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json"):
        probe.probe(tmp_path)


def test_each_tflite_runtime_is_tried_apart(tflite_bundle, runtimes):
    runtimes(broken_runtime=BROKEN, crashing_runtime=CRASHES, talking_runtime=TALKS)
    broken, crashed, talks = probe.probe(tflite_bundle, runs=2)
    assert [one.runtime for one in (broken, crashed, talks)] == [
        "broken-runtime",
        "crashing-runtime",
        "talking-runtime",
    ]
    assert broken.reason.startswith("installed, but does not work: CreateWrapperFromFile")
    assert crashed.reason == "crashed (SIGILL, built for another processor?)"
    assert talks.runs
    assert talks.median_ms > 0


def test_the_runtimes_that_are_known(tflite_bundle):
    found = {one.runtime: one for one in probe.probe(tflite_bundle, runs=2)}
    assert found["ai-edge-litert"].runs
    assert {"ai-edge-litert", "tflite-runtime"} <= set(found)
    for one in found.values():
        assert one.runs == (one.reason is None) == (one.version is not None)


def test_what_is_not_installed_says_so(tflite_bundle, monkeypatch):
    monkeypatch.setattr(
        tflite, "RUNTIMES", (("no_such_runtime.interpreter", "no-such"), ("no_such.lite", "tensorflow"))
    )
    (one,) = probe.probe(tflite_bundle)  # nobody misses tensorflow
    assert (one.runtime, one.runs, one.reason) == ("no-such", False, "not installed")


def test_a_tflite_file_that_is_refused(tflite_bundle, tmp_path, runtimes):
    runtimes(refusing_runtime=BROKEN.replace("SystemError", "ValueError").replace("CreateWrapper", "Op EXOTIC; "))
    (one,) = probe.probe(tflite_bundle)
    assert one.reason.startswith("refuses the file: Op EXOTIC")


def test_a_network_that_takes_no_pictures(shared_data, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install edge-imprint[tflite]")
    from edge_imprint.backbones import Quantisation, file_spec
    from edge_imprint.backbones.embedding import find_embedding
    from edge_imprint.backbones.flatbuffer import read_graph

    path = shared_data / "backbones" / "kws_ref_model.tflite"
    if not path.is_file():
        pytest.skip(f"needs {path.name}")
    content = path.read_bytes()
    graph = read_graph(content)
    source, embedding = graph.tensors[graph.inputs[0]], find_embedding(graph, path.name)
    spec = file_spec(
        "k.tflite", content, format="tflite", precision="int8", layout="nhwc", dtype=source.dtype,
        embedding=embedding.name, input_quantisation=Quantisation(*source.quantisation),
        output_quantisation=Quantisation(*embedding.quantisation),
    )  # fmt: skip
    write_bundle(
        tmp_path / "k", Manifest("k", "MIT", "sound", max(embedding.shape), None, (spec,)), {"k.tflite": content}
    )
    found = {one.runtime: one for one in probe.probe(tmp_path / "k", runs=2)}
    assert found["ai-edge-litert"].runs, found


def test_a_learner_does_not_load_the_probe():
    program = (
        "import sys, edge_imprint\nedge_imprint.Learner(backbone='default', budget='64KB')\n"
        "assert 'edge_imprint.backbones.probe' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_noise_has_the_range_of_its_dtype():
    assert probe.noise((1, 3, 8, 8), "int8").min() < -100
    assert probe.noise((1, 3, 8, 8), "uint8").max() > 200
    assert abs(probe.noise((1, 3, 8, 8), "float32")).max() <= 1


def test_the_folder_may_lie_anywhere(make_bundle, tmp_path, monkeypatch):
    bundle = make_bundle()
    (tmp_path / "odd name é").mkdir()
    shutil.move(bundle, tmp_path / "odd name é" / "b")
    monkeypatch.chdir(tmp_path / "odd name é")
    assert all(one.runs for one in probe.probe(Path("b"), runs=0))
