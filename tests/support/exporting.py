"""A small trained network as each kind of source, and its pictures as files; needs torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from small_cnn import CLASSES, DIM, SIDE, embed, pictures, trained_cnn
from torch import nn

from edge_imprint.backbones import InputSpec
from edge_imprint.cli import main

SUPPORT = str(Path(__file__).parent)
FACTORY = """
import torch
from small_cnn import CLASSES, DIM, SIDE, trained_cnn
from torch import nn
from edge_imprint.backbones import InputSpec
from edge_imprint.cli import main

def make():
    torch.manual_seed(1)
    return nn.Sequential(trained_cnn(), nn.ReLU(), nn.Linear(DIM, CLASSES)), InputSpec(SIDE, SIDE)
"""
FORMATS = ("onnx", "onnx-int8", "tflite", "tflite-int8")


def classifier() -> nn.Module:
    """The network with a head of random weights behind it."""
    torch.manual_seed(1)
    return nn.Sequential(trained_cnn(), nn.ReLU(), nn.Linear(DIM, CLASSES)).eval()


def write_pictures(folder: Path, count: int = 80, seed: int = 5) -> Path:
    """FOLDER/<direction>/<number>.png, each of the network's size."""
    for number, (values, label) in enumerate(zip(*pictures(count, seed), strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(place / f"{number:02}.png")
    return folder


def read_pictures(folder: Path) -> list[NDArray[np.uint8]]:
    """All of a folder, in the order of their names."""
    return [np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))]


def write_onnx(path: Path, module: nn.Module | None = None) -> Path:
    """The network with its head, or another module, as a file; "features" go into its last layer."""
    from edge_imprint_export.onnx_format.build import torch_to_onnx
    from edge_imprint_export.onnx_format.proto import parse, rename, serialise

    model = parse(torch_to_onnx(module or classifier(), InputSpec(SIDE, SIDE)), path.name)
    rename(model.graph, "embedding", "logits")
    rename(model.graph, model.graph.node[-1].input[0], "features")
    path.write_bytes(serialise(model))
    return path


def expected(values: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What the network, run in torch, makes of pictures: (n, DIM) behind its ReLU, where the head reads."""
    stacked = (np.stack(list(values)).astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
    return np.maximum(embed(trained_cnn(), stacked), 0)


def difference(got: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The largest, as a share of the largest number wanted."""
    return float(np.abs(got.astype(float) - wanted).max() / np.abs(wanted).max())


def prepared(values: Sequence[NDArray[np.uint8]], spec: InputSpec) -> torch.Tensor:
    """Pictures of the network's size as `spec` normalises them: (n, 3, SIDE, SIDE)."""
    stacked = np.stack(list(values)).astype(np.float64)[..., :: -1 if spec.colour == "bgr" else 1]
    return torch.from_numpy(((stacked - spec.mean) * spec.scale).astype(np.float32).transpose(0, 3, 1, 2).copy())


def least_cosine(got: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Over the rows."""
    a, b = got.astype(float), wanted.astype(float)
    return float(((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())


def hashes(folder: Path) -> dict[str, str]:
    """Every file below a folder and its SHA-256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def left(place: Path) -> list[str]:
    """Names of what lies in both folders; onnxruntime's own mark is none of ours."""
    folders = (place, place.parent / "temporary")
    return [path.name for folder in folders for path in folder.rglob("*") if path.name != ".ses"]


def refused(place: Path, capfd: pytest.CaptureFixture[str], *words: object) -> str:
    """Run the command, which must fail in one line; returns it."""
    capfd.readouterr()
    out = () if "--out" in words else ("--out", place / "b")
    code = main(["export", *map(str, (*words, *out))])
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1, err
    assert "internal error" not in err
    assert left(place) == []
    return err


def run_well(place: Path, capfd: pytest.CaptureFixture[str], *words: object) -> tuple[dict[str, Any], str]:
    """Run the command, which must not fail or leave more than the bundle; returns its JSON and its warnings."""
    capfd.readouterr()
    code = main(["export", *map(str, words), "--out", str(place / "b"), "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    assert sorted(left(place)) == sorted(["b", *(path.name for path in (place / "b").iterdir())])
    return json.loads(out), err
