"""The choice of int8 settings by what they do to embeddings: calibration method, and layers that stay in float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_imprint.errors import ExportError
from edge_imprint_export.int8.agreement import Embeddings, compare, likely
from edge_imprint_export.int8.quantiser import Embed, Layer, Quantiser

Progress = Callable[[int, int], None]
# Files that are made and run to see how much single layers hurt. More layers than that are first taken in groups.
MOST_MEASURED = 64
# "auto" leaves at most this share of the multiplications in float to reach what it would like: beyond it int8 hardly
# gains any speed. To reach what is acceptable it leaves more, up to where int8 would be a name only.
LARGEST_SHARE = 0.25
MOST_SHARE = 0.5
# What a layer in float costs besides its multiplications: going there and back.
OVERHEAD = 0.02


@dataclass(frozen=True)
class Aim:
    """Cosines between the float32 and the int8 embedding of a picture that are good enough.

    Attributes:
        minimum, mean: over the pictures; reached, if layers left in float can reach them.
        acceptable: of the worst picture, where they cannot. Float layers cost the speed that int8 is for, so no more of
            them stay than this takes.
        pictures: that will judge the file in the end.
    """

    minimum: float = 0.995
    mean: float = 0.999
    acceptable: float = 0.99
    pictures: int = 200


@dataclass(frozen=True)
class Chosen:
    """An int8 file and how it was chosen.

    Attributes:
        content: bytes of the file.
        method: calibration method.
        keep_float: names of the layers left in float32, the first ones first.
        trials: one entry for each file that was tried: method, kept (names), mean, minimum, centred_mean,
            centred_minimum (cosines to the float32 embeddings; centred: with the mean reference embedding taken off),
            likely_mean, likely_minimum (what to count on over the pictures that judge).
        sensitivity: layer, operator and the mean cosine that is lost when this layer alone is int8; worst first.
        reached: whether the aim was met.
        layers: how many there are.
        float_share: of the multiplications, in the layers left in float32.
        whole: the same file with every layer in int8, where that is another one.
    """

    content: bytes
    method: str
    keep_float: tuple[str, ...]
    trials: tuple[dict[str, Any], ...]
    sensitivity: tuple[tuple[str, str, float], ...]
    reached: bool
    layers: int = 0
    float_share: float = 0.0
    whole: bytes | None = None


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

    All methods are tried with every layer in int8 and the best goes on. Where that misses the aim, the 1, 2, 3, 4, 6,
    8, 12, ... layers stay in float whose loss, when they alone are int8, is largest for the time that they take in
    float, up to a quarter of the multiplications. When even that misses it, the fewest layers that bring every cosine
    to `aim.acceptable` stay in float, up to half of the multiplications, or else those that bring the least one
    highest, and `Chosen.reached` is False.

    Args:
        quantiser: makes the files.
        embed: a file's embeddings (n, dim) of the pictures that judge; 16 to 64 of them do.
        reference: the float32 embeddings (n, dim) of the same pictures.
        method: one of `quantiser.methods`, or "auto".
        keep_float: how many layers stay in float, those that hurt most, or "auto" for the fewest that reach the aim.
        aim: what "auto" has to reach.
        sensitivity: measure each layer even where the choice does not need it.
        progress: told (files done, files at most).

    Raises:
        ExportError: an unknown method, a reference that is not finite or has the wrong shape, or more layers to keep
            than there are.
    """
    _check(quantiser, reference, method, keep_float)
    return _Choice(quantiser, embed, reference, aim, progress).run(method, keep_float, sensitivity)


def keep_more(
    quantiser: Quantiser,
    embed: Embed,
    reference: Embeddings,
    earlier: Chosen,
    *,
    aim: Aim,
    progress: Progress | None = None,
) -> Chosen:
    """More layers in float than an earlier choice left there, because it turned out not to be good enough.

    The fewest that reach `aim`, as in `choose_int8`, or those that bring the lowest cosine highest, which may be the
    earlier ones. What was measured is not measured again.

    Args:
        quantiser: the one of the earlier choice.
        embed: see `choose_int8`.
        reference: see `choose_int8`.
        earlier: what `choose_int8` or this function chose.
        aim: what to reach.
        progress: see `choose_int8`.
    """
    return _Choice(quantiser, embed, reference, aim, progress).run_on(earlier)


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
        self._contents: dict[tuple[str, ...], bytes] = {}
        products = sum(layer.products for layer in quantiser.layers)
        self._share = {layer.name: layer.products / products for layer in quantiser.layers}

    def run(self, method: str, keep_float: str | int, sensitivity: bool) -> Chosen:
        layers, automatic = self._quantiser.layers, keep_float == "auto"
        methods = self._quantiser.methods if method == "auto" else (method,)
        self._total = len(methods) + len(_counts(len(layers))) + min(2 * MOST_MEASURED, len(layers))
        tried = [self._try(name, ()) for name in methods] if len(methods) > 1 or keep_float in ("auto", 0) else []
        # The quantiser's order is its advice: a later method has to be better by more than chance.
        least = min(map(_badness, tried), default=0.0)
        best = next((t["method"] for t in tried if _badness(t) <= 1.02 * least), methods[0])
        whole = next((t for t in tried if t["method"] == best), None)
        table: tuple[tuple[str, str, float], ...] = ()
        met = automatic and whole is not None and self._good(whole)
        if sensitivity or not (met or keep_float == 0):
            table = self._sensitivity(best)
        if not automatic:
            found = self._try(best, tuple(name for name, _, _ in table[: int(keep_float)]))
        elif whole is not None and met:
            found = whole
        else:
            found = self._fewest(best, self._by_worth(table))
        return self._chosen(found, table)

    def run_on(self, earlier: Chosen) -> Chosen:
        self._trials = list(earlier.trials)
        self._total = len(_counts(len(self._quantiser.layers)))
        order = self._by_worth(earlier.sensitivity)
        return self._chosen(self._fewest(earlier.method, order, len(earlier.keep_float) + 1), earlier.sensitivity)

    def _chosen(self, found: dict[str, Any], table: tuple[tuple[str, str, float], ...]) -> Chosen:
        if self._progress is not None:
            self._progress(self._total, self._total)
        method, kept = found["method"], tuple(found["kept"])
        return Chosen(
            self._content(method, kept),
            method,
            kept,
            tuple(self._trials),
            table,
            self._good(found),
            len(self._quantiser.layers),
            self._shared(kept),
            self._content(method, ()) if kept else None,
        )

    def _by_worth(self, table: Sequence[tuple[str, str, float]]) -> tuple[str, ...]:
        """Layers by what they lose in int8 for each bit of time that they take in float."""
        worth = {name: lost / (self._share[name] + OVERHEAD) for name, _, lost in table}
        return tuple(sorted(worth, key=lambda name: -worth[name]))

    def _shared(self, kept: Sequence[str]) -> float:
        return sum(self._share[name] for name in kept)

    def _fewest(self, method: str, order: tuple[str, ...], least: int = 0) -> dict[str, Any]:
        """The first of these layers in float that reach the aim, or else what is acceptable; at least so many."""
        counts = [
            count for count in _counts(len(order)) if self._shared(order[:count]) <= MOST_SHARE and count >= least
        ]
        for count in counts:
            if self._shared(order[:count]) > LARGEST_SHARE:
                break
            found = self._try(method, order[:count])
            if self._good(found):
                return found
        for count in counts:
            found = self._try(method, order[:count])
            if found["likely_minimum"] >= self._aim.acceptable:
                return found
        own = [t for t in self._trials if t["method"] == method]
        return max(own, key=lambda t: float(t["likely_minimum"]))

    def _good(self, trial: dict[str, Any]) -> bool:
        return bool(trial["likely_minimum"] >= self._aim.minimum and trial["likely_mean"] >= self._aim.mean)

    def _try(self, method: str, kept: tuple[str, ...]) -> dict[str, Any]:
        known = next((t for t in self._trials if t["method"] == method and t["kept"] == list(kept)), None)
        if known is not None:
            return known
        content = self._content(method, kept)
        trial = {"method": method, "kept": list(kept), **self._measure(content)}
        self._trials.append(trial)
        return trial

    def _content(self, method: str, kept: tuple[str, ...]) -> bytes:
        """A file; the last one is remembered, and others are made again: together they are large."""
        key = (method, *kept)
        if key not in self._contents:
            made = self._quantiser.quantise(method, keep_float=frozenset(kept))
            self._contents = {key: made}
        return self._contents[key]

    def _measure(self, content: bytes) -> dict[str, float]:
        embeddings = self._embed(content)
        mean, minimum = likely(embeddings, self._reference, self._aim.pictures)
        self._done += 1
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)
        return {**compare(embeddings, self._reference), "likely_mean": mean, "likely_minimum": minimum}

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
    """0, 1, 2, 3, 4, 6, 8, 12, ... and all layers."""
    counts = {0, *range(1, min(layers, 4) + 1), layers}
    step = 4
    while step < layers:
        counts |= {count for count in (step, step * 3 // 2) if count < layers}
        step *= 2
    return sorted(counts)
