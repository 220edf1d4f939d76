"""No cloud: a runtime that would report to its maker is told not to."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[onnx]'")

RUN = "import edge_imprint, numpy; edge_imprint.Learner().embed([numpy.zeros((90, 90, 3), numpy.uint8)])"


def test_embedding_a_picture_leaves_no_telemetry_session_behind(tmp_path):
    # In CI and under test runners onnxruntime keeps quiet by itself.
    quiet = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    subprocess.run([sys.executable, "-c", RUN], env={**environment, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
