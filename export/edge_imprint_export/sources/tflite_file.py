"""A `.tflite` file as the source of a bundle: cut at its embedding, with what it says about its input."""

from __future__ import annotations

import os
from pathlib import Path

from edge_imprint.backbones import InputSpec, raw
from edge_imprint.backbones.bundle import read_file
from edge_imprint.backbones.embedding import candidates
from edge_imprint.backbones.flatbuffer import read_graph
from edge_imprint.errors import BundleError, ExportError
from edge_imprint_export.sources.source import TfliteSource
from edge_imprint_export.tflite_format.flatfile import open_file, variables
from edge_imprint_export.tflite_format.rewrite import Cut, cut

# float32's epsilon: the step that converters write where they saw nothing but zeros.
_NO_RANGE = 1.2e-7


def open_tflite(
    path: str | os.PathLike[str], embedding: str | None = None, input_spec: InputSpec | None = None
) -> TfliteSource:
    """Open a .tflite file, float, int8 or old-style uint8, and cut it at its embedding.

    The input rule is what the file says of itself (see `edge_imprint.backbones.raw`), unless `input_spec` replaces
    it. A network whose input is no colour picture has none.

    Args:
        path: the file.
        embedding: name of the tensor to cut at; None looks for it.
        input_spec: what happens to a picture.

    Raises:
        BundleError: no such file, a damaged one, no such tensor, or an `input_spec` that does not fit.
        ExportError: the network cannot be cut; see `cut`.
        MissingRuntimeError: LiteRT is not installed.
    """
    path = Path(path)
    original = read_file(path)
    made = cut(original, embedding, str(path))
    whole, graph = read_graph(original, str(path)), read_graph(made.content, str(path))
    output = graph.tensors[graph.outputs[0]]
    source = graph.tensors[graph.inputs[0]]
    _check_stateless(made, path)
    notes = [_what_went(made, len(original))]
    pictures = _takes_pictures(source.shape, path)
    if not pictures:
        if input_spec is not None:
            raise ExportError(
                f"an input rule is for pictures; {path} takes {source.dtype} {source.shape}. Leave the rule out."
            )
        notes.append(f"The input, {source.dtype} {source.shape}, is no colour picture: tensors are made elsewhere.")
    elif input_spec is None:
        notes.append("Mean and scale of the input are the file's own; how pictures are cut is the usual centre crop.")
    if input_spec is not None and (input_spec.height, input_spec.width) != raw.picture_axes(source.shape, "")[1:]:
        raise ExportError(
            f"height and width must be those of the input of {path}, {source.shape}; got {input_spec.height} x "
            f"{input_spec.width}. Correct the input rule."
        )
    if output.quantisation is not None and output.quantisation[0] < _NO_RANGE:
        notes.append(
            "The embedding's quantisation has no range: the network gave nothing but zeros when it was quantised. "
            "It is likely untrained."
        )
    manifest = raw.derive_tflite(path, made.content, graph, output, input_spec, pictures=pictures)
    return TfliteSource(
        name=manifest.name,
        licence=manifest.licence,
        description=manifest.description,
        input=manifest.input,
        dim=manifest.dim,
        embedding=made.embedding,
        candidates=tuple(dict.fromkeys(name.split(";")[0] for name in candidates(whole))),
        notes=notes,
        content=made.content,
        original=original,
        precision=manifest.files[0].precision,
    )


def _takes_pictures(shape: tuple[int, ...], path: Path) -> bool:
    try:
        raw.picture_axes(shape, str(path))
    except BundleError:
        if len(shape) == 4 and 3 in (shape[1], shape[3]):  # pictures, several at once
            raise
        return False
    return True


def _what_went(made: Cut, size: int) -> str:
    share = 100 * made.dropped_bytes / size
    pooled = " A global average pool was put behind the map." if made.pooled else ""
    return (
        f"Cut at {made.embedding!r}: {made.dropped_operators} operators and {made.dropped_tensors} tensors went, "
        f"{made.dropped_bytes} bytes ({share:.0f} %).{pooled}"
    )


def _check_stateless(made: Cut, path: Path) -> None:
    """Refuse a network that remembers: the embedding of a picture must not depend on the one before."""
    kept = variables(open_file(made.content, str(path)))
    if kept:
        raise ExportError(
            f"an embedding must depend on its input alone; {path} keeps {kept[0]} from one input to the next. "
            "Convert the network without state."
        )
