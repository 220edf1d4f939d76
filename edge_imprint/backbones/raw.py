"""A single .onnx or .tflite file as a backbone: a manifest derived from what the file says about itself."""

from __future__ import annotations

from pathlib import Path

from edge_imprint.backbones.bundle import file_spec
from edge_imprint.backbones.flatbuffer import Graph, Tensor
from edge_imprint.backbones.manifest import Manifest
from edge_imprint.backbones.spec import DTYPES, InputSpec, Quantisation
from edge_imprint.errors import BundleError

Channels = tuple[float, float, float]

_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_SCALE = (1 / 58.395, 1 / 57.12, 1 / 57.375)
_SYMMETRIC: tuple[Channels, Channels] = ((127.5,) * 3, (1 / 127.5,) * 3)


def picture_axes(shape: tuple[int | None, ...], where: str) -> tuple[str, int | None, int | None]:
    """(layout, height, width) of an input shape with the batch axis first; None where the network leaves a
    side open.

    Raises:
        BundleError: no axis of three colours, or a batch axis fixed at something other than 1.
    """
    if len(shape) == 4 and shape[0] in (1, None):
        if shape[3] == 3:
            return "nhwc", shape[1], shape[2]
        if shape[1] == 3:
            return "nchw", shape[2], shape[3]
    raise BundleError(
        f"a backbone takes one colour picture at a time, (1, height, width, 3) or (1, 3, height, width); "
        f"{where} takes {shape}, so it takes no pictures. Use a network that was made for pictures."
    )


def derive_tflite(
    path: Path,
    content: bytes,
    graph: Graph,
    embedding: Tensor,
    preprocessing: InputSpec | None,
    *,
    pictures: bool = True,
) -> Manifest:
    """The manifest of a .tflite file.

    An integer input is fed raw pixels (less 128 for int8): its quantisation says which real values these
    stand for, and so gives mean and scale. A float32 input that is quantised at once inside the network is
    treated the same; any other gets [-1, 1]. With `pictures` false the input may have any shape, and the
    manifest has no input rule.

    Raises:
        BundleError: the input is no picture, or a dtype that cannot be fed.
    """
    source = graph.tensors[graph.inputs[0]]
    if len(graph.inputs) != 1:
        raise BundleError(
            f"a backbone takes one input; {path} takes {len(graph.inputs)}. Use a network with a single one."
        )
    layout, spec = "nhwc", None
    if pictures:
        layout, height, width = picture_axes(source.shape, str(path))
        spec = preprocessing or _input(height, width, path, *_stored_rule(graph, source))
    for tensor in (source, embedding):
        if tensor.dtype not in DTYPES:
            raise BundleError(
                f"input and embedding must be {', '.join(DTYPES)}; in {path} {tensor.name!r} is "
                f"{tensor.dtype}. Convert it again."
            )
    integer = source.dtype != "float32"
    stored = source.quantisation or (1.0, -128 if source.dtype == "int8" else 0)
    file = file_spec(
        _bare(path),
        content,
        format="tflite",
        precision="float32" if embedding.quantisation is None and not integer else "int8",
        layout=layout,
        dtype=source.dtype,
        embedding=embedding.name or f"tensor {embedding.index}",
        input_quantisation=Quantisation(*stored) if integer else None,
        output_quantisation=_output_quantisation(embedding),
    )
    dim = max(embedding.shape)
    return Manifest(path.stem or "backbone", "unknown", f"TFLite file {path.name}", dim, spec, (file,))


def _stored_rule(graph: Graph, source: Tensor) -> tuple[Channels, Channels]:
    """Mean and scale of the pixels as the quantisation of the input, or of what it becomes at once, has them."""
    pixels = source
    if source.dtype == "float32":
        readers = [operator for operator in graph.operators if source.index in operator.inputs]
        if len(readers) == 1 and readers[0].name == "QUANTIZE" and readers[0].outputs:
            pixels = graph.tensors[readers[0].outputs[0]]
    if pixels.dtype not in ("uint8", "int8"):
        return _SYMMETRIC
    step, zero_point = pixels.quantisation or (1.0, -128 if pixels.dtype == "int8" else 0)
    return (float(zero_point + (128 if pixels.dtype == "int8" else 0)),) * 3, (step,) * 3


def _output_quantisation(tensor: Tensor) -> Quantisation | None:
    if tensor.dtype == "float32" or tensor.quantisation is None:
        return None
    return Quantisation(*tensor.quantisation)


def derive_onnx(
    path: Path,
    content: bytes,
    *,
    input_shape: tuple[int | None, ...],
    input_dtype: str,
    embedding: str,
    dim: int,
    preprocessing: InputSpec | None,
) -> Manifest:
    """The manifest of an .onnx file.

    A float32 input gets ImageNet's mean and standard deviation; ONNX does not store how an integer input is
    quantised, so it is fed raw pixels (less 128 for int8).

    Raises:
        BundleError: the input is no picture, or its height and width are open and `preprocessing` does not
            say them.
    """
    layout, height, width = picture_axes(input_shape, str(path))
    spec = preprocessing
    if spec is None and input_dtype == "float32":
        spec = _input(height, width, path, _IMAGENET_MEAN, _IMAGENET_SCALE)
    elif spec is None:
        spec = _input(height, width, path, (0.0,) * 3, (1.0,) * 3)
    file = file_spec(
        _bare(path),
        content,
        format="onnx",
        precision="float32" if input_dtype == "float32" else "int8",
        layout=layout,
        dtype=input_dtype,
        embedding=embedding,
        input_quantisation=Quantisation(1.0, -128) if input_dtype == "int8" else None,
    )
    return Manifest(path.stem or "backbone", "unknown", f"ONNX file {path.name}", dim, spec, (file,))


def _input(height: int | None, width: int | None, path: Path, mean: Channels, scale: Channels) -> InputSpec:
    """Nothing in the file says how pictures were cut: the middle of a picture, undistorted, is the usual evaluation."""
    sides = _side(height, path), _side(width, path)
    return InputSpec(*sides, resize="shorter_side_then_centre_crop", resize_side=max(sides), mean=mean, scale=scale)


def _side(length: int | None, path: Path) -> int:
    if length is None or length < 1:
        raise BundleError(
            f"{path} leaves the size of its pictures open. Name the size it was trained with: "
            "preprocessing=InputSpec(height=224, width=224, ...), or --size 224 to export it."
        )
    return length


def _bare(path: Path) -> str:
    """The file's name in the characters that a manifest allows."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in path.name)[-100:]
    return kept if kept[0].isalnum() else "_" + kept[1:]
