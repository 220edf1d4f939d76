"""An .onnx file from the disk as one self-contained, checked model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from edge_imprint.backbones.bundle import MAX_FILE_BYTES, read_file
from edge_imprint.errors import BundleError
from edge_imprint_export.onnx_format.proto import check, first_line, import_onnx, parse
from edge_imprint_export.onnx_format.versions import check_readable


def load(path: Path) -> Any:
    """Read a file and the files beside it that hold its weights; model functions are written out.

    Raises:
        BundleError: missing, damaged, over 2 GiB in all, or weights in a file that is missing or outside the folder.
        ExportError: newer than the onnx package here.
    """
    onnx = import_onnx()
    model = parse(read_file(path), str(path))
    check_readable(model, str(path))
    _inline_weights(model, path)
    _check(model, str(path))
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model)
        except Exception as error:  # an error of its C++ side
            raise BundleError(
                f"functions of an ONNX file must be whole; {path}: {first_line(error)}. Export it again."
            ) from None
    return model


def _check(model: Any, where: str) -> None:
    """ONNX's own rules, but for the shapes of outputs: every runtime works them out."""
    kept = [type(value).FromString(value.SerializeToString()) for value in model.graph.output]
    for value in model.graph.output:
        value.type.tensor_type.elem_type = value.type.tensor_type.elem_type or import_onnx().TensorProto.FLOAT
        value.type.tensor_type.shape.SetInParent()
    check(model, where)
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _tensors(graph: Any) -> Iterator[Any]:
    """Every stored tensor, those in attributes of nodes and in subgraphs included."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                yield from _tensors(inner)


def _inline_weights(model: Any, path: Path) -> None:
    onnx = import_onnx()
    names: set[str] = set()
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            names.update(entry.value for entry in tensor.external_data if entry.key == "location")
    if not names:
        return
    total = 0
    for name in sorted(names):
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts or "\\" in name or "\0" in name:
            raise BundleError(
                f"weights of an ONNX file must lie in its folder; {path} names {name!r}. Export it again as one file."
            )
        beside = path.parent / name
        if not beside.is_file() or path.parent.resolve() not in beside.resolve().parents:
            raise BundleError(
                f"{path} keeps its weights in {name!r}, which must lie beside it and does not. "
                "Copy that file too, or export the network as one file."
            )
        total += beside.stat().st_size
    if total + model.ByteSize() >= MAX_FILE_BYTES:
        raise BundleError(f"an ONNX file with its weights must have at most {MAX_FILE_BYTES} bytes; {path} has more.")
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # OSError, ValidationError, ValueError: by what is wrong
        raise BundleError(
            f"weights of an ONNX file must be whole; {path}: {first_line(error)}. "
            "Copy it again with the files beside it."
        ) from None
