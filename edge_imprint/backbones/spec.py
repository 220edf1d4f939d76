"""The parts of a manifest: input, files, quantisation, statistics. Every value is checked when an object is
made.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NoReturn

from edge_imprint.errors import BundleError

MAX_SIDE = 4096
FORMATS = ("onnx", "tflite")
PRECISIONS = ("float32", "int8")
LAYOUTS = ("nhwc", "nchw")
DTYPES = ("float32", "uint8", "int8")
RESIZE_RULES = ("squash", "shorter_side_then_centre_crop")

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def refuse(field: str, rule: str, value: object) -> NoReturn:
    """Raise the BundleError of a field that breaks its rule."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    raise BundleError(f"{field} must be {rule}; got {shown}. Correct the manifest or export the bundle again.")


def check_int(field: str, value: object, low: int, high: int) -> None:
    """Refuse what is not an integer from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        refuse(field, f"an integer from {low} to {high}", value)


def check_text(field: str, value: object, longest: int = 300) -> None:
    """Refuse what is not a text of 1 to `longest` characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        refuse(field, f"a text of 1 to {longest} characters", value)


def check_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is not one of the choices."""
    if not isinstance(value, str) or value not in choices:
        refuse(field, "one of " + ", ".join(choices), value)


def check_pattern(field: str, value: object, pattern: re.Pattern[str], rule: str) -> None:
    """Refuse a text that the pattern does not match as a whole."""
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        refuse(field, rule, value)


def is_finite(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_file_name(field: str, value: object) -> None:
    """Refuse what is not a bare file name."""
    # A bare name cannot leave the bundle's folder: no separator, no drive, no "..".
    check_pattern(
        field,
        value,
        _FILE_NAME,
        "a bare file name of letters, digits, '.', '_' and '-', in the bundle's folder",
    )


@dataclass(frozen=True)
class Quantisation:
    """How stored integers stand for real values: real = (stored - zero_point) * scale.

    Attributes:
        scale: above zero.
        zero_point: -128 to 255.

    Example:
        >>> Quantisation(1 / 128, 128)
        Quantisation(scale=0.0078125, zero_point=128)
    """

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if not is_finite(self.scale) or self.scale <= 0:
            refuse("quantisation.scale", "a number above 0", self.scale)
        object.__setattr__(self, "scale", float(self.scale))
        check_int("quantisation.zero_point", self.zero_point, -128, 255)


@dataclass(frozen=True)
class InputSpec:
    """How a picture becomes the numbers a backbone sees.

    A picture is resized in RGB, its channels are put in `colour` order, and each pixel (0 to 255) becomes
    the real value (pixel - mean) * scale of its channel. `squash` resizes the whole picture to width x
    height whatever its shape; `shorter_side_then_centre_crop` scales so that the shorter side would be
    `resize_side` and keeps the middle.

    Attributes:
        height: pixels, 1 to 4096.
        width: pixels, 1 to 4096.
        colour: "rgb" or "bgr", the channel order of the network's input.
        resize: "squash" or "shorter_side_then_centre_crop".
        resize_side: pixels; set exactly when `resize` crops, and at least as large as height and width.
        interpolation: "bilinear", widened when shrinking so that every source pixel counts (antialias).
        mean: one number per channel, in `colour` order, in pixel units.
        scale: one number per channel, not zero.

    Example:
        >>> InputSpec(height=96, width=96).scale[0] * (255 - 127.5)
        1.0
    """

    height: int
    width: int
    colour: str = "rgb"
    resize: str = "squash"
    resize_side: int | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    scale: tuple[float, float, float] = (1 / 127.5, 1 / 127.5, 1 / 127.5)

    def __post_init__(self) -> None:
        check_int("input.height", self.height, 1, MAX_SIDE)
        check_int("input.width", self.width, 1, MAX_SIDE)
        check_choice("input.colour", self.colour, ("rgb", "bgr"))
        check_choice("input.resize", self.resize, RESIZE_RULES)
        check_choice("input.interpolation", self.interpolation, ("bilinear",))
        if self.resize == "squash":
            if self.resize_side is not None:
                refuse("input.resize_side", "null when input.resize is squash", self.resize_side)
        else:
            check_int("input.resize_side", self.resize_side, max(self.height, self.width), 4 * MAX_SIDE)
        for field in ("mean", "scale"):
            values = getattr(self, field)
            if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(is_finite, values)):
                refuse(f"input.{field}", "three finite numbers, one per channel", values)
            object.__setattr__(self, field, tuple(float(v) for v in values))
        if 0.0 in self.scale:
            refuse("input.scale", "three numbers other than 0", self.scale)


@dataclass(frozen=True)
class FileSpec:
    """One runnable file of a bundle.

    Attributes:
        name: bare file name.
        format: "onnx" or "tflite".
        precision: of the weights, "float32" or "int8".
        sha256: 64 lower-case hex digits of the file's bytes.
        size_bytes: length of the file.
        layout: of the input tensor, "nhwc" or "nchw".
        dtype: of the input tensor, "float32", "uint8" or "int8".
        embedding: name of the tensor (TFLite) or output (ONNX) that is the embedding.
        input_quantisation: of an integer input; None: stored value = real value, and always None for float32.
        output_quantisation: of an integer embedding; None: as it is.
    """

    name: str
    format: str
    precision: str
    sha256: str
    size_bytes: int
    layout: str
    dtype: str
    embedding: str
    input_quantisation: Quantisation | None = None
    output_quantisation: Quantisation | None = None

    def __post_init__(self) -> None:
        check_file_name("files[].name", self.name)
        check_choice("files[].format", self.format, FORMATS)
        check_choice("files[].precision", self.precision, PRECISIONS)
        check_pattern("files[].sha256", self.sha256, _SHA256, "64 lower-case hex digits")
        check_int("files[].size_bytes", self.size_bytes, 1, 1 << 31)
        check_choice("files[].layout", self.layout, LAYOUTS)
        check_choice("files[].dtype", self.dtype, DTYPES)
        check_text("files[].embedding", self.embedding, 2000)
        for field in ("input_quantisation", "output_quantisation"):
            value = getattr(self, field)
            if value is not None and not isinstance(value, Quantisation):
                refuse(f"files[].{field}", "null or an object with scale and zero_point", value)
        if self.dtype == "float32" and self.input_quantisation is not None:
            refuse("files[].input_quantisation", "null for a float32 input", self.input_quantisation)


@dataclass(frozen=True)
class StatisticsSpec:
    """Where the second moment of the calibration pictures' embeddings lies: a .npz in the bundle's folder,
    and its SHA-256.
    """

    file: str
    sha256: str

    def __post_init__(self) -> None:
        check_file_name("base_statistics.file", self.file)
        check_pattern("base_statistics.sha256", self.sha256, _SHA256, "64 lower-case hex digits")
