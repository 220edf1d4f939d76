"""A torch module as a float32 .tflite file, through LiteRT's converter."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import ExportError, MissingRuntimeError
from edge_imprint_export.tflite_format.extraction import extract
from edge_imprint_export.tflite_format.flatfile import open_file
from edge_imprint_export.tflite_format.quiet import quiet
from edge_imprint_export.tflite_format.writing import write

if TYPE_CHECKING:
    from torch import nn

INPUT, EMBEDDING = "picture", "embedding"
# How the converter's C++ side and its Python side name what they cannot translate.
_REFUSALS = (
    re.compile(r"failed to legalize operation '([^']+)'"),
    re.compile(r"error: '([^']+)' op is neither a custom op nor a flex op"),
    re.compile(r"OpOverload\(op='([^']+)'"),
    re.compile(r"[Ll]owering not found:? *'?([\w.:]+)"),
    re.compile(r"missing lowering[^\w]+([\w.:]+)", re.IGNORECASE),
    re.compile(r"No lowering[^\n]*?(aten[\w.:]+)"),
)
_CHOOSES = re.compile(r"data.?dependent|control flow", re.IGNORECASE)

Fold = Literal["raw_float"] | bool


def torch_to_tflite(module: nn.Module, input: InputSpec, *, fold: Fold = False) -> bytes:
    """Convert a backbone to a .tflite file with float32 weights.

    The input is "picture" (1, height, width, 3), the output "embedding", float32 (1, dim). The file has one subgraph,
    no signature and no metadata about the machine it was made on; the same module gives the same bytes.

    Args:
        module: takes float32 (n, 3, height, width), gives (n, dim). Its mode is restored.
        input: what happens to a picture before the module sees it.
        fold: False: the input is float32, normalised as `input` says. "raw_float": the input is float32, the RGB
            values 0 to 255 of the pixels; a 1x1 convolution does the rest. `TfliteQuantiser` makes of it a file
            that takes pixel - 128, exactly. True: as "raw_float", with a uint8 input.

    Raises:
        ExportError: an operator that TFLite lacks, named; control flow that depends on the picture; an output of
            another shape; a module that fails.
        MissingRuntimeError: torch or litert-torch is missing.
    """
    training = module.training
    module.eval()
    try:
        content = _converted(module, input, raw=bool(fold))
    finally:
        module.train(training)
    if fold is not True:
        return _tidied(content, INPUT)
    from edge_imprint_export.tflite_format.extend import uint8_input

    return uint8_input(_tidied(content, "pixels"))


def _converted(module: nn.Module, input: InputSpec, *, raw: bool) -> bytes:
    """The converter's own file."""
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    with quiet() as said:
        try:
            import litert_torch  # type: ignore[import-untyped,unused-ignore]
            import torch
        except ImportError as error:
            raise MissingRuntimeError(
                f"exporting a torch module to TFLite needs torch and litert-torch; importing them failed: {error}. "
                "Install them: pip install 'edge-imprint[export]'"
            ) from None
        _check_weights(module)
        dim = _dim(module, input)
        picture = (torch.zeros(1, input.height, input.width, 3),)
        wrapped = _channels_last(module, input if raw else None).eval()
        try:
            with torch.no_grad():
                content = bytes(litert_torch.convert(wrapped, picture).model_content())
        except Exception as error:  # the converter has no common base for what it raises
            raise _refused(error, said.text()) from None
    opened = open_file(content, "the converted network")
    shape = opened.graph.tensors[opened.graph.outputs[0]].shape
    if len(opened.graph.outputs) != 1 or shape != (1, dim):
        raise ExportError(f"the converted network must give (1, {dim}); it gives {shape}. Report it with the network")
    return content


def _dim(module: nn.Module, input: InputSpec) -> int:
    """Run the module once: its own errors are clearer than a converter's."""
    import torch

    try:
        with torch.no_grad():
            output = module(torch.zeros(1, 3, input.height, input.width))
    except Exception as error:  # anything: it is the user's code
        raise ExportError(
            f"a backbone takes float32 pictures (n, 3, {input.height}, {input.width}); the module fails on a batch of "
            f"1: {_first_line(error)}. Correct the input's size or the module"
        ) from None
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or output.dtype != torch.float32 or len(output) != 1:
        got = f"{output.dtype} {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise ExportError(
            f"a backbone gives float32 embeddings (n, dim); the module gives {got}. Cut it at its embedding"
        )
    return int(output.shape[1])


def _channels_last(module: nn.Module, folded: InputSpec | None) -> nn.Module:
    """The module behind a picture (1, height, width, 3): normalised already, or of raw pixels."""
    import torch
    from torch import nn

    def normalisation(spec: InputSpec) -> nn.Conv2d:
        """Colour order and normalisation as one layer, exact in float32: see `first_layer.align`."""
        turned = spec.colour == "bgr"
        layer = nn.Conv2d(3, 3, 1, groups=1 if turned else 3)
        scale = torch.tensor(spec.scale, dtype=torch.float64)
        with torch.no_grad():
            weight = torch.diag(scale).flip(1) if turned else scale
            layer.weight.copy_(weight.reshape(3, -1, 1, 1))
            layer.bias.copy_(-scale * torch.tensor(spec.mean, dtype=torch.float64))  # type: ignore[union-attr]
        return layer

    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.raw = normalisation(folded) if folded is not None else nn.Identity()
            self.module = module

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            return self.module(self.raw(picture.permute(0, 3, 1, 2)))  # type: ignore[no-any-return]

    return ChannelsLast()


def _tidied(content: bytes, name: str) -> bytes:
    """The same graph with names of its own, and without what only the converter needs."""
    opened = open_file(content, "the converted network")
    strangers = sorted({name for name in opened.operators if name.startswith(("CUSTOM:", "STABLEHLO_", "#"))})
    if strangers:
        raise _missing(", ".join(strangers))
    graph = opened.graph
    model = extract(opened, range(len(graph.operators)), graph.inputs, graph.outputs)
    tensors, codes = model.subgraphs[0].tensors, [opened.operators[i] for i in range(len(graph.operators))]
    counts: dict[str, int] = {}
    for code, operator in zip(codes, model.subgraphs[0].operators, strict=True):
        # Names that say what runs and in which order, instead of paths through Python classes.
        for place in operator.outputs:
            counts[code] = counts.get(code, 0) + 1
            tensors[place].name = f"{code.lower()}_{counts[code]}".encode()
    tensors[model.subgraphs[0].inputs[0]].name = name.encode()
    tensors[model.subgraphs[0].outputs[0]].name = EMBEDDING.encode()
    model.description = b""
    model.metadata = [entry for entry in model.metadata if entry.name == b"min_runtime_version"]
    return write(model)


def _check_weights(module: nn.Module) -> None:
    import torch

    for kind, named in (("parameter", module.named_parameters()), ("buffer", module.named_buffers())):
        for name, values in named:
            # A buffer may hold infinities on purpose: the mask of an attention.
            if torch.isnan(values).any() or (kind == "parameter" and not torch.isfinite(values).all()):
                raise ExportError(f"weights must be finite; {kind} {name!r} holds NaN or infinity. Train again")


def _refused(error: BaseException, said: str) -> ExportError:
    text = f"{error}\n{said}"
    for pattern in _REFUSALS:
        found = pattern.search(text)
        if found:
            return _missing(found.group(1))
    # What it is called depends on how far the tracer came before it met the branch.
    what = "control flow that depends on the picture: " if _CHOOSES.search(f"{type(error).__name__} {text}") else ""
    return ExportError(
        f"every step of a backbone must exist in TFLite and be the same for all pictures; the converter refuses the "
        f"module: {what}{_first_line(error)}. Replace what it names in the module, or leave the TFLite formats out"
    )


def _missing(operator: str) -> ExportError:
    return ExportError(
        f"every operator of a backbone must be built into TFLite; the module uses {operator}, which is not. "
        "Replace it in the module, or leave the TFLite formats out"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text.partition(" (unhinted: ")[0][:200].rstrip(".")  # what follows are torch's notes on its symbols
