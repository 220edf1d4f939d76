"""Reading and writing ONNX files: parsed safely, written the same way every time."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import BundleError, ExportError, MissingRuntimeError

# onnxruntime 1.16 to 1.19, on the images that boards come with, reads these and nothing later.
OPSET, IR_VERSION = 18, 9
# The oldest operator set that every part of this package and onnxruntime's quantiser understand.
OLDEST_OPSET = 13

# What onnxruntime adds to ONNX itself.
RUNTIME_DOMAIN = "com.microsoft"
STANDARD_DOMAINS = ("", "ai.onnx")


def import_onnx() -> Any:
    """The onnx package, with the submodules used here.

    Raises:
        MissingRuntimeError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import onnx
            import onnx.checker
            import onnx.external_data_helper
            import onnx.inliner
            import onnx.numpy_helper
            import onnx.shape_inference
            import onnx.version_converter
    except ImportError as error:
        raise MissingRuntimeError(
            f"ONNX files need onnx to be exported; importing it failed: {error}. "
            "Install it: pip install 'edge-imprint[export]'"
        ) from None
    return onnx


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings, logs and prints of the exporting libraries away from the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def first_line(error: object, longest: int = 200) -> str:
    """The first line of an exception that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:longest] if lines else type(error).__name__


def parse(content: bytes, where: str) -> Any:
    """The ModelProto of a file.

    Raises:
        BundleError: the bytes are no ONNX model.
    """
    onnx = import_onnx()
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError; its module moves between versions
        raise _damaged(where, first_line(error)) from None
    if not model.graph.node or not model.opset_import:
        raise _damaged(where, "it holds no network")
    return model


def check(model: Any, where: str) -> None:
    """Refuse a model that breaks ONNX's own rules.

    Raises:
        BundleError: the checker's first complaint.
    """
    onnx = import_onnx()
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # ValidationError, or what a damaged tensor raises on the way
        raise _damaged(where, first_line(error)) from None


def _damaged(where: str, why: str) -> BundleError:
    return BundleError(f"an ONNX file must be whole and follow the format; {where}: {why}. Export or copy it again.")


def opset_of(model: Any) -> int:
    """Version of ONNX's own operators that a model uses."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), 0)


def serialise(model: Any) -> bytes:
    """The bytes of a model without anything that says where, when or by what it was made."""
    clean(model)
    return bytes(model.SerializeToString(deterministic=True))


def clean(model: Any) -> None:
    """Remove notes of the exporter, in place: paths, stack traces, names of machines and versions."""
    del model.metadata_props[:]
    model.doc_string = model.domain = ""
    model.producer_name, model.producer_version, model.model_version = "edge-imprint", "", 0
    _clean_graph(model.graph)
    del model.graph.value_info[:]


def _clean_graph(graph: Any) -> None:
    graph.doc_string = ""
    graph.name = "backbone"
    for holder in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        if hasattr(holder, "metadata_props"):  # since onnx 1.16
            del holder.metadata_props[:]
        holder.doc_string = ""
    for node in graph.node:
        for attribute in node.attribute:
            attribute.doc_string = ""
            if attribute.HasField("g"):
                _clean_graph(attribute.g)


def array(tensor: Any) -> NDArray[Any]:
    """A TensorProto's values.

    Raises:
        ExportError: its bytes do not fit its shape, or a type numpy lacks.
    """
    try:
        return np.asarray(import_onnx().numpy_helper.to_array(tensor))
    except Exception as error:  # ValueError, TypeError, KeyError: by what is wrong with it
        raise ExportError(
            f"the values of a tensor must fit its shape and type; {tensor.name!r}: {first_line(error)}. Export it again"
        ) from None


def tensor(values: NDArray[Any], name: str) -> Any:
    """A TensorProto of an array."""
    return import_onnx().numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)


def inferred(model: Any) -> Any:
    """The graph with the shapes that ONNX can infer; where it stumbles, over a strange operator, as it is."""
    onnx = import_onnx()
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # it has an exception of its own for each of its complaints
        return model.graph


def lengths(value: Any) -> tuple[int | None, ...] | None:
    """Axis lengths of a ValueInfoProto, None for an open axis; None in all where even the rank is unknown."""
    shape = value.type.tensor_type
    if not shape.HasField("shape"):
        return None
    return tuple(int(d.dim_value) if d.HasField("dim_value") and d.dim_value > 0 else None for d in shape.shape.dim)


def dtype_name(elem_type: int) -> str:
    """The name that numpy has for a TensorProto.DataType, such as "float32"."""
    try:
        return str(np.dtype(import_onnx().helper.tensor_dtype_to_np_dtype(elem_type)).name)
    except (KeyError, TypeError, ValueError):
        return f"type {elem_type}"


def fresh(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with a number behind it if that name is taken; added to `taken`."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def names_in(graph: Any) -> set[str]:
    """Every name of a graph, of tensors and of nodes."""
    names = {item.name for item in (*graph.input, *graph.output, *graph.initializer, *graph.node)}
    return names | {name for node in graph.node for name in (*node.input, *node.output)}


def rename(graph: Any, old: str, new: str) -> None:
    """Give a tensor another name wherever it occurs, in place."""
    for node in graph.node:
        for holder in (node.input, node.output):
            for position, name in enumerate(holder):
                if name == old:
                    holder[position] = new
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        if value.name == old:
            value.name = new
