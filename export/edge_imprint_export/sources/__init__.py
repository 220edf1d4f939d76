"""From what a user names to a `Source`: torch modules, hub models, .onnx and .tflite files, public backbones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import BundleError, ExportError, UsageError
from edge_imprint_export.options import IMAGENET, PLAIN, InputChanges
from edge_imprint_export.sources.source import Source

if TYPE_CHECKING:
    from torch import nn

TORCH_SUFFIXES = (".pt2", ".pt", ".pth", ".ts", ".torchscript", ".jit")


def open_source(
    source: str | Path | nn.Module,
    *,
    embedding: str | None = None,
    input: InputSpec | InputChanges | None = None,
    from_file: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Source:
    """Open whatever a user names.

    Args:
        source: "torch:package.module:factory", "hf:...", "timm:...", "public:...", an .onnx, .tflite, .pt2 or
            TorchScript file, or a torch module.
        embedding: see `export_backbone`.
        input: what happens to a picture, as a whole or what differs from what the source says.
        from_file: the file of a public backbone.
        progress: of a download.

    Raises:
        UsageError: none of these.
        EdgeImprintError: it cannot be opened or cut; see the modules of this package.
    """
    if from_file is not None and not str(source).startswith("public:"):
        raise UsageError(f"--from names the file of a public backbone; got it with {source}. Leave one of them out")
    opener = _opener(source, embedding, from_file, progress)
    if input is None or isinstance(input, InputSpec):
        return opener(input, None)
    side = input.height if input.height == input.width else None
    try:
        opened = opener(None, side)
    except (ExportError, BundleError):
        if input.height is None:
            raise
        # A size left open, or one that the network refuses: then what the user says is all there is.
        return opener(input.apply(IMAGENET if Path(str(source)).suffix.lower() == ".onnx" else PLAIN), side)
    if opened.input is None:
        if input != InputChanges():
            raise ExportError(
                f"{opened.name} takes no pictures; leave out what is said about them (size, mean, std ...)"
            )
        return opened
    wanted = input.apply(opened.input)
    if (wanted.height, wanted.width) != (opened.input.height, opened.input.width):
        return opener(wanted, None)
    opened.input = wanted
    return opened


def _opener(
    source: str | Path | nn.Module,
    embedding: str | None,
    from_file: Path | str | None,
    progress: Callable[[int, int], None] | None,
) -> Callable[[InputSpec | None, int | None], Source]:
    """What opens this kind of source, given an input and the side of a square one."""
    if not isinstance(source, str | Path):
        from edge_imprint_export.sources.torch_module import source_from_module

        return lambda spec, side: source_from_module(source, embedding, spec, side=side, name=type(source).__name__)
    text = str(source)
    kind, colon, rest = text.partition(":")
    if colon and kind == "public":
        from edge_imprint_export.sources.public import open_public

        return lambda spec, _: open_public(rest, embedding, spec, from_file=from_file, progress=progress)
    if colon and kind in ("hf", "timm"):
        from edge_imprint_export.sources.hub import open_hf, open_timm

        hub: Any = open_hf if kind == "hf" else open_timm
        return lambda spec, side: hub(text, embedding, spec, side=side)
    suffix = Path(text).suffix.lower()
    if (colon and kind == "torch") or suffix in TORCH_SUFFIXES:
        from edge_imprint_export.sources.torch_module import open_torch

        return lambda spec, side: open_torch(text, embedding, spec, side=side)
    if suffix == ".onnx":
        from edge_imprint_export.sources.onnx_file import open_onnx

        return lambda spec, _: open_onnx(Path(text), embedding, spec)
    if suffix == ".tflite":
        from edge_imprint_export.sources.tflite_file import open_tflite

        return lambda spec, _: open_tflite(text, embedding, spec)
    raise UsageError(
        "a source is torch:MODULE:FACTORY, hf:ID_OR_FOLDER, timm:NAME, public:NAME, or an .onnx, .tflite, .pt2 or "
        f"TorchScript file; got {text}"
    )
