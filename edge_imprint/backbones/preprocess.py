"""The one path from a picture to a backbone's input: the same code offline, live and on every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones.image import ImageLike, load_image
from edge_imprint.backbones.spec import FileSpec, InputSpec

if TYPE_CHECKING:
    from PIL import Image


class Preprocessor:
    """Turns pictures into the tensor that one file of a bundle takes.

    Resizing is Pillow's bilinear filter with antialias on 8-bit RGB. The centre crop is cut out of the
    picture *before* it is resized (the box that would be the crop after resizing), which is one step
    instead of two and exact to the sub-pixel.

    Args:
        spec: what happens to a picture.
        layout: "nhwc" or "nchw".
        dtype: "float32", "uint8" or "int8". An integer input gets real / scale + zero_point, rounded
            half up, saturated.
        quantisation: (scale, zero_point) of an integer input, (1.0, 0) when it has none.

    Example:
        >>> to_tensor = Preprocessor(InputSpec(height=4, width=6), layout="nchw", dtype="float32")
        >>> to_tensor([np.full((9, 9, 3), 255, np.uint8)]).shape
        (1, 3, 4, 6)
    """

    def __init__(self, spec: InputSpec, *, layout: str, dtype: str, quantisation: tuple[float, int] = (1.0, 0)) -> None:
        self.spec = spec
        self.layout = layout
        self.dtype = np.dtype(dtype)
        # As they meet the pixels: whole planes or rows at a time, because numpy is several times slower on an inner
        # axis of three channels.
        self._mean, self._scale = (self._spread(numbers) for numbers in (spec.mean, spec.scale))
        self._table: list[int] | None = None
        self._offset: np.uint8 | None = None
        self._shared: bytes | None = None
        if self.dtype.kind in "iu":
            self._table = self._lookup_table(quantisation)
            self._offset = _offset_of(self._table)
            one = bytes(self._table[:256])
            self._shared = one if bytes(self._table) == 3 * one else None

    @classmethod
    def of(cls, spec: InputSpec, file: FileSpec) -> Preprocessor:
        """The preprocessor of one file of a bundle."""
        stored = file.input_quantisation
        quantisation = (stored.scale, stored.zero_point) if stored else (1.0, 0)
        return cls(spec, layout=file.layout, dtype=file.dtype, quantisation=quantisation)

    def _spread(self, numbers: Sequence[float]) -> NDArray[np.float32]:
        """One number per channel, in the shape that meets a picture's planes ("nchw") or rows ("nhwc")."""
        channels = np.asarray(numbers, np.float32)
        return channels[:, None, None] if self.layout == "nchw" else np.tile(channels, self.spec.width)

    def _lookup_table(self, quantisation: tuple[float, int]) -> list[int]:
        """256 entries per channel, as bytes: an int8 value is stored as its two's complement."""
        scale, zero_point = quantisation
        pixels = np.arange(256, dtype=np.float64)
        limits = np.iinfo(self.dtype)
        entries: list[int] = []
        for mean, gain in zip(self.spec.mean, self.spec.scale, strict=True):
            # Half up, not half to even: with a mean of 127.5 every value is a tie, and even would merge neighbours.
            # The inner rounding takes ties back that float arithmetic moved by a hair.
            stored = np.floor(np.round((pixels - mean) * gain / scale, 6) + 0.5) + zero_point
            clipped = np.clip(stored, limits.min, limits.max).astype(self.dtype)
            entries.extend(clipped.view(np.uint8).tolist())
        return entries

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one picture's tensor, without the batch axis."""
        height, width = self.spec.height, self.spec.width
        return (3, height, width) if self.layout == "nchw" else (height, width, 3)

    def __call__(self, images: Sequence[ImageLike]) -> NDArray[Any]:
        """Prepare pictures.

        Args:
            images: see `load_image`.

        Returns:
            Shape (n, *shape), of the input's dtype, C-contiguous.

        Raises:
            ImageError: one of them cannot be used; nothing is returned.
        """
        tensor = np.empty((len(images), *self.shape), self.dtype)
        for i, image in enumerate(images):
            self._fill(tensor[i], load_image(image))
        return tensor

    def _fill(self, out: NDArray[Any], image: Image.Image) -> None:
        small = self._resized(image)
        if self.spec.colour == "bgr":
            red, green, blue = small.split()
            small = _merge(blue, green, red)
        if self._table is not None:
            if self._offset is not None:  # a tenth of the time of looking every pixel up
                stored = np.asarray(small) + self._offset
            elif self._shared is not None:  # a third of the time of `point`, which rounds its table anew each time
                found = small.tobytes().translate(self._shared)
                stored = np.frombuffer(found, np.uint8).reshape(self.spec.height, self.spec.width, 3)
            else:
                stored = np.asarray(small.point(self._table))
            pixels = stored.view(self.dtype)
            out[...] = pixels if self.layout == "nhwc" else pixels.transpose(2, 0, 1)
            return
        pixels = np.asarray(small)
        if self.layout == "nchw":
            pixels = pixels.transpose(2, 0, 1)
        else:
            out = out.reshape(self.spec.height, -1)
            pixels = pixels.reshape(out.shape)
        np.subtract(pixels, self._mean, out=out)
        out *= self._scale

    def _resized(self, image: Image.Image) -> Image.Image:
        from PIL import Image as Pillow

        size = (self.spec.width, self.spec.height)
        bilinear = Pillow.Resampling.BILINEAR
        if self.spec.resize_side is None:
            return image if image.size == size else image.resize(size, bilinear)
        zoom = self.spec.resize_side / min(image.size)
        width, height = size[0] / zoom, size[1] / zoom
        left, top = (image.width - width) / 2, (image.height - height) / 2
        # The box fits by arithmetic; rounding may put an edge 1e-13 outside, which Pillow refuses.
        box = (max(0.0, left), max(0.0, top), min(left + width, image.width), min(top + height, image.height))
        return image.resize(size, bilinear, box=box)


def _merge(*channels: Image.Image) -> Image.Image:
    from PIL import Image as Pillow

    return Pillow.merge("RGB", channels)


def _offset_of(table: list[int]) -> np.uint8 | None:
    """What every entry of a lookup table adds to its pixel, modulo 256; None where that differs between pixels.

    Most networks with an integer input take the pixels as they are, or less 128.
    """
    added = np.asarray(table, np.uint8) - np.tile(np.arange(256, dtype=np.uint8), 3)
    return np.uint8(added[0]) if (added == added[0]).all() else None
