"""An .onnx file as a source: checked, cut at its embedding, self-contained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_imprint.backbones import InputSpec, raw
from edge_imprint.errors import BundleError, EdgeImprintError, ExportError
from edge_imprint_export.onnx_format.checks import check_operators, check_weights, control_flow, is_quantised
from edge_imprint_export.onnx_format.cut import Cut, cut
from edge_imprint_export.onnx_format.embedding import find_embedding
from edge_imprint_export.onnx_format.fusion import simplify
from edge_imprint_export.onnx_format.graph import Graph
from edge_imprint_export.onnx_format.load import load
from edge_imprint_export.onnx_format.proto import check, dtype_name, lengths, quiet, serialise
from edge_imprint_export.onnx_format.trial import noise, open_batch, run, same
from edge_imprint_export.onnx_format.versions import for_devices
from edge_imprint_export.sources.source import OnnxSource

_DTYPES = ("float32", "uint8", "int8")


def open_onnx(path: Path | str, embedding: str | None, input_spec: InputSpec | None) -> OnnxSource:
    """Open an .onnx file as a backbone.

    Weights in files beside it are taken in, open sides of its pictures are fixed, old and new operator sets are
    converted to one that devices read, and what comes after the embedding is dropped.

    Args:
        path: of the file.
        embedding: name of a tensor or node; None finds it.
        input_spec: what happens to a picture; None derives it: ImageNet's mean and scale for a float32 input, raw
            pixels for an integer one.

    Raises:
        BundleError: missing or damaged, no input for pictures, or their size is open and not given.
        ExportError: several outputs, control flow, strange operators, NaN, no embedding; each is named.
        MissingRuntimeError: onnx or onnxruntime is missing.
    """
    path = Path(path)
    model = load(path)
    where = path.name
    notes: list[str] = []
    if not _picture_inputs(model):
        raise ExportError(f"a backbone takes a picture; {where} takes no input at all")
    source = _choose_input(model, where)
    dtype = dtype_name(source.type.tensor_type.elem_type)
    if dtype not in _DTYPES:
        raise ExportError(
            f"a backbone's input must be {', '.join(_DTYPES)}; in {where} it is {dtype}. Export it in float32"
        )
    shape = lengths(source) or ()
    batch = shape[0] if shape else None
    layout, height, width = raw.picture_axes((None, *shape[1:]) if shape else (), str(path))
    spec = _spec(path, input_spec, (None, *shape[1:]), dtype)
    if not all(has in (None, says) for has, says in ((height, spec.height), (width, spec.width))):
        raise ExportError(
            f"pictures must have the size that {where} takes, {height} x {width}; the input is described as "
            f"{spec.height} x {spec.width}. Correct height and width"
        )
    sides = (3, spec.height, spec.width) if layout == "nchw" else (spec.height, spec.width, 3)
    if None in (height, width):
        notes.append(f"the file leaves the size of its pictures open; fixed at {spec.height} x {spec.width}")
    picture = noise((1, *sides), dtype)
    _fix_sides(model, source.name, sides)
    model = _without_control_flow(model, notes)
    if batch not in (None, 1):
        model = _with_open_batch(model, int(batch or 1), sides, dtype, embedding, where, notes)
    done = _cut(model, picture, where, embedding)
    notes += done.notes
    model, changed = for_devices(done.model, where, picture)
    notes += changed
    simplify(model)
    check(model, where)
    quantised = is_quantised(model)
    if quantised:
        notes.append("the file is int8 already; it is taken as it is")
    return OnnxSource(
        name=path.stem or "backbone",
        licence="unknown",
        description=f"ONNX file {where}",
        input=spec,
        dim=done.dim,
        embedding=done.embedding,
        candidates=done.candidates,
        notes=notes + check_operators(model, where),
        content=serialise(model),
        layout=layout,
        dtype=dtype,
        precision="int8" if quantised else "float32",
    )


def _picture_inputs(model: Any) -> list[Any]:
    weights = {weight.name for weight in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _choose_input(model: Any, where: str) -> Any:
    """The only input, or the only picture among several; whether the embedding needs the others shows after the cut."""
    inputs = _picture_inputs(model)
    pictures = [value for value in inputs if 3 in (lengths(value) or ()) and len(lengths(value) or ()) == 4]
    if len(inputs) > 1 and len(pictures) != 1:
        shown = ", ".join(f"{value.name!r} {lengths(value)}" for value in inputs)
        raise ExportError(
            f"a backbone takes one input, a picture; {where} takes {len(inputs)}: {shown}. Make the others constants"
        )
    return inputs[0] if len(inputs) == 1 else pictures[0]


def _spec(path: Path, given: InputSpec | None, shape: tuple[int | None, ...], dtype: str) -> InputSpec:
    """The same rule by which a device opens a file without a manifest."""
    derived = raw.derive_onnx(
        path, b"-", input_shape=shape, input_dtype=dtype, embedding="-", dim=1, preprocessing=given
    ).input
    assert derived is not None
    return derived


def _fix_sides(model: Any, name: str, sides: tuple[int, ...]) -> None:
    for value in model.graph.input:
        if value.name == name:
            dims = value.type.tensor_type.shape.dim
            if not (dims[0].HasField("dim_value") and dims[0].dim_value > 0):
                dims[0].Clear()
                dims[0].dim_param = "N"
            for axis, length in zip(list(dims)[1:], sides, strict=True):
                axis.Clear()
                axis.dim_value = length
    del model.graph.value_info[:]
    for output in model.graph.output:  # written down for the open sides; inferred again
        output.type.tensor_type.ClearField("shape")


def _without_control_flow(model: Any, notes: list[str]) -> Any:
    """Branches that are decided once the sides are fixed are taken; those that stay are refused after the cut."""
    if not control_flow(model):
        return model
    try:
        with quiet():
            from onnxscript import optimizer

            other = optimizer.optimize(model)
    except Exception:  # no onnxscript, or it stumbles over the model: the branches stay, and are named later
        return model
    fewer = len(control_flow(model)) - len(control_flow(other))
    if fewer > 0:
        notes.append(f"{fewer} branches of control flow are decided by the size of the pictures and were resolved")
        return other
    return model


def _with_open_batch(
    model: Any,
    batch: int,
    sides: tuple[int, ...],
    dtype: str,
    embedding: str | None,
    where: str,
    notes: list[str],
) -> Any:
    """A model for `batch` pictures at once, made to take one; each picture must get the embedding that it had."""
    other = type(model)()
    other.CopyFrom(model)
    open_batch(other, batch)
    pictures = noise((batch, *sides), dtype)
    refusal = ExportError(
        f"a backbone takes one picture at a time; {where} takes {batch} at once, and lengths inside it depend on that. "
        "Export it with a batch of 1 or an open batch"
    )
    find_embedding(Graph(model), where, embedding)  # a wrong name has its own message
    try:
        reference, opened = type(model)(), type(model)()
        opened.CopyFrom(other)
        one = _cut(opened, pictures[:1], where, embedding)
        reference.CopyFrom(model)
        tensors = [run(one.model, where, pictures[i : i + 1]) for i in range(batch)]
        found = one.embedding
        for output in list(reference.graph.output):
            reference.graph.output.remove(output)
        reference.graph.output.add().name = found
        together = run(reference, where, pictures)
    except EdgeImprintError:
        check_operators(model, where)
        check_weights(model, where)
        raise refusal from None
    for i, alone in enumerate(tensors):
        row = together[i : i + 1].astype("float64")
        pooled = row if row.size == alone.size else row.mean(axis=(2, 3)) if row.ndim == 4 else row
        if pooled.size != alone.size or not same(pooled.reshape(alone.shape), alone):
            raise refusal
    notes.append(f"the file took {batch} pictures at once; it now takes any number")
    return other


def _cut(model: Any, picture: Any, where: str, embedding: str | None) -> Cut:
    """Cut; where onnxruntime refuses the result, the reason is looked for in what the network contains."""
    try:
        done = cut(model, picture, where, embedding)
    except BundleError:
        check_operators(model, where)
        check_weights(model, where)
        raise
    check_operators(done.model, where)
    check_weights(done.model, where)
    return done
