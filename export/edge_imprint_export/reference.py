"""The embeddings of the source itself, which every exported file is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones.embedding import find_embedding
from edge_imprint.backbones.flatbuffer import cut, read_graph
from edge_imprint.errors import BundleError, ExportError
from edge_imprint_export.built import Built, open_built
from edge_imprint_export.calibration import Calibration
from edge_imprint_export.sources.source import OnnxSource, Source, TfliteSource, TorchSource

_BATCH = 8


def source_embeddings(
    source: Source, calibration: Calibration, progress: Callable[[int, int], None]
) -> NDArray[np.float32]:
    """Embed all calibration pictures with the source.

    Args:
        source: a torch module runs in torch, a file in its runtime; a .tflite file runs as it was found, with its
            embedding as an output, not as it was cut.
        calibration: the pictures.
        progress: told (done, total).

    Returns:
        Shape (n, dim).

    Raises:
        ExportError: NaN or infinity in an embedding.
    """
    if isinstance(source, TorchSource):
        rows = _by_torch(source, calibration, progress)
    else:
        assert isinstance(source, OnnxSource | TfliteSource)
        file = _opened(source)
        tensors = calibration.tensors("all", file.spec)
        rows = np.empty((len(tensors), source.dim), np.float32)
        for i in range(len(tensors)):
            try:
                rows[i] = file.embed(tensors[i])[0]
            except BundleError as error:
                name = calibration.names[i]
                raise ExportError(
                    f"a backbone must embed every picture; {source.name} fails on {name}: {error}"
                ) from None
            progress(i + 1, len(tensors))
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if broken.size:
        raise ExportError(
            f"embeddings must be finite; {source.name} gives NaN or infinity for {calibration.names[broken[0]]}. Check "
            "its weights and its input rule"
        )
    return rows


def _by_torch(
    source: TorchSource, calibration: Calibration, progress: Callable[[int, int], None]
) -> NDArray[np.float32]:
    import torch

    tensors: Sequence[NDArray[np.float32]] = calibration.tensors("all", "nchw", "float32")
    rows: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for start in range(0, len(tensors), _BATCH):
            batch = np.concatenate([tensors[i] for i in range(start, min(start + _BATCH, len(tensors)))])
            rows.append(source.module(torch.from_numpy(batch)).numpy())
            progress(start + len(batch), len(tensors))
    return np.concatenate(rows)


def _opened(source: OnnxSource | TfliteSource) -> Built:
    if isinstance(source, OnnxSource):
        name = "onnx" if source.precision == "float32" else "onnx-int8"
        return open_built(name, source.content, source.input, name=source.name)
    content, graph = source.content, read_graph(source.original, source.name)
    if any(tensor.name == source.embedding for tensor in graph.tensors):  # not where a pool was appended
        content = cut(source.original, graph, find_embedding(graph, source.name, source.embedding))
    name = "tflite" if source.precision == "float32" else "tflite-int8"
    return open_built(name, content, source.input, name=source.name)
