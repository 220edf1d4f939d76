"""One run of the demo on a small backbone, shared by the tests that look at what it wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

SUPPORT = str(Path(__file__).resolve().parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)

for package in ("onnx", "onnxruntime", "sklearn", "skimage", "matplotlib", "jinja2"):
    pytest.importorskip(package, reason="the demo's packages are missing: pip install edge-imprint[test]")


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `run_demo` returned, with the number of its progress calls as "advanced"."""
    from tiny import write_tiny_bundle

    from edge_imprint.demo import run_demo

    folder = tmp_path_factory.mktemp("demo")
    advanced = []
    bundle = write_tiny_bundle(folder / "bundle")
    report = run_demo(folder / "deep" / "report", backbone=str(bundle), advance=lambda: advanced.append(1))
    return {**report, "advanced": len(advanced)}
