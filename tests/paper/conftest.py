"""The runner is not installed: it is found next to the tests. Pictures are drawn, the backbone is the package's own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, Path(__file__).resolve().parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

LABELS = ("bar", "dot", "hat", "sky")
PER_LABEL = 12


@pytest.fixture(scope="session", autouse=True)
def _extra() -> None:
    for module in ("joblib", "distributed", "matplotlib", "scipy", "threadpoolctl"):
        pytest.importorskip(module, reason=f"{module} is missing: pip install 'edge-imprint[paper]'")
    pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install 'edge-imprint[onnx]'")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LABEL/NN.png: each label has a colour and a pattern of its own under noise."""
    folder = tmp_path_factory.mktemp("pictures") / "photos"
    rng = np.random.default_rng(3)
    for place, label in enumerate(LABELS):
        (folder / label).mkdir(parents=True)
        for number in range(PER_LABEL):
            picture = rng.integers(0, 140, (24, 24, 3))
            picture[:, :, place % 3] += 60
            picture[:: place + 2, :, :] += 50
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / label / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedding cache that all tests of this folder share, and nobody else."""
    monkeypatch.setenv("EDGE_IMPRINT_CACHE", str(shared_cache))
    return shared_cache
