"""Run a model once: the surest answer to whether a rewritten graph is whole and computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones.onnx import OnnxRunner
from edge_imprint_export.onnx_format.proto import array, tensor


def noise(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """A picture of noise, the same every time."""
    rng = np.random.default_rng(20_261_123)
    if dtype == "float32":
        return rng.uniform(-1, 1, shape).astype(np.float32)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def run(model: Any, where: str, picture: NDArray[Any]) -> NDArray[Any]:
    """The only output of a model.

    Raises:
        BundleError: onnxruntime refuses it.
        MissingRuntimeError: onnxruntime is missing.
    """
    return OnnxRunner(bytes(model.SerializeToString()), where, threads=1)(picture)


def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two outputs are equal but for rounding: 1e-5 of the largest magnitude."""
    if a.shape != b.shape or not a.size:
        return False
    a, b = a.astype(np.float64), b.astype(np.float64)
    return bool(np.abs(a - b).max() <= 1e-5 * max(float(np.abs(a).max()), 1e-30))


def open_batch(model: Any, batch: int) -> None:
    """Let a model that was made for `batch` pictures at once take any number, in place.

    Only lengths that are written down as the first axis of a Reshape or Expand are in the way.
    """
    constants = {weight.name: weight for weight in model.graph.initializer}
    shared: dict[str, int] = {}
    for node in model.graph.node:
        for name in set(node.input):
            shared[name] = shared.get(name, 0) + 1
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute:
            constants[node.output[0]] = node.attribute[0].t
        target = constants.get(node.input[1]) if node.op_type == "Reshape" and len(node.input) > 1 else None
        if target is None or shared[node.input[1]] > 1:
            continue
        shape = array(target)
        if shape.ndim == 1 and len(shape) and shape[0] == batch and -1 not in shape:
            target.CopyFrom(tensor(np.concatenate([[-1], shape[1:]]).astype(np.int64), target.name))
    for value in (*model.graph.input[:1], *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
