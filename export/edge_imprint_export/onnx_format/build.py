"""A torch module as an ONNX file that old and new runtimes load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import ExportError, MissingRuntimeError
from edge_imprint_export.onnx_format.append import fold_preprocessing
from edge_imprint_export.onnx_format.fusion import simplify
from edge_imprint_export.onnx_format.proto import IR_VERSION, OPSET, check, first_line, import_onnx, quiet, serialise

if TYPE_CHECKING:
    from torch import nn

_OPERATOR = re.compile(r"OpOverload\(op='([^']+)'")


def torch_to_onnx(module: nn.Module, input: InputSpec, *, fold: bool = False, notes: list[str] | None = None) -> bytes:
    """Export a backbone to ONNX, operator set 18.

    The input is "picture", float32 (N, 3, height, width), or uint8 (N, height, width, 3) with `fold`; the output is
    "embedding", float32 (N, dim). A module that cannot take several pictures at once gets a batch of 1. Batch norms
    are folded into convolutions. The same module gives the same bytes.

    Args:
        module: takes (n, 3, height, width), gives (n, dim). Its mode is restored.
        input: what happens to a picture before the module sees it.
        fold: put colour order and normalisation into the graph, see `fold_preprocessing`.
        notes: what was decided on the way is appended.

    Raises:
        ExportError: an operator that ONNX lacks, named; control flow that depends on the picture; an output of another
            shape.
        MissingRuntimeError: torch, onnx or onnxscript is missing.
    """
    onnx = import_onnx()
    training = module.training
    module.eval()
    try:
        model = _exported(module, input, notes if notes is not None else [])
    finally:
        module.train(training)
    model.ir_version = IR_VERSION
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
        del model.functions[:]
    simplify(model)
    _only_standard(model)
    check(model, "the exported network")
    content = serialise(model)
    return fold_preprocessing(content, input, "nchw") if fold else content


def _exported(module: nn.Module, input: InputSpec, notes: list[str]) -> Any:
    """The exporter's model: with an open batch if the module allows one, else with a batch of 1."""
    try:
        import onnxscript  # noqa: F401 -- torch imports it late, in the middle of an export
        import torch
    except ImportError as error:
        raise MissingRuntimeError(
            f"exporting a torch module to ONNX needs torch and onnxscript; importing them failed: {error}. "
            "Install them: pip install 'edge-imprint[export]'"
        ) from None
    _check_output(module, input)
    refusal: Exception | None = None
    for batch, shapes in ((2, ({0: torch.export.Dim("N")},)), (1, None)):
        picture = torch.zeros(batch, 3, input.height, input.width)
        try:
            with quiet(), torch.no_grad():
                program = torch.onnx.export(
                    module,
                    (picture,),
                    input_names=["picture"],
                    output_names=["embedding"],
                    dynamic_shapes=shapes,
                    opset_version=OPSET,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
            if program is None:
                raise ExportError("torch.onnx gave no program")
            model = program.model_proto
        except Exception as error:  # the exporter has no common base for what it raises
            if _missing_operator(error):
                raise _refused(error) from None
            refusal = error
            continue
        if batch == 1:
            notes.append("ONNX: the module takes one picture at a time, so the batch is fixed at 1")
        return model
    assert refusal is not None
    raise _refused(refusal) from None


def _check_output(module: nn.Module, input: InputSpec) -> None:
    """Run the module once: its own errors are clearer than an exporter's."""
    import torch

    try:
        with quiet(), torch.no_grad():
            output = module(torch.zeros(1, 3, input.height, input.width))
    except Exception as error:  # anything: it is the user's code
        raise ExportError(
            f"a backbone takes float32 pictures (n, 3, {input.height}, {input.width}); the module fails on a batch of "
            f"1: {first_line(error)}. Correct the input's size or the module"
        ) from None
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or output.dtype != torch.float32 or len(output) != 1:
        got = f"{output.dtype} {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise ExportError(
            f"a backbone gives float32 embeddings (n, dim); the module gives {got}. Cut it at its embedding"
        )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _missing_operator(error: BaseException) -> str | None:
    """Name of the operator that the exporter has no translation for, if that is what it complains about."""
    for one in _chain(error):
        text = str(one)
        if "No ONNX function found" in text:
            found = _OPERATOR.search(text)
            return found.group(1) if found else first_line(one, 80)
    return None


def _refused(error: BaseException) -> ExportError:
    operator = _missing_operator(error)
    if operator:
        return ExportError(
            f"every operator of a backbone must exist in ONNX; the module uses {operator}, which does not. "
            "Replace it in the module, or leave the ONNX formats out"
        )
    root = list(_chain(error))[-1]
    return ExportError(
        f"a backbone must be traced without running it on a picture; torch.export refuses the module: "
        f"{first_line(root)}. Remove control flow that depends on the values of a picture, "
        "or give a file that is traced already"
    )


def _only_standard(model: Any) -> None:
    strangers = sorted({f"{node.domain}::{node.op_type}" for node in model.graph.node if node.domain})
    if strangers:
        raise ExportError(
            f"every operator of a backbone must exist in ONNX; the module uses {', '.join(strangers)}. "
            "Replace it in the module, or leave the ONNX formats out"
        )
