"""PyTorch networks: a factory, a .pt2 file, a TorchScript file or a module at hand."""

from __future__ import annotations

import importlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import ExportError, MissingRuntimeError
from edge_imprint_export.sources.quiet import first_line, quiet
from edge_imprint_export.sources.source import TorchSource

try:
    import torch
    from torch import nn
except ImportError:
    raise MissingRuntimeError(
        "a PyTorch network needs torch, which is not installed. Install it: pip install 'edge-imprint[export]'"
    ) from None

from edge_imprint_export.sources import torch_cut, torch_graph

DEFAULT_SIDE = 224
SUFFIXES = (".pt2", ".pt", ".pth", ".ts", ".torchscript", ".jit")

# What torchvision's own weights were trained with; a module of that package says so by its class.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    """`mean` and `scale` of an InputSpec from a mean and a deviation of pixels in 0 to 1."""
    return {
        "mean": tuple(value * 255 for value in mean),
        "scale": tuple(1 / (255 * value) for value in std),
    }


def open_torch(
    text: str, embedding: str | None = None, input_spec: InputSpec | None = None, *, side: int | None = None
) -> TorchSource:
    """Open a network that PyTorch holds.

    Args:
        text: `torch:package.module:factory`, or a .pt2 or TorchScript file. The module is also looked for in the
            current folder. The factory takes no argument and returns an nn.Module or (nn.Module, InputSpec).
        embedding: module, operator or output to cut behind; None to find it.
        input_spec: what happens to a picture; None for what the network says itself.
        side: pixels of a square input, where nothing else says it.

    Raises:
        ExportError: the network cannot be loaded, run, exported or cut.
        MissingRuntimeError: torch is not installed.
    """
    if text.startswith("torch:"):
        made = _call_factory(text)
        if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], InputSpec):
            made, input_spec = made[0], input_spec or made[1]
        if not isinstance(made, nn.Module):
            raise ExportError(
                f"{text} must return an nn.Module, or (nn.Module, InputSpec); got {type(made).__name__}. Return "
                "the network"
            )
        return source_from_module(made, embedding, input_spec, side=side, name=text.split(":")[1].rpartition(".")[2])
    path = Path(text)
    if not path.is_file():
        raise ExportError(f"no file {text}. Give torch:package.module:factory, a .pt2 file or a TorchScript file")
    with quiet():
        loaded = _load_file(path)
    if isinstance(loaded, torch.export.ExportedProgram):
        return _source_from_program(loaded, embedding, input_spec, path.stem)
    return source_from_module(loaded, embedding, input_spec, side=side, name=path.stem)


def source_from_module(
    module: nn.Module,
    embedding: str | None = None,
    input_spec: InputSpec | None = None,
    *,
    side: int | None = None,
    name: str | None = None,
    licence: str = "unknown",
    description: str | None = None,
    output: str | None = None,
) -> TorchSource:
    """Turn a module into a source; it is put into eval mode, float32 and frozen in place.

    Args:
        module: takes (n, 3, height, width).
        embedding: see `open_torch`.
        input_spec: see `open_torch`.
        side: see `open_torch`.
        name: of the bundle; None for the module's class.
        licence: of the weights.
        description: one line; None for one made of the name.
        output: which of several outputs is wanted; None to choose.

    Raises:
        ExportError: see `open_torch`.
    """
    notes: list[str] = []
    _check_weights(dict(module.named_parameters()), dict(module.named_buffers()))
    if any(value.dtype in (torch.float16, torch.bfloat16) for value in module.parameters()):
        notes.append("Its half-precision weights were widened to float32.")
        module.float()
    module.eval()
    for value in module.parameters():
        value.requires_grad_(False)
    spec = _input_of(module, input_spec, side, notes)
    if isinstance(module, torch.jit.ScriptModule):
        captured = torch_graph.capture_script(module, spec.height, spec.width)
    else:
        captured = torch_graph.capture_module(module, spec.height, spec.width)
    done = torch_cut.cut(captured, _pictures(spec), embedding=embedding, output=output)
    name = name or type(module).__name__
    return TorchSource(
        name=name,
        licence=licence,
        description=description or f"{name}, a PyTorch network",
        input=spec,
        dim=done.dim,
        embedding=done.embedding,
        candidates=done.candidates,
        notes=[*notes, *done.notes],
        module=done.module,
    )


def _source_from_program(
    program: torch.export.ExportedProgram, embedding: str | None, input_spec: InputSpec | None, name: str
) -> TorchSource:
    """A .pt2 file's program as a source; its pictures have the size that it was exported with."""
    _check_weights(dict(program.named_parameters()), dict(program.named_buffers()))
    captured = torch_graph.capture_program(program)
    picture = next(node for node in captured.module.graph.nodes if node.op == "placeholder")
    _, _, height, width = torch_graph.shape_of(picture) or (0, 0, 0, 0)
    notes: list[str] = []
    if input_spec is None:
        input_spec = InputSpec(height=height, width=width)
        notes.append("Nothing says how its pictures are normalised: pixels become -1 to 1.")
    elif (input_spec.height, input_spec.width) != (height, width):
        raise ExportError(
            f"{name} was exported for pictures of {height} x {width}; the InputSpec says {input_spec.height} x "
            f"{input_spec.width}. Export it again with that size"
        )
    done = torch_cut.cut(captured, _pictures(input_spec), embedding=embedding)
    return TorchSource(
        name=name,
        licence="unknown",
        description=f"{name}, an exported PyTorch network",
        input=input_spec,
        dim=done.dim,
        embedding=done.embedding,
        candidates=done.candidates,
        notes=[*notes, *done.notes],
        module=done.module,
    )


def _pictures(spec: InputSpec) -> torch.Tensor:
    """Two pictures of noise, always the same."""
    noise = torch.Generator().manual_seed(0)
    return torch.rand((2, 3, spec.height, spec.width), generator=noise) * 2 - 1


def _call_factory(text: str) -> Any:
    """What the factory of `torch:package.module:factory` returns."""
    _, _, rest = text.partition(":")
    module_name, _, factory_name = rest.partition(":")
    if not module_name or not factory_name:
        raise ExportError(f"a PyTorch network is torch:package.module:factory; got {text}. Name the factory")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ExportError(
            f"{module_name} cannot be imported: {first_line(error)}. It must be installed or lie in the current folder"
        ) from None
    finally:
        if here in sys.path:
            sys.path.remove(here)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise ExportError(
            f"{module_name} has no function {factory_name}; it has {', '.join(functions[:8]) or 'none'}. Name "
            "one of them"
        )
    try:
        return factory()
    except Exception as error:
        raise ExportError(
            f"{module_name}:{factory_name}() fails: {type(error).__name__}: {first_line(error)}. It is called without "
            "arguments and must return the network"
        ) from None


def _load_file(path: Path) -> Any:
    """An exported program or a TorchScript module; anything that would have to be unpickled is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [name.partition("/")[2] or name for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        raise ExportError(_refusal(path, "is no .pt2 and no TorchScript file, or is damaged")) from None
    try:
        if any(part.startswith("code/") for part in parts):
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        if "data.pkl" not in parts:
            return torch.export.load(str(path))
    except Exception as error:
        raise ExportError(f"{path.name} cannot be loaded: {first_line(error)}. Save it again with this torch") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise ExportError(_refusal(path, "is a pickled module, which can run any code when it is opened")) from None
    kind = "holds weights without their network" if isinstance(content, dict) else "holds no network"
    raise ExportError(_refusal(path, kind))


def _refusal(path: Path, why: str) -> str:
    return (
        f"{path.name} {why}. Write a factory that builds the network and loads it (torch:my_file:build), or save the "
        "network with torch.export.save"
    )


def _check_weights(parameters: dict[str, Any], buffers: dict[str, Any]) -> None:
    """Refuse weights that no exporter could use, by name."""
    for name, value in {**parameters, **buffers}.items():
        if value.device.type != "cpu":
            raise ExportError(f"weights must be on the CPU; '{name}' is on {value.device}. Call .cpu() on the network")
        if name in parameters and not value.dtype.is_floating_point:
            kind = str(value.dtype).removeprefix("torch.")
            raise ExportError(f"weights must be floats; '{name}' is {kind}. Give the network before it was quantised")
        if not value.dtype.is_floating_point:
            continue
        # Buffers may hold -inf on purpose: an attention mask.
        statistics = name in parameters or name.endswith(("running_mean", "running_var"))
        bad = ~torch.isfinite(value) if statistics else torch.isnan(value)
        if bool(bad.any()):
            raise ExportError(
                f"weights must be finite; '{name}' has {int(bad.sum())} of {value.numel()} values that are NaN or "
                "infinite. Go back to weights from before training diverged"
            )


def _input_of(module: nn.Module, spec: InputSpec | None, side: int | None, notes: list[str]) -> InputSpec:
    """What happens to a picture: as given, as the module says itself, or the default with a note."""
    if spec is not None:
        return spec
    own = _own_size(module)
    height, width = own or (side or DEFAULT_SIDE,) * 2
    spec = InputSpec(height=height, width=width)
    if own is None and side is None:
        notes.append(f"Nothing says how large its pictures are: {DEFAULT_SIDE} x {DEFAULT_SIDE} was tried.")
    if type(module).__module__.startswith("torchvision.models"):
        notes.append("Pixels are normalised as torchvision's own weights want them.")
        return replace(spec, **normalised(IMAGENET_MEAN, IMAGENET_STD))
    notes.append("Nothing says how its pictures are normalised: pixels become -1 to 1.")
    return spec


def _own_size(module: nn.Module) -> tuple[int, int] | None:
    """Height and width that a module keeps in its configuration."""
    holders = [getattr(module, name, None) for name in ("pretrained_cfg", "default_cfg", "config")]
    for holder in (*holders, module):
        for name in ("input_size", "image_size", "img_size"):
            value = holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value, value
            if isinstance(value, tuple | list) and len(value) in (2, 3) and all(isinstance(v, int) for v in value):
                return int(value[-2]), int(value[-1])
    return None
