"""Networks from Hugging Face (transformers) and timm, by their name on the hub or from a local folder."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path
from typing import Any

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import ExportError, MissingRuntimeError
from edge_imprint_export.sources.hub_input import probe
from edge_imprint_export.sources.quiet import first_line, quiet
from edge_imprint_export.sources.source import TorchSource
from edge_imprint_export.sources.torch_module import DEFAULT_SIDE, normalised, source_from_module

# Weights that a cut or another output leaves out, so it does not matter that a checkpoint lacks them.
_REPLACEABLE = re.compile(r"(^|\.)(\w*classifier\w*|head|fc|pooler|mask_token)(\.|$)")

_SPDX = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-3-clause-clear": "BSD-3-Clause-Clear",
    "cc0-1.0": "CC0-1.0",
    "gpl-3.0": "GPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "mpl-2.0": "MPL-2.0",
    "unlicense": "Unlicense",
    "apple-amlr": "apple-amlr",
}


def spdx(name: str) -> str:
    """A licence as the hub writes it, as an SPDX name where it has one.

    Example:
        >>> spdx("apache-2.0"), spdx("cc-by-nc-4.0"), spdx("other")
        ('Apache-2.0', 'CC-BY-NC-4.0', 'other')
    """
    known = name.strip().strip("'\"")
    return _SPDX.get(known.lower(), known.upper() if known.lower().startswith("cc-by") else known) or "unknown"


def open_hf(
    text: str, embedding: str | None = None, input_spec: InputSpec | None = None, *, side: int | None = None
) -> TorchSource:
    """Open a network of transformers.

    A checkpoint of an image classifier is cut where its classifier reads; of any other, the pooled output is taken if
    its pooler was trained, else the last hidden state is pooled.

    Args:
        text: `hf:<hub id>` or `hf:<folder>` as `save_pretrained` writes it.
        embedding: see `open_torch`.
        input_spec: what happens to a picture; None for what the checkpoint's image processor does.
        side: pixels of a square input, where neither processor nor configuration says it.

    Raises:
        ExportError: it cannot be loaded, lacks weights, or cannot be exported or cut.
        MissingRuntimeError: transformers is not installed.
    """
    name = text.removeprefix("hf:")
    if not name:
        raise ExportError("a Hugging Face network is hf:<hub id or folder>; got no name. Name one")
    if not Path(name).is_dir() and (Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1):
        raise ExportError(f"no folder {name}. Give a hub id such as google/mobilenet_v2_1.0_224, or a folder")
    try:
        with quiet():
            import huggingface_hub.utils
            import transformers
    except ImportError:
        raise MissingRuntimeError(
            "hf: needs transformers, which is not installed. Install it: pip install 'edge-imprint[hub]'"
        ) from None
    notes: list[str] = []
    with quiet():
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        huggingface_hub.utils.disable_progress_bars()  # type: ignore[attr-defined]
        model, output = _load_hf(transformers, name)
        if input_spec is None:
            processor = _processor(transformers, name, notes)
            input_spec = probe(processor, notes) if processor is not None else None
    licence, title = _card_licence(name), Path(name).name
    source = source_from_module(
        model,
        embedding,
        input_spec,
        side=side,
        name=title,
        licence=licence,
        description=f"{title}, {type(model).__name__} of transformers",
        output=output,
    )
    source.notes[:0] = notes
    return source


def _load_hf(transformers: Any, name: str) -> tuple[Any, str | None]:
    """The network, and which of its outputs holds the embedding where that is known."""
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        classifier = any("ForImageClassification" in made for made in config.architectures or ())
        loader = transformers.AutoModelForImageClassification if classifier else transformers.AutoModel
        model, info = loader.from_pretrained(name, output_loading_info=True)
    except Exception as error:
        raise ExportError(
            f"{name} cannot be loaded by transformers: {first_line(error)}. Check the name and the connection, or give "
            "a folder that save_pretrained wrote"
        ) from None
    missing = sorted(str(key) for key in info["missing_keys"])
    random = [key for key in missing if not _REPLACEABLE.search(key)]
    if random:
        raise ExportError(
            f"{name} lacks {len(random)} weights of its network, among them {random[0]}; they would be random. "
            "Download the whole checkpoint again"
        )
    if hasattr(model, "get_image_features") and getattr(config, "vision_config", None) is not None:
        return _picture_half(model), None
    trained_pooler = not any("pooler" in key for key in missing)
    return model, None if classifier or trained_pooler else "last_hidden_state"


def _picture_half(model: Any) -> Any:
    """The half of a network of pictures and texts that sees pictures."""
    from torch import nn

    class PictureHalf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model
            self.config = model.config.vision_config

        def forward(self, pixel_values: Any) -> Any:
            return self.network.get_image_features(pixel_values=pixel_values)

    return PictureHalf()


def _processor(transformers: Any, name: str, notes: list[str]) -> Any:
    try:
        return transformers.AutoImageProcessor.from_pretrained(name)
    except Exception:
        notes.append("It comes without an image processor.")
        return None


def _card_licence(name: str) -> str:
    """Licence in the front matter of a model card, "unknown" where there is none."""
    try:
        if Path(name).is_dir():
            card = Path(name, "README.md").read_text(encoding="utf-8")
        else:
            from huggingface_hub import hf_hub_download

            with quiet():
                card = Path(hf_hub_download(name, "README.md")).read_text(encoding="utf-8")
    except Exception:
        # No card, or none to be had now: the weights were loaded all the same.
        return "unknown"
    front = re.match(r"---\s*\n(.*?)\n---", card, re.S)
    stated: dict[str, str] = dict(re.findall(r"^(license|license_name):[\s-]*(\S+)", front[1] if front else "", re.M))
    licence = stated.get("license", "unknown")
    return spdx(stated.get("license_name", licence) if licence.strip("'\"") == "other" else licence)


def open_timm(
    text: str, embedding: str | None = None, input_spec: InputSpec | None = None, *, side: int | None = None
) -> TorchSource:
    """Open a network of timm with its pretrained weights and without its classifier.

    Args:
        text: `timm:<name>`, such as timm:mobilenetv3_small_100.lamb_in1k, or `timm:local-dir:FOLDER`.
        embedding: see `open_torch`.
        input_spec: what happens to a picture; None for what the network's configuration says.
        side: pixels of a square input, where the configuration does not say it.

    Raises:
        ExportError: it cannot be loaded, or cannot be exported or cut.
        MissingRuntimeError: timm, or a torchvision that fits torch, is not installed.
    """
    name = text.removeprefix("timm:")
    timm = _timm()
    if name.startswith("local-dir:") and not Path(name.removeprefix("local-dir:"), "config.json").is_file():
        raise ExportError(f"no config.json in {name.removeprefix('local-dir:')}. Give a folder in timm's hub format")
    try:
        with quiet():
            model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:
        raise ExportError(
            f"timm cannot load {name}: {first_line(error)}. Check the name (timm.list_pretrained()) and the "
            "connection, or give timm:local-dir:FOLDER"
        ) from None
    config = dict(getattr(model, "pretrained_cfg", None) or {})
    notes: list[str] = []
    if input_spec is None:
        input_spec = _timm_input(config, side, notes)
    title = Path(name.removeprefix("local-dir:")).name
    source = source_from_module(
        model,
        embedding or "output",
        input_spec,
        name=title,
        licence=spdx(str(config.get("license") or "unknown")),
        description=f"{title}, {config.get('architecture') or type(model).__name__} of timm",
    )
    source.notes[:0] = notes
    return source


def _timm() -> Any:
    try:
        with quiet():
            return importlib.import_module("timm")
    except ImportError as error:
        what = "timm" if error.name == "timm" else f"timm's requirement {error.name}"
        raise MissingRuntimeError(f"timm: needs {what}, which is not installed. Install it: pip install timm") from None
    except RuntimeError as error:
        import torch

        raise MissingRuntimeError(
            f"timm needs a torchvision that was built for this torch, {torch.__version__}: {first_line(error, 80)}. "
            "Install both from the same index: pip install --force-reinstall torch torchvision"
        ) from None


def _timm_input(config: dict[str, Any], side: int | None, notes: list[str]) -> InputSpec:
    """The input rule of a timm configuration."""
    _, height, width = config.get("input_size") or (3, side or DEFAULT_SIDE, side or DEFAULT_SIDE)
    share = float(config.get("crop_pct") or 1.0)
    cropped = share < 1 or config.get("crop_mode") != "squash"
    if config.get("crop_mode") not in (None, "center", "squash"):
        notes.append(f"timm crops it by '{config['crop_mode']}'; the bundle takes the middle.")
    if config.get("interpolation") not in (None, "bilinear"):
        notes.append(f"timm resizes its pictures by '{config['interpolation']}'; the bundle resizes bilinearly.")
    return InputSpec(
        height=height,
        width=width,
        resize="shorter_side_then_centre_crop" if cropped else "squash",
        resize_side=math.floor(max(height, width) / share) if cropped else None,
        **normalised(tuple(config.get("mean") or (0.5,) * 3), tuple(config.get("std") or (0.5,) * 3)),
    )
