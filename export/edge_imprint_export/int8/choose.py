"""The choice of int8 settings by what they do to embeddings: calibration method, and layers that stay in float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ExportError
from edge_imprint_export.int8.quantiser import Embed, Layer, Quantiser

Embeddings = NDArray[np.float32]
Progress = Callable[[int, int], None]
# Files that are made and run to see how much single layers hurt. More layers than that are first taken in groups.
MOST_MEASURED = 64
# "auto" leaves at most this share of the layers in float: beyond it int8 hardly gains any speed.
LARGEST_SHARE = 0.25


@dataclass(frozen=True)
class Aim:
    """Cosines between the float32 and the int8 embedding of a picture that are good enough.

    Attributes:
        minimum, mean: over the pictures; reached, if layers left in float can reach them.
        acceptable: of the worst picture, where they cannot. Float layers cost the speed that int8 is for, so no more of
            them stay than this takes.
    """

    minimum: float = 0.995
    mean: float = 0.999
    acceptable: float = 0.99


@dataclass(frozen=True)
class Chosen:
    """An int8 file and how it was chosen.

    Attributes:
        content: bytes of the file.
        method: calibration method.
        keep_float: names of the layers left in float32, worst first.
        trials: one entry for each file that was tried: method, kept (names), mean, minimum, centred_mean,
            centred_minimum (cosines to the float32 embeddings; centred: with the mean reference embedding taken off).
        sensitivity: layer, operator and the mean cosine that is lost when this layer alone is int8; worst first.
        reached: whether the aim was met.
    """

    content: bytes
    method: str
    keep_float: tuple[str, ...]
    trials: tuple[dict[str, Any], ...]
    sensitivity: tuple[tuple[str, str, float], ...]
    reached: bool


def choose_int8(
    quantiser: Quantiser,
    embed: Embed,
    reference: Embeddings,
    *,
    method: str = "auto",
    keep_float: str | int = "auto",
    aim: Aim = Aim(),
    sensitivity: bool = True,
    progress: Progress | None = None,
) -> Chosen:
    """Choose int8 settings by measuring candidates on a few pictures.

    All methods are tried with every layer in int8 and the best goes on. Where that misses the aim, the 1, 2, 4, ...
    layers that hurt most when they alone are int8 stay in float, up to a quarter of them. When even that misses it, the
    fewest layers that bring every cosine to `aim.acceptable` stay in float, or else those that bring the least one
    highest, and `Chosen.reached` is False.

    Args:
        quantiser: makes the files.
        embed: a file's embeddings (n, dim) of the pictures that judge; 16 to 64 of them do.
        reference: the float32 embeddings (n, dim) of the same pictures.
        method: one of `quantiser.methods`, or "auto".
        keep_float: how many layers stay in float, or "auto" for the fewest that reach the aim.
        aim: what "auto" has to reach.
        sensitivity: measure each layer even where the choice does not need it.
        progress: told (files done, files at most).

    Raises:
        ExportError: an unknown method, a reference that is not finite or has the wrong shape, or more layers to keep
            than there are.
    """
    _check(quantiser, reference, method, keep_float)
    return _Choice(quantiser, embed, reference, aim, progress).run(method, keep_float, sensitivity)


def compare(embeddings: Embeddings, reference: Embeddings) -> dict[str, float]:
    """Mean and least cosine of rows (n, dim) to those of a reference, as they are and centred on the reference's mean.

    Two zero rows agree; a zero row and another do not. Rows that are not finite count as opposite.
    """
    wide = reference.astype(np.float64)
    own = embeddings.astype(np.float64).reshape(len(wide), -1)
    centre = wide.mean(0) if len(wide) > 1 else np.zeros(wide.shape[1])
    raw, centred = _cosines(own, wide), _cosines(own - centre, wide - centre)
    return {
        "mean": float(raw.mean()),
        "minimum": float(raw.min()),
        "centred_mean": float(centred.mean()),
        "centred_minimum": float(centred.min()),
    }


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.asarray(np.isfinite(a).all(1))
    a = np.where(finite[:, None], a, 0.0)
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    both = (lengths[0] > 0) & (lengths[1] > 0)
    same = ((lengths[0] == 0) & (lengths[1] == 0)).astype(np.float64)
    cosines = np.where(both, (a * b).sum(1) / np.where(both, lengths[0] * lengths[1], 1.0), same)
    return np.where(finite, np.minimum(cosines, 1.0), -1.0)


def _check(quantiser: Quantiser, reference: Embeddings, method: str, keep_float: str | int) -> None:
    if method != "auto" and method not in quantiser.methods:
        raise ExportError(f"calibration method must be auto or one of {', '.join(quantiser.methods)}; got {method!r}")
    if reference.ndim != 2 or not reference.size or not np.isfinite(reference).all():
        raise ExportError(
            f"int8 is judged by finite float32 embeddings (n, dim); got shape {reference.shape}"
            f"{'' if np.isfinite(reference).all() else ' with NaN or infinity'}. Check the float32 network first"
        )
    if keep_float != "auto" and (not isinstance(keep_float, int) or not 0 <= keep_float <= len(quantiser.layers)):
        raise ExportError(
            f"keep_float must be 'auto' or 0 to {len(quantiser.layers)}, the network's layers; got {keep_float!r}"
        )


class _Choice:
    def __init__(
        self, quantiser: Quantiser, embed: Embed, reference: Embeddings, aim: Aim, progress: Progress | None
    ) -> None:
        self._quantiser, self._embed, self._reference, self._aim = quantiser, embed, reference, aim
        self._progress, self._done = progress, 0
        self._trials: list[dict[str, Any]] = []
        self._contents: dict[tuple[str, tuple[str, ...]], bytes] = {}

    def run(self, method: str, keep_float: str | int, sensitivity: bool) -> Chosen:
        layers = self._quantiser.layers
        methods = self._quantiser.methods if method == "auto" else (method,)
        counts = _counts(len(layers)) if keep_float == "auto" else [int(keep_float)]
        self._total = len(methods) + len(counts) + min(2 * MOST_MEASURED, len(layers))
        tried = [self._try(name, ()) for name in methods] if len(methods) > 1 or counts[0] == 0 else []
        # The quantiser's order is its advice: a later method has to be better by more than chance.
        least = min(map(_badness, tried), default=0.0)
        best = next((t["method"] for t in tried if _badness(t) <= 1.02 * least), methods[0])
        table: tuple[tuple[str, str, float], ...] = ()
        met = any(t["method"] == best and self._good(t) for t in tried) and keep_float == "auto"
        if sensitivity or (counts != [0] and not met):
            table = self._sensitivity(best)
        if met:
            counts = [0]
        found = None
        for count in counts:
            found = self._try(best, tuple(name for name, _, _ in table[:count]))
            if self._good(found):
                break
        assert found is not None
        if keep_float == "auto" and not self._good(found):
            found = self._compromise(best)
        if self._progress is not None:
            self._progress(self._total, self._total)
        kept = tuple(found["kept"])
        return Chosen(self._contents[best, kept], best, kept, tuple(self._trials), table, self._good(found))

    def _good(self, trial: dict[str, Any]) -> bool:
        return bool(trial["minimum"] >= self._aim.minimum and trial["mean"] >= self._aim.mean)

    def _compromise(self, method: str) -> dict[str, Any]:
        own = [t for t in self._trials if t["method"] == method]
        enough = [t for t in own if t["minimum"] >= self._aim.acceptable]
        if enough:
            return min(enough, key=lambda t: len(t["kept"]))
        return max(own, key=lambda t: t["minimum"])

    def _try(self, method: str, kept: tuple[str, ...]) -> dict[str, Any]:
        known = next((t for t in self._trials if t["method"] == method and t["kept"] == list(kept)), None)
        if known is not None:
            return known
        content = self._quantiser.quantise(method, keep_float=frozenset(kept))
        trial = {"method": method, "kept": list(kept), **self._measure(content)}
        # One file per method and the kept layers of the best one are all that can be chosen.
        self._contents[method, kept] = content
        self._trials.append(trial)
        return trial

    def _measure(self, content: bytes) -> dict[str, float]:
        result = compare(self._embed(content), self._reference)
        self._done += 1
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)
        return result

    def _sensitivity(self, method: str) -> tuple[tuple[str, str, float], ...]:
        """Each layer's own loss; where layers are many, that of the worst groups' layers and the others' average."""
        layers = self._quantiser.layers
        size = -(-len(layers) // MOST_MEASURED)
        groups = [layers[i : i + size] for i in range(0, len(layers), size)]
        losses = [self._loss(method, group) for group in groups]
        refined = set(np.argsort(losses, kind="stable")[::-1][: MOST_MEASURED // size].tolist()) if size > 1 else set()
        table = []
        for i, (group, loss) in enumerate(zip(groups, losses, strict=True)):
            for layer in group:
                own = self._loss(method, (layer,)) if i in refined else loss / len(group)
                table.append((layer.name, layer.operator, own))
        return tuple(sorted(table, key=lambda row: -row[2]))

    def _loss(self, method: str, layers: Sequence[Layer]) -> float:
        content = self._quantiser.quantise(method, only=frozenset(layer.name for layer in layers))
        return 1.0 - self._measure(content)["mean"]


def _badness(trial: dict[str, Any]) -> float:
    """Lost cosine, on average and at the worst picture, the latter less because one picture is much of chance."""
    return float(1 - trial["mean"] + 0.1 * (1 - trial["minimum"]))


def _counts(layers: int) -> list[int]:
    """0, 1, 2, 4, ... up to a share of the layers."""
    most = max(1, int(layers * LARGEST_SHARE))
    return [0, *(2**i for i in range(most.bit_length()) if 2**i <= most)]
