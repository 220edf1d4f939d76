"""Embeddings of a data set by a backbone: made once on all cores, then read from the disk."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import BATCH, PROBES, cache_folder
from benchmarks.paper import extra
from benchmarks.paper.cells import Arrays
from benchmarks.paper.pictures import Tree, read
from edge_imprint.backbones import Backbone, BaseStatistics, load_backbone, load_image
from edge_imprint.errors import ImageError, UsageError

Advance = Callable[[], None]


@dataclass(frozen=True)
class Embedded:
    """One data set as one backbone sees it: `path` is the cache file; `skipped` names pictures that cannot be read."""

    data: str
    backbone: str
    dim: int
    path: Path
    skipped: tuple[str, ...]


@lru_cache(maxsize=2)
def load(path: Path) -> Arrays:
    """The arrays of a cache file; the last two files stay in memory."""
    with path.open("rb") as file, np.load(file) as stored:
        base = None
        if "base_mean" in stored:
            base = BaseStatistics(stored["base_mean"], stored["base_second"], int(stored["base_count"]))
        return Arrays(stored["train"], stored["train_labels"], stored["test"], stored["test_labels"], base)


def embed(tree: Tree, source: str, name: str, jobs: int, advance: Advance) -> Embedded:
    """Embed a data set, or find it in the cache (EDGE_IMPRINT_CACHE, else ~/.cache/edge-imprint).

    The cache file is named by the digests of pictures and backbone. A few pictures are embedded again to see
    whether today's code still gives what the cache holds.

    Args:
        tree: the pictures.
        source: a backbone as `load_backbone` takes it.
        name: how the backbone is called in results.
        jobs: processes; -1 for one per core. The embeddings do not depend on it.
        advance: called after each batch of `batches(tree)`.

    Raises:
        BundleError, MissingRuntimeError: the backbone cannot be opened.
        UsageError: a label none of whose pictures can be read.
    """
    network = backbone(source)
    path = cache_folder() / "paper" / f"{tree.name}-{tree.digest[:16]}-{name}-{network.digest[:16]}.npz"
    names = (*tree.train, *tree.test)
    if path.is_file() and (skipped := _in_cache(path, tree, network)) is not None:
        for _ in range(batches(tree)):
            advance()
        return Embedded(tree.name, name, network.dim, path, skipped)
    embedded: list[NDArray[np.float32]] = []
    readable: list[bool] = []
    parts = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    for rows, good in extra.on_cores(_embed_batch, [(source, tree.source, part) for part in parts], jobs):
        embedded.append(rows)
        readable += good
        advance()
    keep = np.array(readable)
    labels = np.array((*tree.train_labels, *tree.test_labels))
    rows, n = np.concatenate(embedded), int(keep[: len(tree.train)].sum())
    train_labels, test_labels = labels[: len(tree.train)][keep[: len(tree.train)]], labels[len(tree.train) :]
    test_labels = test_labels[keep[len(tree.train) :]]
    for label in np.unique(labels):
        if label not in train_labels or label not in test_labels:
            raise UsageError(f"no picture of {str(label)!r} in {tree.source} can be read. Replace them")
    skipped = tuple(one for one, good in zip(names, readable, strict=True) if not good)
    _save(path, Arrays(rows[:n], train_labels, rows[n:], test_labels, network.base_statistics), skipped)
    return Embedded(tree.name, name, network.dim, path, skipped)


def batches(tree: Tree) -> int:
    """How many steps embedding a data set has."""
    return -(-(len(tree.train) + len(tree.test)) // BATCH)


def digest(network: Backbone) -> str:
    """What tells one backbone from another here: its embeddings, and the base statistics that come with it."""
    base = network.base_statistics
    content = b"" if base is None else base.mean.tobytes() + base.second_moment.tobytes()
    return hashlib.sha256(network.digest.encode() + content).hexdigest()


@lru_cache(maxsize=1)
def backbone(source: str) -> Backbone:
    """Open a backbone on one thread, so that embeddings are the same on every number of cores."""
    return load_backbone(source, threads=1)


def _embed_batch(source: str, pictures: Path, names: Sequence[str]) -> tuple[NDArray[np.float32], list[bool]]:
    """Embeddings of what can be read, and which that is."""
    network, images, good = backbone(source), [], []
    for content in read(pictures, names):
        try:
            images.append(load_image(content))
            good.append(True)
        except ImageError:
            good.append(False)
    return network.embed(images) if images else np.empty((0, network.dim), np.float32), good


def _in_cache(path: Path, tree: Tree, network: Backbone) -> tuple[str, ...] | None:
    """The pictures that were left out when the cache file was made; None where it must be made again."""
    try:
        with path.open("rb") as file, np.load(file) as stored:
            skipped = tuple(str(one) for one in stored["skipped"])
        arrays = load(path)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    rows = np.concatenate([arrays.train, arrays.test])
    kept = [name for name in (*tree.train, *tree.test) if name not in set(skipped)]
    if rows.shape != (len(kept), network.dim):
        return None
    some = np.linspace(0, len(kept) - 1, PROBES).astype(int)
    again = network.embed([load_image(content) for content in read(tree.source, [kept[place] for place in some])])
    if not np.array_equal(again, rows[some]):
        return None
    if not _same_base(arrays.base, network.base_statistics):
        _save(path, replace(arrays, base=network.base_statistics), skipped)
    return skipped


def _same_base(one: BaseStatistics | None, other: BaseStatistics | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one.mean, other.mean) and np.array_equal(one.second_moment, other.second_moment)


def _save(path: Path, arrays: Arrays, skipped: Sequence[str]) -> None:
    """Write a cache file; whoever reads it sees the old one or the new one."""
    base: dict[str, Any] = {}
    if arrays.base is not None:
        base = {
            "base_mean": arrays.base.mean, "base_second": arrays.base.second_moment, "base_count": arrays.base.count
        }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez(
        temporary,
        train=arrays.train, train_labels=arrays.train_labels, test=arrays.test, test_labels=arrays.test_labels,
        skipped=np.array(skipped, dtype=np.str_), **base,
    )  # fmt: skip
    temporary.replace(path)
    load.cache_clear()
