"""The recipe's pictures: Tiny ImageNet tiles, crops of whole ImageNet photographs, and the views cut from them.

A *view* is a picture, or a crop box of one. Teacher and student look at the same view, each at its own resolution.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

TILE = 64
ROWS, COLUMNS = 20, 25
PHOTO_CROPS = 20


def load_tiles(archive: Path, cache: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read `tiny_imagenet_200.zip`.

    Returns:
        tiles (n, 64, 64, 3) uint8, labels (n,) int64, and the class names (WordNet ids) in label order.
    """
    with zipfile.ZipFile(archive) as zipped:
        names = sorted(n for n in zipped.namelist() if n.endswith(".webp"))
        wnids = [Path(n).stem for n in names]
        labels = np.repeat(np.arange(len(names)), ROWS * COLUMNS)
        stored = cache / "tiles.npy"
        if stored.exists():
            return np.load(stored, mmap_mode="r"), labels, wnids
        tiles = np.empty((len(labels), TILE, TILE, 3), np.uint8)
        for i, name in enumerate(names):
            mosaic = np.asarray(Image.open(io.BytesIO(zipped.read(name))).convert("RGB"))
            grid = mosaic.reshape(ROWS, TILE, COLUMNS, TILE, 3).swapaxes(1, 2)
            tiles[i * ROWS * COLUMNS : (i + 1) * ROWS * COLUMNS] = grid.reshape(-1, TILE, TILE, 3)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(stored, tiles)
    return tiles, labels, wnids


def random_box(rng: np.random.Generator, width: int, height: int, smallest: float = 0.3) -> tuple[float, ...]:
    """A crop box (left, top, right, bottom) of `smallest` to all of the area, aspect ratio 3:4 to 4:3."""
    for _ in range(10):
        area = width * height * rng.uniform(smallest, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = np.sqrt(area * ratio), np.sqrt(area / ratio)
        if w <= width and h <= height:
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    return (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2


def resized(picture: np.ndarray | Image.Image, box: np.ndarray | tuple[float, ...] | None, side: int) -> np.ndarray:
    """The view `box` of a picture as (side, side, 3) uint8, bilinear with antialiasing."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    full = (0.0, 0.0, float(image.width), float(image.height))
    edges = full if box is None else tuple(float(v) for v in box)
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=edges))


def load_photographs(archive: Path) -> list[Image.Image]:
    """Read `imagenet_samples_1000.zip`, sorted by name."""
    with zipfile.ZipFile(archive) as zipped:
        names = sorted(n for n in zipped.namelist() if n.lower().endswith((".jpg", ".jpeg")))
        return [Image.open(io.BytesIO(zipped.read(n))).convert("RGB") for n in names]


def photograph_views(photographs: list[Image.Image], seed: int) -> list[tuple[int, tuple[float, ...]]]:
    """`PHOTO_CROPS` random views of each photograph, as (photograph index, box)."""
    rng = np.random.default_rng(seed)
    return [(i, random_box(rng, p.width, p.height)) for i, p in enumerate(photographs) for _ in range(PHOTO_CROPS)]
