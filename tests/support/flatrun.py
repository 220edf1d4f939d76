"""Run .tflite files as they are, with kernels of one's choice."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert


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
