"""Latency and memory of files, each measured away from this process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_imprint.errors import ExportError
from edge_imprint_export.measure import measure, resident_and_peak

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install edge-imprint[export]")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install edge-imprint[onnx]")

MEGABYTE = 1 << 20
SIDE = 16


def network(width: int, *, side: int | str = SIDE, dtype: str = "FLOAT") -> bytes:
    """A picture flattened and multiplied by a matrix of (768, width) float32."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(3 * SIDE * SIDE, width)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["picture"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["cast"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("picture", getattr(TensorProto, dtype), ["N", 3, side, side])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", width])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def measured():
    held = np.ones(200 * MEGABYTE, np.uint8)  # this process's memory is nobody else's
    found = measure({"small.onnx": network(16), "large.onnx": network(8192), "bytes.onnx": network(16, dtype="UINT8")})
    assert held[-1] == 1
    return found


def test_every_file_is_measured_under_its_name(measured):
    assert list(measured) == ["small.onnx", "large.onnx", "bytes.onnx"]
    for one in measured.values():
        assert one.runtime == "onnxruntime cpu"
        assert one.version == pytest.importorskip("onnxruntime").__version__
        assert one.threads == 1
        assert one.warm_ups >= 3
        assert one.runs >= 15
        assert 0 < one.q1_ms <= one.median_ms <= one.q3_ms


def test_more_work_takes_longer(measured):
    assert measured["large.onnx"].median_ms > 5 * measured["small.onnx"].median_ms


def test_memory_is_that_of_the_file_and_not_of_this_process(measured):
    weights = 768 * 8192 * 4
    assert weights < measured["large.onnx"].peak_bytes < weights * 4 + 40 * MEGABYTE
    assert measured["large.onnx"].peak_bytes >= measured["large.onnx"].resident_bytes > weights / 2
    assert measured["small.onnx"].peak_bytes < 40 * MEGABYTE


def test_this_processs_memory_is_read(tmp_path):
    before, _ = resident_and_peak()
    held = np.ones(50 * MEGABYTE, np.uint8)
    after, peak = resident_and_peak()
    assert after - before > 45 * MEGABYTE
    assert peak >= after
    assert held[0] == 1


def test_a_file_that_does_not_run_is_named():
    with pytest.raises(ExportError, match=r"onnxruntime refuses broken\.onnx"):
        measure({"broken.onnx": network(16)[:500]})


def test_a_size_that_is_left_open_is_named():
    with pytest.raises(ExportError, match=r"pictures of one size; open\.onnx takes"):
        measure({"open.onnx": network(16, side="side")})


def test_the_command_prints_one_list(tmp_path):
    (tmp_path / "a.onnx").write_bytes(network(16))
    command = [sys.executable, "-m", "edge_imprint_export.measure", str(tmp_path / "a.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    (entry,) = json.loads(done.stdout)
    assert entry["file"] == "a.onnx"
    assert entry["median_ms"] > 0
    assert entry["peak_bytes"] >= 0
    missing = subprocess.run([*command[:-1], "none.onnx"], capture_output=True, text=True, timeout=120)
    assert missing.returncode == 1
    assert "none.onnx" in json.loads(missing.stdout)


def test_a_tflite_file(shared_data: Path):
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install edge-imprint[tflite]")
    content = (shared_data / "backbones" / "vww_96_int8.tflite").read_bytes()
    one = measure({"vww.tflite": content})["vww.tflite"]
    assert one.runtime == "ai-edge-litert"
    assert one.median_ms > 0
    assert 0 < one.peak_bytes < 40 * MEGABYTE
