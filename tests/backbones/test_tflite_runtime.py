"""Choosing a TFLite runtime that works, and what it may say on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path

import pytest

from edge_imprint.backbones import load_backbone, tflite
from edge_imprint.errors import BundleError, MissingRuntimeError

BROKEN = """
class Interpreter:
    def __init__(self, **keywords):
        raise SystemError("CreateWrapperFromFile returned a result with an exception set")
"""


@pytest.fixture
def vww(shared_data: Path) -> Path:
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install edge-imprint[tflite]")
    return shared_data / "backbones" / "vww_96_int8.tflite"


def test_a_runtime_that_imports_but_cannot_construct_is_passed_over(
    vww: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tflite-runtime 2.14 does under numpy 2."""
    (tmp_path / "broken_runtime.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    broken = ("broken_runtime", "tflite-runtime")
    monkeypatch.setattr(tflite, "RUNTIMES", (broken, *tflite.RUNTIMES))
    assert load_backbone(vww).info()["runtime"] == "ai-edge-litert"
    monkeypatch.setattr(tflite, "RUNTIMES", (broken,))
    with pytest.raises(MissingRuntimeError, match=r"tried tflite-runtime: CreateWrapper.*edge-imprint\[tflite\]"):
        load_backbone(vww)


def test_a_file_that_the_runtime_refuses_is_the_files_fault(vww: Path) -> None:
    content = bytearray(vww.read_bytes())
    content[4:8] = b"XXXX"
    with pytest.raises(BundleError, match=r"refused by ai-edge-litert"):
        tflite.TfliteRunner(bytes(content), "x.tflite")


def test_only_chatter_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with tflite._quiet():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nERROR: something real\n")
        warnings.warn("deprecated", stacklevel=1)
    sys.stderr.write("and after\n")
    assert capfd.readouterr().err == "ERROR: something real\nand after\n"
    with contextlib.suppress(RuntimeError), tflite._quiet():
        os.write(2, b"WARNING: before it failed\n")
        raise RuntimeError
    assert capfd.readouterr().err == "WARNING: before it failed\n"
