"""What an export is asked for, checked before anything is opened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_imprint.backbones import InputSpec
from edge_imprint.errors import UsageError

FORMATS = ("onnx", "onnx-int8", "tflite", "tflite-int8")
FILE_NAMES = {
    "onnx": "backbone.onnx",
    "onnx-int8": "backbone.int8.onnx",
    "tflite": "backbone.tflite",
    "tflite-int8": "backbone.int8.tflite",
}
METHODS = ("auto", "minmax", "percentile", "entropy", "mse", "equalised", "equalised-mse")
IMAGENET = InputSpec(
    224, 224, resize="shorter_side_then_centre_crop", resize_side=224,
    mean=(123.675, 116.28, 103.53), scale=(1 / 58.395, 1 / 57.12, 1 / 57.375),
)  # fmt: skip
"""What an .onnx file is taken to expect where nothing says otherwise."""
PLAIN = InputSpec(224, 224)
"""What a PyTorch network is taken to expect: pixels from -1 to 1."""


@dataclass(frozen=True)
class Options:
    """The settings of one export; see `export_backbone` for what each means.

    Raises:
        UsageError: one of them is outside its range.
    """

    formats: tuple[str, ...] = FORMATS
    project: int | None = None
    fold_preprocessing: bool = False
    min_cosine: float = 0.99
    keep_float: int | str = "auto"
    method: str = "auto"

    def __post_init__(self) -> None:
        wrong = [name for name in self.formats if name not in FORMATS]
        if wrong or not self.formats:
            got = repr(wrong[0]) if wrong else "none"
            raise UsageError(f"formats must be some of {', '.join(FORMATS)}; got {got}")
        if self.project is not None and not 2 <= self.project <= 4096:
            raise UsageError(f"project must be 2 to 4096 dimensions; got {self.project}")
        if not 0 <= self.min_cosine <= 1:
            raise UsageError(f"min_cosine must be from 0 to 1; got {self.min_cosine}")
        if self.keep_float != "auto" and (not isinstance(self.keep_float, int) or self.keep_float < 0):
            raise UsageError(f"keep_float must be a number of layers or 'auto'; got {self.keep_float!r}")
        if self.method not in METHODS:
            raise UsageError(f"method must be one of {', '.join(METHODS)}; got {self.method!r}")


def parse_formats(formats: str | Sequence[str] | None) -> tuple[str, ...]:
    """Formats in the order of `FORMATS`, each once; None means all of them.

    Example:
        >>> parse_formats("tflite-int8, onnx")
        ('onnx', 'tflite-int8')
    """
    if formats is None:
        return FORMATS
    names = formats.split(",") if isinstance(formats, str) else list(formats)
    wanted = [name.strip().lower() for name in names]
    unknown = [name for name in wanted if name not in FORMATS]
    return (*(name for name in FORMATS if name in wanted), *unknown[:1])


@dataclass(frozen=True)
class InputChanges:
    """What a user says about the input where the source says something else, or nothing.

    Attributes:
        height, width: pixels; both or neither.
        mean, std: per channel, of pixels 0 to 255, in the network's channel order.
        colour: "rgb" or "bgr".
        resize: "squash" or "shorter_side_then_centre_crop".
        resize_side: pixels, with the latter.
    """

    height: int | None = None
    width: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    colour: str | None = None
    resize: str | None = None
    resize_side: int | None = None

    def apply(self, spec: InputSpec) -> InputSpec:
        """The spec with these changes; a crop keeps its share of the picture when the size changes.

        Raises:
            BundleError: a value outside its range.
        """
        height, width = self.height or spec.height, self.width or spec.width
        resize, side = spec.resize, spec.resize_side
        if side is not None:
            side = max(height, width, round(side * max(height, width) / max(spec.height, spec.width)))
        if self.resize is not None:
            resize = self.resize
            side = None if resize == "squash" else self.resize_side or side or max(height, width)
        return replace(
            spec,
            height=height,
            width=width,
            resize=resize,
            resize_side=side,
            colour=self.colour or spec.colour,
            mean=self.mean or spec.mean,
            scale=(1 / self.std[0], 1 / self.std[1], 1 / self.std[2]) if self.std else spec.scale,
        )

    @classmethod
    def parse(
        cls,
        *,
        size: str | None = None,
        mean: str | None = None,
        std: str | None = None,
        colour: str | None = None,
        resize: str | None = None,
    ) -> InputChanges:
        """Read what was typed.

        Raises:
            UsageError: a text that is none of these.

        Example:
            >>> InputChanges.parse(size="96x128", resize="crop:110").resize_side
            110
        """
        height = width = side = None
        if size is not None:
            parts = size.lower().split("x")
            if len(parts) > 2 or not all(part.isdecimal() and 1 <= int(part) <= 4096 for part in parts):
                raise UsageError(f"--size must be like 96 or 96x128 (height x width, 1 to 4096); got {size}")
            height, width = int(parts[0]), int(parts[-1])
        if colour not in (None, "rgb", "bgr"):
            raise UsageError(f"--colour must be rgb or bgr; got {colour}")
        rule = resize
        if resize is not None and resize != "squash":
            word, _, number = resize.partition(":")
            if word != "crop" or (number and not number.isdecimal()):
                raise UsageError(f"--resize must be squash, crop or crop:N (pixels); got {resize}")
            rule, side = "shorter_side_then_centre_crop", int(number) if number else None
        return cls(height, width, _channels("--mean", mean), _channels("--std", std), colour, rule, side)


def _channels(option: str, text: str | None) -> tuple[float, float, float] | None:
    """One number for all channels, or three."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= 3
    if len(values) != 3 or not all(math.isfinite(value) for value in values) or (option == "--std" and 0 in values):
        raise UsageError(f"{option} must be one number or three with commas, of pixels 0 to 255; got {text}")
    return values[0], values[1], values[2]
