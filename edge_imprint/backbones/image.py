"""Whatever a user calls a picture, made into one upright RGB image, or refused with a reason."""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

ImageLike: TypeAlias = Union[str, "os.PathLike[str]", bytes, "Image.Image", NDArray[np.uint8]]

MAX_PIXELS = 64 * 1024 * 1024
# Nothing outside this list is tried: Pillow's other readers include one that starts an external program
# (EPS).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF")
# EXIF orientation: how the stored picture is turned to stand upright (Exif 2.3, tag 0x0112).
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ORIENTATION_TAG = 0x0112


def load_image(image: ImageLike) -> Image.Image:
    """Make an upright RGB image of a picture.

    EXIF orientation is applied. Grey pictures get three equal channels, 16-bit grey is divided by 257
    (65535 becomes 255), palettes and CMYK are converted, and transparent pixels are laid over white. Of a
    phone's multi-picture JPEG (MPO) the main picture is taken. JPEG is always decoded at full size (no
    `Image.draft`): a path and the array of the same picture must give the same embedding.

    Args:
        image: path, bytes of a JPEG, PNG, BMP, GIF, PPM, WebP or TIFF file, PIL image, or uint8 array (H,
            W, 3) in RGB order. Not modified; an RGB PIL image or an array may share its memory with the
            result.

    Returns:
        A PIL image of mode "RGB", at most 64 megapixels (67,108,864), at least 1 x 1.

    Raises:
        ImageError: anything else: missing, empty, truncated, animated, too large, not a picture, an array
            that is not uint8 (H, W, 3). The message names the picture.

    Example:
        >>> load_image(np.zeros((2, 3, 3), np.uint8)).size
        (3, 2)
    """
    from PIL import Image

    if isinstance(image, np.ndarray):
        return _from_array(image)
    name = describe(image)
    # Pillow warns about large pictures and odd metadata; size is checked here, and odd metadata does no harm.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(image, Image.Image):
            return _decode(image, name)
        if isinstance(image, bytes | bytearray | memoryview):
            return _from_stream(io.BytesIO(image), len(image), name)
        if isinstance(image, str | os.PathLike):
            return _from_path(image, name)
    raise ImageError(
        f"a picture must be a path, image file bytes, a PIL image or a uint8 array (H, W, 3); got {name}. "
        "Convert it to one of these."
    )


def describe(image: object) -> str:
    """A short name of a picture for messages: its path, or what it is made of."""
    if isinstance(image, str | os.PathLike):
        text = os.fspath(image)
        shown = text if isinstance(text, str) else repr(text)
        shown = shown if len(shown) <= 200 else shown[:100] + "..." + shown[-90:]
        return shown if shown.isprintable() and shown else repr(shown)
    if isinstance(image, bytes | bytearray | memoryview):
        return f"<{len(image)} bytes>"
    if isinstance(image, np.ndarray):
        return f"<{image.dtype} array {image.shape}>"
    filename = getattr(image, "filename", None)
    return filename if isinstance(filename, str) and filename else f"<{type(image).__name__}>"


def _from_path(image: str | os.PathLike[str], name: str) -> Image.Image:
    try:
        path = Path(image)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ImageError(f"a picture must be a file; {name} is {what}. Name the picture itself.")
        with path.open("rb") as stream:
            # By its name Pillow loads the reader of JPEG alone; of a stream it loads five.
            source = path if path.suffix.lower() in (".jpg", ".jpeg") else stream
            return _from_stream(source, status.st_size, name)
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"a picture must be a readable file; {name}: {reason}. Check path and permissions.") from None


def _from_stream(stream: Any, size: int, name: str) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    if size == 0:
        raise ImageError(f"a picture must not be empty; {name} has 0 bytes. Take or copy it again.")
    try:
        opened = Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(
            f"a picture must be one of {', '.join(FORMATS)}; {name} is none of them, or its header is "
            "damaged. Convert it, for example to JPEG."
        ) from None
    except Image.DecompressionBombError:
        raise _too_large(name, "far more") from None
    # Pillow's readers let all kinds of exceptions out on damaged headers (struct.error, KeyError,
    # OverflowError ...).
    except Exception as error:
        raise _damaged(name, error) from None
    with opened:
        return _decode(opened, name)


def _decode(image: Image.Image, name: str) -> Image.Image:
    """Check what the header says, then decode, turn upright and convert."""
    from PIL.Image import Transpose

    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"a picture must have at least 1 x 1 pixels; {name} has {width} x {height}.")
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{width} x {height}")
    # A phone's MPO holds a main picture and its companions (depth, preview): several frames, but no
    # animation.
    if image.format != "MPO":
        try:
            frames = int(getattr(image, "n_frames", 1))
        except Exception as error:
            raise _damaged(name, error) from None
        if frames > 1:
            raise ImageError(
                f"a picture must be a single one; {name} is animated or has pages: {frames} frames. "
                "Save the frame you mean as a picture of its own."
            )
    try:
        image.load()
        orientation = _orientation(image)
        rgb = _to_rgb(image, name)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(Transpose[_UPRIGHT[orientation]])
            rgb.info.clear()  # the EXIF it carries would turn it once more the next time
        return rgb
    except ImageError:
        raise
    except Exception as error:  # see _from_stream: decoders of damaged data raise anything, MemoryError included
        raise _damaged(name, error) from None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF: the picture itself is still good
        return 1


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ImageError(
                f"grey pictures of more than 8 bits must lie in 0 to 65535; {name} has {grey.min()} to "
                f"{grey.max()}. Rescale it to 8 bits."
            )
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError(
            f"a picture must have integer pixels; {name} has floats (mode F). Rescale it to 8 bits per channel."
        )
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", opaque.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, opaque).convert("RGB")
    return image.convert("RGB")


def _from_array(array: NDArray[Any]) -> Image.Image:
    from PIL import Image

    shape = array.shape
    # Names are made where they are needed: one costs as much as a small head's answer.
    if array.dtype != np.uint8:
        hint = "Use np.rint(x * 255).astype(np.uint8)" if array.dtype.kind == "f" else "Use x.astype(np.uint8)"
        raise ImageError(
            f"an array picture must be uint8 with values 0 to 255; got {describe(array)}. {hint} if its values are "
            f"{'0 to 1' if array.dtype.kind == 'f' else '0 to 255'}."
        )
    if len(shape) != 3 or shape[2] != 3:
        hint = "Put rows first, then columns, then R, G, B"
        if len(shape) == 2:
            hint = "Stack a grey picture: np.stack([x] * 3, axis=-1)"
        elif len(shape) == 3 and shape[2] == 1:
            hint = "Repeat a grey picture: np.repeat(x, 3, axis=2)"
        elif len(shape) == 3 and shape[0] == 3:
            hint = "Put channels last: x.transpose(1, 2, 0)"
        elif len(shape) == 3 and shape[2] == 4:
            hint = "Drop the alpha channel: x[..., :3]"
        elif len(shape) == 4:
            hint = "Pass several pictures as a list: list(x)"
        raise ImageError(f"an array picture must be (H, W, 3); got {describe(array)}. {hint}.")
    if array.size == 0:
        raise ImageError(f"a picture must have at least 1 x 1 pixels; got {describe(array)}.")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise _too_large(describe(array), f"{shape[1]} x {shape[0]}")
    return Image.fromarray(np.ascontiguousarray(array))


def _too_large(name: str, size: str) -> ImageError:
    return ImageError(f"a picture may have at most {MAX_PIXELS} pixels; {name} has {size}. Shrink it first.")


def _damaged(name: str, error: Exception) -> ImageError:
    reason = str(error) or type(error).__name__
    return ImageError(
        f"a picture must be whole; {name} is truncated, damaged or closed: {reason}. Take or copy it again."
    )
