"""Real photographs, those that come with scikit-image, as a camera would see them: several views of each."""

from __future__ import annotations

import functools
import io

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
OFFSETS = (0, 20, 40)


@functools.cache
def views() -> dict[str, list[Picture]]:
    """Views (H, W, 3) uint8 of a cat, a cup and an astronaut."""
    from skimage import data

    photographs = {"cat": data.chelsea(), "cup": data.coffee(), "astronaut": data.astronaut()}
    return {name: [picture[offset:, offset:] for offset in OFFSETS] for name, picture in photographs.items()}


def encoded(picture: Picture, kind: str) -> bytes:
    """A picture as a file of a format that Pillow knows."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format=kind)
    return stream.getvalue()
