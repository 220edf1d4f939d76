"""What a Hugging Face image processor does to a picture, found by giving it pictures.

Processors differ in more than their settings tell (ConvNeXt resizes by its own rule, MobileViT swaps channels,
EfficientNet divides twice), so their answers to plain and striped pictures are read instead of their files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_imprint.backbones import InputSpec
from edge_imprint_export.sources.quiet import quiet

# Larger than any input in use; 768 x 1152 has the sides 2 : 3.
_SHORT, _LONG = 768, 1152
_BILINEAR = 2


def probe(processor: Any, notes: list[str]) -> InputSpec | None:
    """The input rule of an image processor; None, with a note, where it has no such rule.

    Args:
        processor: of transformers, called as `processor(image, return_tensors="pt")`.
        notes: gets what cannot be copied exactly, one sentence each.
    """
    try:
        with quiet():
            plain = [_run(processor, _plain(colour)) for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0))]
            square, wide = _run(processor, _banded(_SHORT)), _run(processor, _banded(_LONG))
    except Exception as error:
        notes.append(f"Its image processor could not be tried ({type(error).__name__}).")
        return None
    black, white, red = (answer[:, answer.shape[1] // 2, answer.shape[2] // 2] for answer in plain)
    scale = (white - black) / 255
    if not scale.all() or not np.isfinite(scale).all():
        notes.append("Its image processor is not a mean and a scale per channel.")
        return None
    bgr = int(np.abs(red - black).argmax()) == 2
    _, height, width = square.shape
    resized = _resized_width(square, black, scale)
    squashed = _resized_width(wide, black, scale) < 1.25 * resized
    side = None
    if wide.shape != square.shape:
        notes.append("Its image processor keeps the shape of a picture; the middle square is used.")
        side = max(resized, height, width)
    elif not squashed or resized > width:
        if squashed:
            notes.append("Its image processor squashes a picture before it crops; the shorter side is used instead.")
        side = max(resized, height, width)
    if getattr(processor, "resample", _BILINEAR) != _BILINEAR:
        notes.append("Its image processor does not resize bilinearly; the bundle does.")
    return InputSpec(
        height=height,
        width=width,
        colour="bgr" if bgr else "rgb",
        resize="squash" if side is None else "shorter_side_then_centre_crop",
        resize_side=side,
        mean=_rounded(-black / scale),
        scale=_rounded(scale),
    )


def _run(processor: Any, picture: Image.Image) -> NDArray[np.float64]:
    values = processor(picture, return_tensors="pt")["pixel_values"]
    answer = np.asarray(values[0], np.float64)
    if answer.ndim != 3 or answer.shape[0] != 3:
        raise ValueError(f"pixel_values of shape {tuple(values.shape)}")
    return answer


def _plain(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (_SHORT, _SHORT), colour)


def _banded(width: int) -> Image.Image:
    """Black, its middle half white."""
    row = np.zeros(width, np.uint8)
    row[width // 4 : -(width // 4)] = 255
    return Image.fromarray(np.repeat(np.repeat(row[None, :, None], _SHORT, 0), 3, 2))


def _resized_width(answer: NDArray[np.float64], black: Any, scale: Any) -> int:
    """How many pixels wide a banded picture was after resizing: twice what is white, which resizing preserves."""
    row = (answer[0, answer.shape[1] // 2] - black[0]) / scale[0] / 255
    return round(2 * float(row.sum()))


def _rounded(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Seven digits: what a float32 processor can tell."""
    shown = [float(f"{value:.7g}") if abs(value) > 1e-6 else 0.0 for value in values]
    return shown[0], shown[1], shown[2]
