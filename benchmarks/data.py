"""Real pictures and their embeddings: read from the zips of ../shared/data, embedded once, then cached."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.errors import DataMissingError
from edge_imprint.backbones import Backbone, BaseStatistics, load_backbone
from edge_imprint.errors import EdgeImprintError
from edge_imprint_export.projection import fit_projection
from edge_imprint_export.public.registry import registry

ROOT = Path(__file__).resolve().parent.parent
BATCH = 64
PROBES = 8
CALIBRATION = "imagenet_samples_1000"

Split = Literal["train", "test"]


@dataclass(frozen=True)
class BackboneSource:
    """Where a backbone of the suites comes from: a file of the shared folder, or the embedded default.

    `embedding` names a tensor of the file; None takes the last one that fits. `project` names another backbone
    of this table and how many principal axes of the calibration pictures its embedding is projected to, as
    `export --project` does; the file is that backbone's.
    """

    title: str
    file: str | None
    precision: str = "auto"
    embedding: str | None = None
    project: tuple[str, int] | None = None


BACKBONES = {
    **{
        entry.name: BackboneSource(entry.title, entry.file_name, embedding=entry.embedding)
        for entry in registry()
        if entry.takes_pictures
    },
    "mobilenet_v1_0.25_128": BackboneSource("MobileNetV1 0.25/128", "mobilenet_v1_0.25_128_quant.tflite"),
    "mobilenet_v1_1.0_224": BackboneSource(
        "MobileNetV1 1.0/224", "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
    ),
    "mobilenet_v2_384": BackboneSource(
        "MobileNetV2 1.0/224 to 384 axes",
        "tf2_mobilenet_v2_1.0_224_ptq.tflite",
        project=("mobilenet_v2_1.0_224", 384),
    ),
    "default-float32": BackboneSource("default, float32", None, "float32"),
    "default-int8": BackboneSource("default, int8", None, "int8"),
}
DEFAULT = ("default-float32", "default-int8")
DATA_SETS = {"clothing_small": "clothing", "cifar10_subset": "CIFAR-10"}


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings of one data set: shots are drawn from `train`, accuracy is measured on `test`.

    Embeddings are float32 of shape (n, dim), as the backbone gave them; labels are strings of shape (n,).
    """

    data: str
    backbone: str
    train: NDArray[np.float32]
    train_labels: NDArray[np.str_]
    test: NDArray[np.float32]
    test_labels: NDArray[np.str_]

    @property
    def dim(self) -> int:
        return int(self.train.shape[1])

    @property
    def classes(self) -> NDArray[np.str_]:
        return np.unique(self.train_labels)


class EmbeddingSource(Protocol):
    """Whatever can hand out embeddings by name; tests use one of their own."""

    def load(self, data: str, backbone: str) -> EmbeddingSet:
        """Embeddings of a data set by a backbone.

        Raises:
            DataMissingError: one of the two is not on this machine.
        """
        ...


@runtime_checkable
class BaseSource(Protocol):
    """A source that also knows the base statistics of its backbones, which a bundle would bring along."""

    def base_statistics(self, backbone: str) -> BaseStatistics:
        """Moments of the L2-normalised embeddings of the calibration pictures.

        Raises:
            DataMissingError: the backbone or the pictures are not on this machine.
        """
        ...


class SharedEmbeddings:
    """Embeddings made by the project's own backbones from the shared zips."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def load(self, data: str, backbone: str) -> EmbeddingSet:
        """See `EmbeddingSource.load`."""
        train, train_labels = self._split(data, "train", backbone)
        test, test_labels = self._split(data, "test", backbone)
        return EmbeddingSet(data, backbone, train, train_labels, test, test_labels)

    def base_statistics(self, backbone: str) -> BaseStatistics:
        """See `BaseSource.base_statistics`. A bundle's own are taken where it has some."""
        if BACKBONES[backbone].project is None and (own := backbone_of(backbone).base_statistics) is not None:
            return own
        unit = normalise(self.calibration(backbone)).astype(np.float64)
        moment = (unit.T @ unit / len(unit)).astype(np.float32)
        return BaseStatistics(unit.mean(axis=0).astype(np.float32), moment, len(unit))

    def calibration(self, backbone: str) -> NDArray[np.float32]:
        """Embeddings of the calibration pictures, shape (1000, dim), as the backbone gives them.

        Raises:
            DataMissingError: as in `load`.
        """
        return self._split(CALIBRATION, None, backbone)[0]

    def _split(self, data: str, split: Split | None, backbone: str) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
        pictures = Pictures(data, split)
        if BACKBONES[backbone].project is not None:
            return self._projected(pictures, backbone), pictures.labels
        network = backbone_of(backbone)
        path = _cache_path(backbone, network, pictures)
        if path.is_file():
            with np.load(path) as stored:
                cached: NDArray[np.float32] = stored["X"]
            if self._still_true(cached, pictures, network):
                return cached, pictures.labels
        made = self._embed(pictures, network, f"{BACKBONES[backbone].title}: {title_of(data)} {split or ''}")
        _store(path, X=made)
        return made, pictures.labels

    def _projected(self, pictures: Pictures, backbone: str) -> NDArray[np.float32]:
        """Cached as well: products of another BLAS, or on other cores, may differ in the last bit."""
        project = BACKBONES[backbone].project
        assert project is not None
        parent, axes = project
        path = _cache_path(f"{backbone}-{Pictures(CALIBRATION, None).digest[:16]}", backbone_of(parent), pictures)
        embeddings, _ = self._split(pictures.data, pictures.split, parent)
        origin = np.array(hashlib.sha256(embeddings.tobytes()).hexdigest())
        if path.is_file():
            with np.load(path) as stored:
                if stored["origin"] == origin:
                    cached: NDArray[np.float32] = stored["X"]
                    return cached
        made = fit_projection(self.calibration(parent), axes)(embeddings)
        _store(path, X=made, origin=origin)
        return made

    def _embed(self, pictures: Pictures, network: Backbone, text: str) -> NDArray[np.float32]:
        starts = range(0, len(pictures), BATCH)
        rows = [
            network.embed(pictures.read(range(start, min(start + BATCH, len(pictures)))))
            for start in track(starts, text, console=self.console)
        ]
        return np.concatenate(rows)

    def _still_true(self, cached: NDArray[np.float32], pictures: Pictures, network: Backbone) -> bool:
        """Whether today's code gives what the cache holds; digests do not see a change in the code."""
        some = np.linspace(0, len(pictures) - 1, PROBES).astype(int)
        fits = cached.shape == (len(pictures), network.dim)
        return fits and np.array_equal(network.embed(pictures.read(some.tolist())), cached[some])


class Pictures:
    """One split of a zip, `<split>/<label>/*.jpg`, in the order of the names; nothing is unpacked to disk.

    Without a split it is every picture of the zip, and the labels are empty.
    """

    def __init__(self, data: str, split: Split | None) -> None:
        self.data, self.split = data, split
        self.path = data_folder() / f"{data}.zip"
        if not self.path.is_file():
            raise DataMissingError(f"{self.path.name} is missing; set EDGE_IMPRINT_DATA to the folder that holds it")
        self.digest = _sha256(self.path)
        with zipfile.ZipFile(self.path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".jpg")]
        self.names = sorted(name for name in names if split is None or name.startswith(f"{split}/"))
        if not self.names:
            where = "*.jpg" if split is None else f"{split}/<label>/*.jpg"
            raise DataMissingError(f"{self.path.name} holds no {where}; fetch the data set again")
        self.labels: NDArray[np.str_] = np.array(["" if split is None else name.split("/")[1] for name in self.names])

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Sequence[int]) -> list[bytes]:
        """JPEG bytes of the pictures at these places."""
        with zipfile.ZipFile(self.path) as archive:
            return [archive.read(self.names[index]) for index in indices]


def _cache_path(backbone: str, network: Backbone, pictures: Pictures) -> Path:
    split = f"-{pictures.split}" if pictures.split else ""
    key = f"{backbone}-{network.digest[:16]}-{pictures.data}{split}-{pictures.digest[:16]}.npz"
    return cache_folder() / "embeddings" / key


def _store(path: Path, **arrays: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez(temporary, **arrays)
    temporary.replace(path)


@cache
def backbone_of(name: str) -> Backbone:
    """Load one of `BACKBONES`, on one thread so that results and times compare.

    Raises:
        DataMissingError: its file or its runtime is not on this machine.
    """
    source = BACKBONES[name]
    if source.file is not None:
        path = data_folder() / "backbones" / source.file
        if not path.is_file():
            raise DataMissingError(f"{path.name} is missing; set EDGE_IMPRINT_DATA to the folder that holds backbones/")
    try:
        return load_backbone(
            "default" if source.file is None else path,
            precision=source.precision,
            threads=1,
            embedding=source.embedding,
        )
    except EdgeImprintError as error:
        # A reason is kept in results, which are published: no folders of this machine.
        reason = str(error).replace(str(ROOT), ".").replace(str(data_folder()), "data")
        raise DataMissingError(reason) from error


def title_of(data: str) -> str:
    """A data set's name in tables."""
    return DATA_SETS.get(data, data)


def data_folder() -> Path:
    """Where the shared zips are: EDGE_IMPRINT_DATA, else ../shared/data next to the checkout."""
    return Path(os.environ.get("EDGE_IMPRINT_DATA", ROOT.parent / "shared" / "data"))


def cache_folder() -> Path:
    """Where embeddings are kept between runs: EDGE_IMPRINT_CACHE, else ~/.cache/edge-imprint."""
    return Path(os.environ.get("EDGE_IMPRINT_CACHE", Path.home() / ".cache" / "edge-imprint"))


@cache
def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def normalise(embeddings: NDArray[Any]) -> NDArray[np.float32]:
    """Rows scaled to length 1, float32, shape (n, dim)."""
    rows = embeddings.astype(np.float32)
    scaled: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled
