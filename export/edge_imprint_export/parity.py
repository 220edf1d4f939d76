"""How faithful a file is to the network it was made of: what changes of the embeddings, and whether it matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_imprint.episodes import evaluate
from edge_imprint.errors import ParityError, ShapeError

Array = NDArray[np.float64]

SHOTS = (1, 5)
EPISODES = 20
# Of the largest magnitude: sums in another order differ by about 1e-6, folded constants by up to about 1e-5.
FLOAT_PASS, FLOAT_FAIL = 1e-4, 1e-3
# What a well quantised convolutional network reaches; below it works, but somebody should look.
INT8_MIN, INT8_MEAN = 0.995, 0.999
# Points of 5-shot accuracy; the episodes of one network with other pictures vary more than this.
ACCURACY_DROP = 1.0
# Two neighbours this close to equally near are equally right.
_TIE = 1e-6


@dataclass(frozen=True)
class FewShot:
    """Balanced accuracy in percent of a nearest class mean after so many shots per class, in the same episodes.

    Attributes:
        shots: per class.
        classes: how many.
        episodes: how many were drawn.
        before: of the source.
        after: of the file.
    """

    shots: int
    classes: int
    episodes: int
    before: float
    after: float


@dataclass(frozen=True)
class Parity:
    """The embeddings (n, dim) of a file against those of its source.

    Attributes:
        count: n.
        cosine_min: over the pictures; 0 where only one of two embeddings is zero, 1 where both are.
        cosine_mean: likewise.
        centred_min: the same after subtracting the reference's mean from both, which is what tells classes apart:
            embeddings after a ReLU all point much the same way. None for a single picture or when all are alike.
        centred_mean: likewise.
        worst: the picture with the lowest cosine.
        largest_difference: between two numbers, as a share of the reference's largest magnitude.
        most_different: the picture that has it.
        neighbours: share of pictures whose nearest neighbour by cosine stays the same; None below three pictures.
        zeros: pictures whose embedding is zero in the file and not in the source, or the other way round.
        few_shot: one per number of shots; empty without labels.
        cosines: one per picture.
    """

    count: int
    cosine_min: float
    cosine_mean: float
    centred_min: float | None
    centred_mean: float | None
    worst: int
    largest_difference: float
    most_different: int
    neighbours: float | None
    zeros: tuple[int, ...]
    few_shot: tuple[FewShot, ...]
    cosines: tuple[float, ...]


def parity(reference: NDArray[np.float32], got: NDArray[np.float32], *, labels: Sequence[str] | None = None) -> Parity:
    """Compare embeddings of the same pictures.

    Args:
        reference: shape (n, dim), n >= 1, of the source.
        got: shape (n, dim), of the file.
        labels: (n,), for few-shot accuracy.

    Raises:
        ShapeError: the shapes differ or there is no picture.
        ParityError: NaN or infinity; the message says in which of the two, and the picture's number from 1.

    Example:
        >>> p = parity(np.float32([[3, 4], [4, 3]]), np.float32([[3, 4], [4, 3.1]]))
        >>> p.worst, round(p.cosine_min, 4), round(p.largest_difference, 3)
        (1, 0.9999, 0.025)
    """
    if reference.shape != got.shape or reference.ndim != 2 or reference.size == 0:
        raise ShapeError(
            f"embeddings must be (n, dim) with n >= 1, of both alike; got {reference.shape}, {got.shape}. "
            "Embed the same pictures with both."
        )
    first, second = reference.astype(np.float64), got.astype(np.float64)
    for who, values in (("the source", first), ("the exported file", second)):
        broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if broken.size:
            raise ParityError(
                f"embeddings must be finite; {who} gives NaN or infinity for {broken.size} of {len(values)} pictures, "
                f"first for number {broken[0] + 1}. Check its weights."
            )
    cosines = _cosines(first, second)
    zero = ~first.any(axis=1) != ~second.any(axis=1)
    middle = first.mean(axis=0)
    centred = _cosines(first - middle, second - middle)[_spreads(first, middle)]
    scale = float(np.abs(first).max()) or 1.0
    differences = np.abs(first - second).max(axis=1) / scale
    return Parity(
        count=len(first),
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        centred_min=float(centred.min()) if centred.size else None,
        centred_mean=float(centred.mean()) if centred.size else None,
        worst=int(cosines.argmin()),
        largest_difference=float(differences.max()),
        most_different=int(differences.argmax()),
        neighbours=_neighbours(first, second),
        zeros=tuple(int(place) for place in np.flatnonzero(zero)),
        few_shot=() if labels is None else few_shot(reference, got, labels),
        cosines=tuple(float(cosine) for cosine in cosines),
    )


def _spreads(reference: Array, middle: Array) -> NDArray[np.bool_]:
    """Pictures that differ from the mean by more than rounding, so that a direction from it means something."""
    distance = np.linalg.norm(reference - middle, axis=1)
    return np.asarray(distance > 1e-5 * max(float(np.linalg.norm(reference, axis=1).max()), 1e-30))


def _cosines(first: Array, second: Array) -> Array:
    """Row by row; 1 for two zero rows, 0 for one."""
    a, b = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    product = a * b
    cosines = np.einsum("ij,ij->i", first, second) / np.where(product > 0, product, 1)
    return np.asarray(np.where(product > 0, np.clip(cosines, -1, 1), ((a == 0) & (b == 0)).astype(np.float64)))


def _neighbours(first: Array, second: Array) -> float | None:
    """Share of rows whose nearest other row in `second` is also, or as good as, the nearest in `first`."""
    if len(first) < 3:
        return None
    before, after = _similarities(first), _similarities(second)
    chosen = after.argmax(axis=1)
    return float(np.mean(before[np.arange(len(first)), chosen] >= before.max(axis=1) - _TIE))


def _similarities(rows: Array) -> Array:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(length > 0, length, 1)
    similarities: Array = unit @ unit.T
    np.fill_diagonal(similarities, -2)
    return similarities


def few_shot(reference: NDArray[np.float32], got: NDArray[np.float32], labels: Sequence[str]) -> tuple[FewShot, ...]:
    """Accuracy of the nearest class mean in seeded episodes, the same for both.

    Classes with fewer than six pictures are left out, and pictures without a direction (a zero embedding in either).

    Args:
        reference: shape (n, dim).
        got: shape (n, dim).
        labels: (n,).

    Returns:
        One per number of shots; empty when fewer than two classes are left.
    """
    usable = np.asarray(reference.any(axis=1) & got.any(axis=1))
    sizes = Counter(label for label, has in zip(labels, usable, strict=True) if has)
    classes = {label for label, size in sizes.items() if size > max(SHOTS)}
    places = [i for i, label in enumerate(labels) if usable[i] and label in classes]
    if len(classes) < 2:
        return ()
    names = [labels[i] for i in places]
    before, after = (
        evaluate(rows[places], names, shots=SHOTS, methods=("qi",), episodes=EPISODES) for rows in (reference, got)
    )
    return tuple(
        FewShot(b.shots, len(classes), EPISODES, round(100 * b.accuracy.mean, 3), round(100 * a.accuracy.mean, 3))
        for b, a in zip(before, after, strict=True)
    )


@dataclass(frozen=True)
class Verdict:
    """What a parity means.

    Attributes:
        grade: "pass"; "warn": works, with a difference worth knowing; "fail": must not be used.
        reasons: sentences; at least one, the most important first.
    """

    grade: str
    reasons: tuple[str, ...]


def judge(measured: Parity, precision: str, names: Sequence[str], *, min_cosine: float = 0.99) -> Verdict:
    """Say whether a file is faithful enough.

    float32 passes up to a difference of 1e-4 of the output's scale and fails above 1e-3. int8 fails below
    `min_cosine`; it warns below a minimum of 0.995 or a mean of 0.999, and when 5-shot accuracy falls by more than a
    point.

    Args:
        measured: see `parity`.
        precision: "float32" or "int8".
        names: (n,), of the pictures.
        min_cosine: the lowest that an int8 file may have.

    Example:
        >>> rows = np.eye(4, dtype=np.float32)
        >>> judge(parity(rows, rows), "float32", list("abcd")).grade
        'pass'
    """
    fails, warns = _int8(measured, names, min_cosine) if precision == "int8" else _float(measured, names)
    if measured.zeros:
        fails.append(f"The embedding of {names[measured.zeros[0]]} is zero in one of the two and not in the other.")
    grade = "fail" if fails else "warn" if warns else "pass"
    return Verdict(grade, (*fails, *warns) or (_all_well(measured, precision),))


def _float(measured: Parity, names: Sequence[str]) -> tuple[list[str], list[str]]:
    if measured.largest_difference <= FLOAT_PASS:
        return [], []
    sentence = (
        f"The largest difference is {measured.largest_difference:.2g} of the output's scale, on "
        f"{names[measured.most_different]}; float32 files stay within {FLOAT_PASS:g}."
    )
    return ([sentence], []) if measured.largest_difference > FLOAT_FAIL else ([], [sentence])


def _int8(measured: Parity, names: Sequence[str], min_cosine: float) -> tuple[list[str], list[str]]:
    worst = f"The worst picture, {names[measured.worst]}, has a cosine of {measured.cosine_min:.4f} to the source"
    if measured.cosine_min < min_cosine:
        return [f"{worst}; the minimum is {min_cosine:g}."], []
    warns = []
    if measured.cosine_min < INT8_MIN:
        warns.append(f"{worst}; {INT8_MIN:g} is usual.")
    if measured.cosine_mean < INT8_MEAN:
        warns.append(f"The mean cosine is {measured.cosine_mean:.4f}; {INT8_MEAN:g} is usual.")
    for one in measured.few_shot:
        if one.shots == max(SHOTS) and one.before - one.after > ACCURACY_DROP:
            warns.append(f"{one.shots}-shot accuracy falls from {one.before:.1f} to {one.after:.1f} %.")
    return [], warns


def _all_well(measured: Parity, precision: str) -> str:
    if precision == "int8":
        return (
            f"The cosine to the source is {measured.cosine_mean:.4f} on average and {measured.cosine_min:.4f} for the "
            "worst picture."
        )
    return f"The largest difference to the source is {measured.largest_difference:.1g} of the output's scale."
