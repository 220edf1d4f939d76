"""A torch network as one functional graph of operators, its batch free: what a cut is made in.

Everything goes through torch.export: a module is exported, a .pt2 file holds the result of that, and TorchScript is
converted to it. In-place operators are made functional first, so that whatever lies behind a cut is truly unused.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from edge_imprint.errors import ExportError
from edge_imprint_export.sources.quiet import first_line, quiet

aten = torch.ops.aten

_CHECKS = re.compile(r"_assert|sym_constrain_range|_guards_fn")


@dataclass
class Captured:
    """A network as a graph.

    Attributes:
        module: holds the graph; its weights are shared with the network.
        outputs: the network's outputs by name, in order; a single one is called "output".
        names: what `--embedding` may name: modules and operators, to the node that gives their value.
        modules: those of `names` that are modules, in graph order.
        batch: number of pictures that the graph is fixed to, or None when any number works.
    """

    module: fx.GraphModule
    outputs: dict[str, fx.Node]
    names: dict[str, fx.Node]
    modules: tuple[str, ...]
    batch: int | None


def shape_of(node: Any) -> tuple[Any, ...] | None:
    """Shape of a node's tensor, None for what is no node or no tensor."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else None


def capture_module(module: nn.Module, height: int, width: int) -> Captured:
    """Export a module whose weights were checked and frozen.

    Args:
        module: in eval mode.
        height: of a picture, pixels.
        width: of a picture, pixels.

    Raises:
        ExportError: several inputs, a forward that does not take such pictures, or one that torch.export cannot follow.
    """
    required = [
        name
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) > 1:
        raise ExportError(_one_input(required))
    pictures = torch.zeros(2, 3, height, width)
    run(module, pictures[:1])
    return _captured(module, pictures)


def _captured(module: nn.Module, pictures: Tensor) -> Captured:
    """Export a module for any number of pictures, or else for one."""
    with quiet():
        try:
            program = torch.export.export(module, (pictures,), dynamic_shapes=({0: Dim("N")},), strict=False)
        except Exception:
            # A module that writes its batch size down exports with that size only; the graph is mended afterwards.
            try:
                program = torch.export.export(module, (pictures[:1],), strict=False)
            except Exception as error:
                raise ExportError(
                    f"torch.export cannot follow the network{_place(error)}: {first_line(error)}. A network must do "
                    "the same for every picture: replace branches on tensor values by torch.where"
                ) from None
    return capture_program(program)


def capture_script(script: torch.jit.ScriptModule, height: int, width: int) -> Captured:
    """Convert a TorchScript module.

    Raises:
        ExportError: control flow or an operator that the conversion does not know.
    """
    pictures = torch.zeros(2, 3, height, width)
    run(script, pictures[:1])
    try:
        from torch._export.converter import TS2EPConverter
    except ImportError:
        raise ExportError(
            f"this torch {torch.__version__} does not convert TorchScript; save the network with torch.export.save"
        ) from None
    with quiet():
        try:
            converted = TS2EPConverter(script, (pictures,)).convert().module()
        except Exception as error:
            raise ExportError(
                f"the TorchScript network cannot be converted: {first_line(error)}. Export the original module "
                "instead: torch:package.module:factory, or torch.export.save"
            ) from None
    # The conversion leaves all sides open; a backbone's are fixed.
    return _captured(converted, pictures)


def run(module: nn.Module, pictures: Tensor) -> Any:
    """Run a network once.

    Raises:
        ExportError: it does not take pictures of this shape; the message names it.
    """
    with quiet(), torch.no_grad():
        try:
            return module(pictures)
        except Exception as error:
            raise ExportError(
                f"the network fails on an input of shape {tuple(pictures.shape)}{_place(error)}: {first_line(error)}. "
                "Give it the size that it was made for (--size, or an InputSpec)"
            ) from None


def capture_program(program: ExportedProgram) -> Captured:
    """Take an exported program apart.

    Raises:
        ExportError: several inputs, no float pictures as input, control flow, or training mode.
    """
    picture = _only_input(program)
    _refuse_training(program)
    with quiet():
        try:
            functional = program.run_decompositions({})
        except Exception as error:
            raise ExportError(
                f"the exported network cannot be made functional: {first_line(error)}. Export it again with this "
                f"torch, {torch.__version__}"
            ) from None
        unlifted = functional.module()
    graph = unlifted.graph
    for node in reversed(list(graph.nodes)):
        if _CHECKS.search(str(node.target)) and not node.users:
            graph.erase_node(node)
    batch = picture.shape[0]
    results = next(node for node in graph.nodes if node.op == "output").args[0]
    flat = list(results) if isinstance(results, tuple | list) else [results]
    names = _output_names(functional.call_spec.out_spec, len(flat))
    outputs = {
        name: node for name, node in zip(names, flat, strict=True) if isinstance(node, fx.Node) and shape_of(node)
    }
    if not outputs:
        raise ExportError(
            "the network gives no tensor (n, dim) or (n, channels, height, width); its forward must return the "
            "embedding or class scores"
        )
    by_name, modules = _named_nodes(graph)
    return Captured(unlifted, outputs, by_name, modules, batch if isinstance(batch, int) else None)


def _only_input(program: ExportedProgram) -> Tensor:
    """The example picture of a program with one input."""
    names = program.graph_signature.user_inputs
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    tensors = {str(name): placeholders[str(name)].meta.get("val") for name in names if str(name) in placeholders}
    if len(tensors) != 1:
        raise ExportError(_one_input(list(tensors)))
    ((name, value),) = tensors.items()
    if not isinstance(value, Tensor):
        raise ExportError(f"the network's input '{name}' must be a tensor of pictures; got {type(value).__name__}")
    if value.dtype != torch.float32:
        kind = str(value.dtype).removeprefix("torch.")
        raise ExportError(f"the network's input '{name}' must be float32; got {kind}. Export the float32 network")
    shape = [str(side) for side in value.shape]
    if value.dim() != 4 or shape[1] != "3" or not all(side.isdigit() for side in shape[2:]):
        raise ExportError(
            f"the network's input '{name}' must be pictures (n, 3, height, width) of a fixed size; got "
            f"({', '.join(shape)}). Wrap the network in a module that takes such pictures"
        )
    return value


def _one_input(names: list[str]) -> str:
    listed = ", ".join(names) or "none"
    return (
        f"a backbone has one input, the picture; this network has {len(names)}: {listed}. Wrap it in a module that "
        "fills in the others"
    )


def _refuse_training(program: ExportedProgram) -> None:
    """Refuse a graph that behaves differently from run to run."""
    for node in program.graph.nodes:
        name = getattr(node.target, "__name__", "")
        training = (
            (name.startswith(("dropout", "feature_dropout", "alpha_dropout")) and node.args[2])
            or (name.startswith("batch_norm.") and node.args[5])
            or name.startswith(("native_dropout", "bernoulli", "_native_batch_norm_legit."))
        )
        if training:
            raise ExportError(
                f"the network's operator '{node.name}' is in training mode; call .eval() before it is exported, and "
                "give functional dropout training=self.training"
            )
        if name in ("cond", "while_loop", "map_impl", "scan") or name.startswith("cond"):
            raise ExportError(
                f"the network decides at run time what it does ('{node.name}'); a backbone must do the same for every "
                "picture. Replace torch.cond by torch.where"
            )


def _place(error: BaseException) -> str:
    """The innermost line that belongs to nobody's library, as " (file.py:12, in forward)"."""
    inside = str(Path(torch.__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith((inside, str(Path(__file__).parent), "<")) and Path(frame.filename).is_file()
    ]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno}, in {own[-1].name})" if own else ""


def _output_names(spec: Any, count: int) -> list[str]:
    """A name for each output: the key of a dictionary or of a model's output class, or its place."""
    if count == 1:
        return ["output"]
    from torch.utils import _pytree as pytree

    try:
        nested = pytree.tree_unflatten(list(range(count)), spec)
    except Exception:
        nested = list(range(count))
    names = [str(i) for i in range(count)]

    def visit(value: Any, name: str) -> None:
        if isinstance(value, int):
            names[value] = name
        elif isinstance(value, Mapping):
            for key, item in value.items():
                visit(item, f"{name}.{key}" if name else str(key))
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                visit(item, f"{name}.{i}" if name else f"output.{i}")

    visit(nested, "")
    return names


def _named_nodes(graph: fx.Graph) -> tuple[dict[str, fx.Node], tuple[str, ...]]:
    """Names that mean a value in the graph, and which of them are modules."""
    by_name: dict[str, fx.Node] = {}
    modules: dict[str, fx.Node] = {}
    for node in graph.nodes:
        shape = shape_of(node)
        if node.op != "call_function" or shape is None:
            continue
        # Operators keep the names that they had before they were made functional.
        waiting = list(node.meta.get("from_node") or ())
        while waiting:
            source = waiting.pop()
            by_name[str(source.name)] = node
            waiting.extend(source.from_node)
        if 2 <= len(shape) <= 4:
            for path in _module_paths(node):
                last = modules.get(path)
                if last is None or any(path not in _module_paths(user) for user in node.users):
                    modules.pop(path, None)
                    modules[path] = node
    for node in graph.nodes:
        if node.op == "call_function" and shape_of(node) is not None:
            by_name[node.name] = node
    by_name.update(modules)
    return by_name, tuple(modules)


def _module_paths(node: fx.Node) -> list[str]:
    """The modules that an operator belongs to, outermost first, by their names in `named_modules()`."""
    paths = []
    for entry in (node.meta.get("nn_module_stack") or {}).values():
        path = re.sub(r"@\d+$", "", str(entry[0]))
        path = re.sub(r"^L(__self__|\['self'\])\.?", "", path)
        if path and "metadata_hook" not in path:
            paths.append(re.sub(r"slice\(None, None, None\)", "", path))
    return paths
