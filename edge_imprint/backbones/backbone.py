"""A backbone that is ready to run: pictures in, embeddings out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from math import isfinite
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones.bundle import BaseStatistics
from edge_imprint.backbones.image import ImageLike, describe
from edge_imprint.backbones.manifest import Manifest
from edge_imprint.backbones.preprocess import Preprocessor
from edge_imprint.backbones.spec import FileSpec
from edge_imprint.errors import BundleError, ImageError, ShapeError


class Runner(Protocol):
    """What runs a file: see `OnnxRunner` and `TfliteRunner`."""

    runtime: str
    version: str

    def __call__(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Run the tensor of one picture."""
        ...


class Backbone:
    """A frozen network that turns pictures into embeddings. Made by `load_backbone`.

    A network that takes no pictures (its manifest's `input` is None) has `infer` alone.

    Attributes:
        name: from the manifest.
        dim: width of an embedding.
        digest: 64 hex digits that identify the embedding function; equal digests, comparable embeddings.
        manifest: the bundle's, or one derived from a single file.
        file: the manifest's entry of the file that runs.
        source: what `load_backbone` was given, "default" or an absolute path.
        options: the keywords that `load_backbone` needs to open the same function again.
    """

    def __init__(
        self,
        manifest: Manifest,
        file: FileSpec,
        runner: Runner,
        *,
        source: str,
        options: dict[str, str],
        statistics: Callable[[], BaseStatistics] | None = None,
    ) -> None:
        self.manifest = manifest
        self.file = file
        self.name = manifest.name
        self.dim = manifest.dim
        self.digest = manifest.digest(file)
        self.source = source
        self.options = options
        self._runner = runner
        self._preprocessor = None if manifest.input is None else Preprocessor.of(manifest.input, file)
        self._statistics = statistics
        stored = file.output_quantisation
        self._stored = None if stored is None else (np.float32(stored.zero_point), np.float32(stored.scale))

    def __repr__(self) -> str:
        runs = f"{self.file.precision}, {self._runner.runtime}"
        return f"<Backbone {self.name}: dim={self.dim}, {runs}, {self.digest[:12]}>"

    @cached_property
    def base_statistics(self) -> BaseStatistics | None:
        """Moments of the calibration pictures' embeddings, read at first use; None when the bundle has none.

        Raises:
            BundleError: the file is missing, damaged or of another shape.
        """
        return None if self._statistics is None else self._statistics()

    def prepare(self, images: Sequence[ImageLike]) -> NDArray[Any]:
        """Make the tensor that the network sees.

        Args:
            images: see `load_image` for what a picture may be. Not modified.

        Returns:
            Shape (n, *input), of the input's dtype.

        Raises:
            ImageError: a picture cannot be used; the message names it. Nothing is returned.
            BundleError: the network takes no pictures.
        """
        to_tensor = self._picture_preprocessor()
        listed = _listed(images)
        tensor = np.empty((len(listed), *to_tensor.shape), to_tensor.dtype)
        for i, image in enumerate(listed):
            tensor[i] = _prepared(to_tensor, image, i, len(listed))[0]
        return tensor

    def infer(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """Embed prepared pictures.

        They are run one by one: an embedding must not depend, not even in its last bit, on which other
        pictures were in the call, and memory must not grow with their number. A batch would save a fifth
        of the time at best.

        Args:
            tensor: what `prepare` returned; for a network that takes no pictures, n of its inputs, each without
                the batch axis, of the dtype that `file` says.

        Returns:
            Shape (n, dim), float32, finite, not normalised.

        Raises:
            BundleError: the network fails or gives something other than `dim` finite numbers.
            ShapeError: no batch axis.
        """
        if np.ndim(tensor) < 2:
            raise ShapeError(f"infer takes a batch (n, ...); got shape {np.shape(tensor)}. Use tensor[None].")
        embeddings = np.empty((len(tensor), self.dim), np.float32)
        for i in range(len(tensor)):
            embeddings[i] = self._row(self._runner(tensor[i : i + 1]))
        return embeddings

    def embed(self, images: Sequence[ImageLike]) -> NDArray[np.float32]:
        """Embed pictures: `prepare`, then `infer`, one after the other.

        Args:
            images: see `load_image` for what a picture may be. Not modified.

        Returns:
            Shape (n, dim), float32, finite, not normalised; (0, dim) for an empty list.

        Raises:
            ImageError: a picture cannot be used; the message names it. Nothing is returned.
            BundleError: as `infer`, or the network takes no pictures.
        """
        to_tensor = self._picture_preprocessor()
        listed = _listed(images)
        embeddings = np.empty((len(listed), self.dim), np.float32)
        for i, image in enumerate(listed):
            embeddings[i] = self._row(self._runner(_prepared(to_tensor, image, i, len(listed))))
        return embeddings

    def _picture_preprocessor(self) -> Preprocessor:
        if self._preprocessor is None:
            raise BundleError(
                f"backbone {self.name} takes no pictures: its manifest has no input rule. Give Backbone.infer tensors "
                f"of {self.file.dtype} and its embeddings to an ImprintHead."
            )
        return self._preprocessor

    def _row(self, output: NDArray[Any]) -> NDArray[np.float32]:
        """The network's output as an embedding: dequantised, and a map of features averaged over its
        places.
        """
        row = output.astype(np.float32, copy=False)
        if self._stored is not None:
            zero_point, scale = self._stored
            row = (row - zero_point) * scale
        spec = self.manifest.input
        row = pool(row, self.file.layout, spec is not None and spec.height == spec.width)
        if row.shape != (1, self.dim):
            raise BundleError(
                f"{self.file.name} must give {self.dim} numbers for a picture; got an output of "
                f"{output.shape}. Correct dim or embedding in the manifest."
            )
        # What is not finite has no finite square, and one dot product takes half as long as looking at each number.
        if not isfinite(np.vdot(row, row)) and not np.isfinite(row).all():
            raise BundleError(f"an embedding must be finite; {self.file.name} gave NaN or infinity. Export it again.")
        return np.asarray(row[0])

    def info(self) -> dict[str, Any]:
        """What there is to know about this backbone, ready for JSON."""
        spec = self.manifest.input
        return {
            "name": self.name,
            "description": self.manifest.description,
            "licence": self.manifest.licence,
            "dim": self.dim,
            "digest": self.digest,
            "source": self.source,
            "runtime": self._runner.runtime,
            "runtime_version": self._runner.version,
            "precision": self.file.precision,
            "file": self.file.name,
            "size_bytes": self.file.size_bytes,
            "files": {file.name: file.size_bytes for file in self.manifest.files},
            "input_size": None if spec is None else [spec.height, spec.width],
            "embedding": self.file.embedding,
        }


def pool(output: NDArray[np.float32], layout: str, square: bool = False) -> NDArray[np.float32]:
    """A network's output as rows: rank 2 as it is, a map of rank 4 averaged over height and width.

    Args:
        output: shape (n, dim), (n, height, width, dim) or (n, dim, height, width). What has one axis longer than
            1 beside the batch is a row already, in any order and rank.
        layout: of the input, "nhwc" or "nchw".
        square: whether the input is. Converted networks often turn the axes inside, so that input and map
            have different layouts; a square picture has a square map, which tells its two sides apart from
            its channels. Where that cannot tell, the map has the input's layout.

    Returns:
        Shape (n, dim); other ranks come back unchanged.

    Example:
        >>> pool(np.ones((1, 8, 7, 7), np.float32), "nchw").shape
        (1, 8)
    """
    if output.ndim > 2 and sum(axis > 1 for axis in output.shape[1:]) <= 1:
        return output.reshape(len(output), -1)
    if output.ndim != 4:
        return output
    return np.asarray(output.mean(axis=map_axes(output.shape, layout, square), dtype=np.float32))


def map_axes(shape: Sequence[int], layout: str, square: bool) -> tuple[int, int]:
    """The axes of height and width of a map of rank 4; see `pool` for the rule."""
    first, second, third = shape[1:]
    if square and first != third and second in (first, third):
        layout = "nhwc" if first == second else "nchw"
    return (2, 3) if layout == "nchw" else (1, 2)


def _prepared(to_tensor: Preprocessor, image: ImageLike, number: int, count: int) -> NDArray[Any]:
    try:
        return to_tensor([image])
    except ImageError as error:
        if count == 1 or isinstance(image, str | os.PathLike):  # a path is a name already
            raise
        raise ImageError(f"picture {number + 1} of {count}: {error}") from None


def _listed(images: Sequence[ImageLike]) -> list[ImageLike]:
    if isinstance(images, list):  # first: a question about protocols costs more
        return list(images)
    single = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(images, "convert")
    if single or (isinstance(images, np.ndarray) and images.ndim != 4):
        raise ImageError(f"embed takes a list of pictures; got a single one, {describe(images)}. Use embed([picture]).")
    try:
        return list(images)
    except TypeError:
        raise ImageError(f"embed takes a list of pictures; got {describe(images)}. Use embed([picture]).") from None
