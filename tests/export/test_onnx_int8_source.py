"""An .onnx file that is int8 already, as a source."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
ort = pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

from edge_imprint_export.sources.onnx_file import open_onnx  # noqa: E402


def run(content, x):
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def test_a_quantised_file_keeps_its_integers(repository):
    path = repository / "edge_imprint" / "backbones" / "default" / "backbone.int8.onnx"
    source = open_onnx(path, None, None)
    assert (source.precision, source.dim, source.dtype) == ("int8", 256, "float32")
    x = np.random.default_rng(0).normal(size=(1, 3, 80, 80)).astype(np.float32)
    assert np.array_equal(run(source.content, x), run(path.read_bytes(), x))
    inner = open_onnx(path, "view", None)
    assert (inner.dim, inner.precision) == (320, "int8")
