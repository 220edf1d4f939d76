"""Run .tflite files as they are, with kernels of one's choice."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert
from numpy.typing import NDArray

from edge_imprint.backbones.flatbuffer import read_graph
from edge_imprint.backbones.tflite import TfliteRunner


def read(shared_data: Path, name: str) -> bytes:
    """One of the public files."""
    return (shared_data / "backbones" / f"{name}.tflite").read_bytes()


def interpreter(content: bytes, kernels: str = "AUTO", *, keep: bool = False) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "intended for debugging purposes only", which this is
        made = litert.Interpreter(
            model_content=content,
            experimental_op_resolver_type=litert.OpResolverType[kernels],
            experimental_preserve_all_tensors=keep,
        )
    made.allocate_tensors()
    return made


def run(content: bytes, tensor: np.ndarray, kernels: str = "AUTO") -> np.ndarray:
    made = interpreter(content, kernels)
    made.set_tensor(made.get_input_details()[0]["index"], tensor)
    made.invoke()
    return np.asarray(made.get_tensor(made.get_output_details()[0]["index"]))


def real(content: bytes, tensor: np.ndarray, kernels: str = "AUTO") -> np.ndarray:
    """The output's real values, (n,)."""
    scale, zero_point = interpreter(content).get_output_details()[0]["quantization"]
    stored = run(content, tensor, kernels).astype(np.float64).ravel()
    return (stored - zero_point) * scale if scale else stored


def noise(content: bytes, seed: int = 1) -> np.ndarray:
    """A random input of a file."""
    source = interpreter(content).get_input_details()[0]
    numbers = np.random.default_rng(seed).integers(0, 256, source["shape"]).astype(np.uint8)
    if source["dtype"] == np.float32:
        return (numbers / 255).astype(np.float32)
    return numbers.view(source["dtype"])


def embed(content: bytes, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run any of the files; an integer input is rounded half up, so that pixels stay apart."""
    graph = read_graph(content, "x")
    source, target = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    runner = TfliteRunner(content, "x.tflite", threads=1)
    if source.quantisation is not None:
        scale, zero_point = source.quantisation
        levels = np.floor(np.round(values / scale, 3) + 0.5) + zero_point
        values = np.clip(levels, -128, 127).astype(source.dtype)
    out = np.concatenate([runner(value[None]) for value in values]).astype(np.float32)
    if target.quantisation is not None:
        out = (out - target.quantisation[1]) * np.float32(target.quantisation[0])
    return out


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(axis=1) / norms)
