"""A small backbone bundle and small pictures, made on the spot, for tests that do not measure accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32
DIM = 48
LABELS = ("dots", "plain", "rings", "stripes")


def onnx_bytes(seed: int = 0) -> bytes:
    """A network of two random convolutions and an average pool: (1, 3, 32, 32) to (1, 48)."""
    onnx = __import__("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(0, 0.3, (24, 3, 5, 5)).astype(np.float32),
        "w2": rng.normal(0, 0.1, (DIM, 24, 3, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["c1"], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", kind, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("embedding", kind, [1, DIM])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def write_tiny_bundle(folder: Path, seed: int = 0) -> Path:
    """Write the network as a bundle; another seed is another backbone."""
    from edge_imprint.backbones import InputSpec, Manifest, file_spec, write_bundle

    content = onnx_bytes(seed)
    file = file_spec(
        "tiny.onnx",
        content,
        format="onnx",
        precision="float32",
        layout="nchw",
        dtype="float32",
        embedding="embedding",
    )
    manifest = Manifest(
        name="tiny",
        licence="Apache-2.0",
        description="two random convolutions",
        dim=DIM,
        input=InputSpec(height=SIDE, width=SIDE),
        files=(file,),
    )
    write_bundle(folder, manifest, {"tiny.onnx": content})
    return folder


def picture(label: str, rng: np.random.Generator) -> Image.Image:
    """One of four patterns with its own colours, size and noise; patterns are easy to tell apart."""
    side = int(rng.integers(48, 80))
    y, x = np.mgrid[0:side, 0:side] / side
    phase = float(rng.uniform(0, 1))
    pattern = {
        "dots": (np.sin(40 * x + phase) * np.sin(40 * y) > 0.3).astype(float),
        "plain": np.full((side, side), 0.5),
        "rings": np.sin(60 * np.hypot(x - 0.5, y - 0.5) + phase) * 0.5 + 0.5,
        "stripes": (np.sin(30 * x + phase) > 0).astype(float),
    }[label]
    tint = np.array({"dots": (1, 0.3, 0.2), "plain": (0.2, 0.5, 1)}.get(label, (0.6, 1, 0.4)))
    noisy = pattern[..., None] * tint + rng.normal(0, 0.05, (side, side, 3))
    return Image.fromarray((255 * noisy.clip(0, 1)).astype(np.uint8))


def write_pictures(folder: Path, each: int = 8, seed: int = 0) -> Path:
    """FOLDER/<label>/0.png ... for each of the four patterns."""
    rng = np.random.default_rng(seed)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for number in range(each):
            picture(label, rng).save(folder / label / f"{number}.png")
    return folder
