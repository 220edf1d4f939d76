"""The demo's real pictures: handwritten digit scans and the photographs that installed packages carry."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from edge_imprint.errors import MissingRuntimeError

VIEW_PIXELS = 160
DIGIT_PIXELS = 96

Box = tuple[float, float, float, float]
"""left, top, right, bottom as shares of the width and height."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Photograph:
    """One thing to teach or to keep secret: where its views come from."""

    label: str
    shown_as: str
    teach_from: tuple[str, Box]
    test_on: tuple[str, Box]
    honesty: str


def _one(label: str, shown_as: str, file: str, box: Box = WHOLE) -> Photograph:
    return Photograph(label, shown_as, (file, box), (file, box), "other views of the same photograph")


TAUGHT = (
    _one("cat", "a cat", "skimage/chelsea.png"),
    _one("cup", "a cup of coffee", "skimage/coffee.png", (0.15, 0.0, 0.9, 1.0)),
    _one("astronaut", "an astronaut", "skimage/astronaut.png"),
    _one("temple", "a temple", "sklearn/china.jpg", (0.05, 0.0, 0.75, 1.0)),
    _one("flower", "a flower", "sklearn/flower.jpg", (0.15, 0.0, 0.85, 1.0)),
    Photograph(
        "bike",
        "a motorcycle",
        ("skimage/motorcycle_left.png", (0.05, 0.1, 1.0, 1.0)),
        ("skimage/motorcycle_right.png", (0.0, 0.1, 0.95, 1.0)),
        "a second photograph, from a camera a little to the right",
    ),
    Photograph(
        "coins",
        "coins",
        ("skimage/coins.png", (0.0, 0.0, 1.0, 0.5)),
        ("skimage/coins.png", (0.0, 0.5, 1.0, 1.0)),
        "other coins: the lower half, never shown",
    ),
    Photograph(
        "bricks",
        "a brick wall",
        ("skimage/brick.png", (0.0, 0.0, 0.5, 1.0)),
        ("skimage/brick.png", (0.5, 0.0, 1.0, 1.0)),
        "other bricks: the right half, never shown",
    ),
)
"""The things the demo teaches."""

NEVER_SHOWN = (
    _one("rocket", "a rocket", "skimage/rocket.jpg", (0.2, 0.0, 0.8, 1.0)),
    _one("admiral", "an admiral", "matplotlib/grace_hopper.jpg"),
    _one("photographer", "a photographer", "skimage/camera.png"),
    _one("page", "a printed page", "skimage/page.png"),
    _one("moon", "the moon", "skimage/moon.png"),
    _one("galaxies", "galaxies", "skimage/hubble_deep_field.jpg"),
    _one("retina", "a retina", "skimage/retina.jpg"),
    _one("grass", "grass", "skimage/grass.png"),
)
"""Things that are only asked about: the right answer is unknown."""


def require_packages() -> None:
    """Raise MissingRuntimeError, naming the extra to install, unless everything the demo imports is there."""
    packages = {
        "sklearn": "scikit-learn",
        "skimage": "scikit-image",
        "matplotlib": "matplotlib",
        "jinja2": "jinja2",
    }
    missing = [package for module, package in packages.items() if find_spec(module) is None]
    if missing:
        raise MissingRuntimeError(
            "the demo needs scikit-learn, scikit-image, matplotlib and jinja2; "
            f"missing: {', '.join(missing)}. Install them with: pip install 'edge-imprint[demo]'"
        )


def digit_scans() -> tuple[NDArray[np.uint8], list[str]]:
    """Scikit-learn's 1,797 handwritten digits, scanned at 8 x 8, as pictures with dark ink on white paper.

    Returns:
        Pictures (1797, 96, 96, 3) uint8, and their labels "0" to "9".
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    ink = np.asarray(digits.images, np.float32)  # 0 is paper, 16 is ink
    small = np.rint(255 - ink * (235 / 16)).astype(np.uint8)
    size = (DIGIT_PIXELS, DIGIT_PIXELS)
    pictures = [np.asarray(Image.fromarray(scan).resize(size, Image.Resampling.BICUBIC)) for scan in small]
    return np.repeat(np.stack(pictures)[..., None], 3, axis=3), [str(digit) for digit in digits.target]


def photograph_file(name: str) -> Path:
    """Where an installed package keeps a photograph, e.g. "skimage/coffee.png"; nothing is downloaded."""
    package, _, file = name.partition("/")
    if package == "skimage":
        import skimage

        return Path(skimage.__file__).parent / "data" / file
    if package == "sklearn":
        import sklearn.datasets

        return Path(sklearn.datasets.__file__).parent / "images" / file
    import matplotlib

    return Path(matplotlib.get_data_path()) / "sample_data" / file


def available(things: tuple[Photograph, ...]) -> list[Photograph]:
    """Those whose photographs the installed versions carry; other versions may carry fewer."""
    return [
        thing
        for thing in things
        if all(photograph_file(file).is_file() for file, _ in (thing.teach_from, thing.test_on))
    ]


def views(source: tuple[str, Box], count: int, rng: np.random.Generator) -> list[bytes]:
    """Make JPEG files of what a robot sees when it comes back: another crop, zoom, light and tilt.

    Args:
        source: a photograph and the part of it that may be seen.
        count: how many views.
        rng: decides all of it; the same generator state gives the same files.

    Returns:
        `count` JPEG files of 160 x 160 pixels.
    """
    file, (left, top, right, bottom) = source
    with Image.open(photograph_file(file)) as opened:
        picture = opened.convert("RGB")
    box = (left * picture.width, top * picture.height, right * picture.width, bottom * picture.height)
    made = []
    for _ in range(count):
        view = _tilted_square(picture, box, rng)
        view = ImageEnhance.Brightness(view).enhance(float(rng.uniform(0.75, 1.25)))
        view = ImageEnhance.Contrast(view).enhance(float(rng.uniform(0.85, 1.15)))
        file_bytes = io.BytesIO()
        view.save(file_bytes, "JPEG", quality=90)
        made.append(file_bytes.getvalue())
    return made


def _tilted_square(
    picture: Image.Image, box: tuple[float, float, float, float], rng: np.random.Generator
) -> Image.Image:
    """A square part of the box, tilted by up to 8 degrees and never reaching outside of it."""
    left, top, right, bottom = box
    angle = math.radians(float(rng.uniform(-8, 8)))
    reach = abs(math.cos(angle)) + abs(math.sin(angle))  # a tilted square of side s needs s * reach of room
    side = min(right - left, bottom - top) / reach * float(rng.uniform(0.65, 1.0))
    room = side * reach / 2
    x = float(rng.uniform(left + room, right - room))
    y = float(rng.uniform(top + room, bottom - room))
    corners = []
    for dx, dy in (
        (-1, -1),
        (-1, 1),
        (1, 1),
        (1, -1),
    ):  # the order Pillow wants: counter-clockwise from upper left
        u, v = dx * side / 2, dy * side / 2
        corners += [
            x + u * math.cos(angle) - v * math.sin(angle),
            y + u * math.sin(angle) + v * math.cos(angle),
        ]
    size = (VIEW_PIXELS, VIEW_PIXELS)
    # Scaling down by more than two without a filter would alias; halve first as often as needed.
    while side >= 2 * VIEW_PIXELS:
        picture = picture.reduce(2)
        corners, side = [value / 2 for value in corners], side / 2
    return picture.transform(size, Image.Transform.QUAD, tuple(corners), Image.Resampling.BICUBIC)
