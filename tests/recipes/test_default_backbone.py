"""The default backbone's recipe, run on a handful of pictures: every step is the real one, only shorter."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip(
    "torch", reason="the recipe needs torch: pip install edge-imprint[export] -c constraints.txt"
)

RECIPE = Path(__file__).resolve().parents[2] / "export" / "recipes" / "default_backbone"


@pytest.fixture
def recipe(monkeypatch):
    """The recipe's modules import each other by their bare names, as scripts in one folder do."""
    monkeypatch.syspath_prepend(str(RECIPE))
    for name in ("pictures", "network", "losses", "train", "export", "teachers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return RECIPE


def test_a_mosaic_is_read_row_by_row(recipe, tmp_path):
    import pictures

    tiles = np.random.default_rng(0).integers(0, 255, (pictures.ROWS * pictures.COLUMNS, 1, 1, 3), np.uint8)
    tiles = np.broadcast_to(tiles, (len(tiles), pictures.TILE, pictures.TILE, 3))
    mosaic = tiles.reshape(pictures.ROWS, pictures.COLUMNS, 64, 64, 3).swapaxes(1, 2).reshape(1280, 1600, 3)
    blob = io.BytesIO()
    Image.fromarray(mosaic).save(blob, "WEBP", lossless=True)
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        archive.writestr("train/n02.webp", blob.getvalue())
    read, labels, names = pictures.load_tiles(tmp_path / "tiny.zip", tmp_path)
    assert names == ["n02"]
    assert labels.tolist() == [0] * 500
    np.testing.assert_array_equal(read, tiles)


def test_relation_loss_is_least_where_the_similarities_agree(recipe):
    from losses import direction_loss, relation_loss

    generator = torch.Generator().manual_seed(0)
    target = torch.nn.functional.normalize(torch.randn(32, 16, generator=generator))
    rotation = torch.linalg.qr(torch.randn(16, 16, generator=generator))[0]
    assert relation_loss(7 * target @ rotation, target) == pytest.approx(0, abs=1e-4)
    assert relation_loss(torch.randn(32, 16, generator=generator), target) > 0.5
    assert direction_loss(3 * target, target) == pytest.approx(0, abs=1e-6)
    assert direction_loss(-target, target) == pytest.approx(2, abs=1e-6)


def test_augment_keeps_shape_and_range_and_follows_its_seed(recipe):
    import train

    batch = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    once, again, other = (train.augment(batch, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert once.shape == (8, 3, 64, 64)
    assert -1.2 <= once.min() < once.max() <= 1.2
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_few_shot_accuracy_of_separate_and_of_equal_classes(recipe):
    import train

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 80)
    apart = np.eye(4)[labels] + 0.01 * rng.normal(size=(320, 4))
    assert train.few_shot_accuracy(apart, labels, np.zeros(4), shots=5) == 100
    noise = train.few_shot_accuracy(rng.normal(size=(320, 64)), labels, np.zeros(64), shots=5)
    assert 15 < noise < 35


def test_whitening_evens_out_the_scatter_within_classes(recipe):
    import export

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 4000)
    scatter = np.diag([9.0, 1.0, 0.1, 0.1])
    embeddings = (10 * rng.normal(size=(5, 4)))[labels] + rng.normal(size=(4000, 4)) @ scatter
    whitening = export.within_class_whitening(embeddings, labels)
    np.testing.assert_allclose(whitening, whitening.T, atol=1e-6)
    # (variance / mean variance + 1)^(-1/2) for variances 81, 1, 0.01, 0.01; 4,000 shots leave about 2 %.
    expected = 1 / np.sqrt(np.array([81, 1, 0.01, 0.01]) / 20.505 + 1)
    np.testing.assert_allclose(np.diag(whitening), expected, rtol=0.05)


@pytest.mark.slow
def test_the_last_step_writes_a_bundle_that_runs(recipe, tmp_path):
    from network import Backbone

    from edge_imprint.backbones import load_backbone

    rng = np.random.default_rng(0)
    photographs = [rng.integers(0, 255, (90, 110, 3), np.uint8) for _ in range(40)]
    with zipfile.ZipFile(tmp_path / "imagenet_samples_1000.zip", "w") as archive:
        for i, photograph in enumerate(photographs):
            blob = io.BytesIO()
            Image.fromarray(photograph).save(blob, "JPEG", quality=95)
            archive.writestr(f"{i:02}.jpg", blob.getvalue())
    with zipfile.ZipFile(tmp_path / "tiny_imagenet_200.zip", "w") as archive:
        for i in range(22):  # two more than are held out
            colours = rng.integers(0, 255, (20, 25, 3), np.uint8)
            blob = io.BytesIO()
            Image.fromarray(colours.repeat(64, 0).repeat(64, 1)).save(blob, "WEBP", quality=50)
            archive.writestr(f"train/n{i:02}.webp", blob.getvalue())
    torch.manual_seed(0)
    network = Backbone()
    for _ in range(20):
        network(torch.randn(16, 3, 80, 80))
    torch.save({"backbone": network.state_dict()}, tmp_path / "backbone.pt")
    # An untrained network with batch norm is chaotic: what int8 does to it means nothing.
    command = [sys.executable, "export.py", "--data", tmp_path, "--work", tmp_path, "--min-cosine", "0"]
    for out in ("one", "two"):
        done = subprocess.run(
            [*command, "--out", tmp_path / out],
            cwd=recipe,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        assert done.returncode == 0, done.stderr
    files = ["backbone.onnx", "backbone.int8.onnx", "backbone.int8.tflite"]
    for name in ("manifest.json", *files, "base_statistics.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert sum((tmp_path / "one" / name).stat().st_size for name in files[:2]) <= 3_000_000
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    float32 = next(file for file in report["files"] if file["format"] == "onnx")
    assert float32["parity"]["largest_difference"] < 1e-4
    backbone = load_backbone(tmp_path / "one", precision="float32")
    assert backbone.embed(photographs).shape == (40, 256)
