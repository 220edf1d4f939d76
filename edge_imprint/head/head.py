"""`ImprintHead`: learn, predict, forget and undo in a fixed number of bytes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint import snapshot
from edge_imprint.errors import CapacityError, NotTaughtError, ShapeError, UnknownLabelError, UsageError
from edge_imprint.head import codec, fixed, merging
from edge_imprint.head.budget import parse_budget
from edge_imprint.head.engine import make_engine
from edge_imprint.head.labels import Label, check_label, check_labels, label_array
from edge_imprint.head.layouts import layout_for
from edge_imprint.head.locking import exclusive
from edge_imprint.head.options import check_options, false_accept_ppm
from edge_imprint.head.ridge.base import BaseMoments, base_covariance
from edge_imprint.head.teaching import Teaching


class ImprintHead(Teaching):
    """A classifier that is taught with single shots, in one pass, within a fixed byte budget.

    Each class holds its mean and, where its shots are scattered, up to `max_proxies - 1` centres of a streaming
    k-means, all as int8 rows with their own scale. A shot is used once and not kept. The same shots in the same order
    give the same bytes, however they are divided into calls.

    Threads may share a head: every method holds its lock, so each sees all of another's call or nothing of it.

    Args:
        dim: length of an embedding, 1 to 4,096.
        budget: bytes that the head may use, all included, as a number or as text such as "64KB".
        method: "proxies"; "ridge", which also keeps the second moment of the shots; "auto" for "ridge" where that takes
            at most two thirds of the budget.
        false_accept_rate: share of pictures of never-shown things that may pass as known, 0.001 to 0.5.
        max_proxies: proxies that one class may have, its mean included, 1 to 256.
        shrinkage: 1 to 4,095: how many shots the class mean weighs at most in each proxy.
        undo: keep room for taking the last shot back; None keeps it where it takes at most a quarter of the budget.
        base: mean and second moment of other pictures' embeddings (`Backbone.base_statistics`), for "ridge" to start
            from. It is added to what is kept, not kept apart.

    Attributes:
        lock: the head's `threading.RLock`; `with head.lock:` makes several calls one.

    Raises:
        BudgetError: the budget cannot be read or holds no class.
        ShapeError: `dim` is out of range.
        ValueRangeError: an option is out of range.

    Example:
        >>> head = ImprintHead(dim=3, budget="2KB")
        >>> head.partial_fit([[1, 0, 0], [0, 1, 0]], ["mug", "plate"]).predict([[0.9, 0.1, 0]]).tolist()
        ['mug']
    """

    def __init__(
        self,
        dim: int,
        budget: int | str = "64KB",
        *,
        method: str = "proxies",
        false_accept_rate: float = 0.05,
        max_proxies: int = 21,
        shrinkage: int = 20,
        undo: bool | None = None,
        base: BaseMoments | None = None,
    ) -> None:
        self.lock, self._saving = threading.RLock(), threading.Lock()
        self._options = check_options(method, max_proxies, shrinkage)
        self._false_accept_ppm = false_accept_ppm(false_accept_rate)
        layout = layout_for(dim, parse_budget(budget), undo, method)
        self._engine = make_engine(layout, self._options, base_covariance(base, layout.dim))
        self._arena = self._engine.arena
        self._labels: list[Label] = []
        self._index: dict[Label, int] = {}
        self._limits_q23: tuple[int, int] | None = None
        self._limits_stale = True
        self.backbone: str | None = None
        self.odd_shots = self._monitor = self._means = None

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._arena.layout.dim

    @property
    def budget(self) -> int:
        """Bytes that the head may use; its arena has exactly this size."""
        return self._engine.layout.budget

    @property
    def method(self) -> str:
        """What answers: "proxies" or "ridge"."""
        return self._engine.layout.method

    @property
    @exclusive
    def nbytes(self) -> int:
        """Bytes of the budget in use now, header and undo journal included; never above `budget`."""
        return self._engine.layout.used_bytes(self._arena.n_classes, self._arena.n_slots)

    @property
    def false_accept_rate(self) -> float:
        """Share of pictures of never-shown things that may pass as known. May be set at any time."""
        return self._false_accept_ppm / 1_000_000

    @false_accept_rate.setter
    @exclusive
    def false_accept_rate(self, value: float) -> None:
        self._false_accept_ppm, self._limits_stale = false_accept_ppm(value), True

    @property
    def max_proxies(self) -> int:
        """Proxies that one class may have, its mean included."""
        return self._options.max_centres + 1

    @property
    def shrinkage(self) -> int:
        """How many shots the class mean weighs at most in each proxy."""
        return self._options.shrinkage

    @property
    @exclusive
    def classes_(self) -> NDArray[Any]:
        """Labels in the order in which they were first taught: (n_classes,) of str, int64 or, mixed, object."""
        return label_array(self._labels)

    @exclusive
    def shots_per_class(self) -> dict[Label, int]:
        """How many shots each class was taught with."""
        return dict(zip(self._labels, self._arena.shots[: len(self._labels)].tolist(), strict=True))

    @exclusive
    def proxies_per_class(self) -> dict[Label, int]:
        """How many proxies each class has: its mean and its centres."""
        counts = np.bincount(self._arena.cls[: self._arena.n_slots], minlength=len(self._labels))
        return dict(zip(self._labels, counts.tolist(), strict=True))

    @exclusive
    def forgets_exactly(self) -> dict[Label, bool]:
        """Whether `forget` takes all of a class back, as if it had not been taught.

        With "ridge" it does while the log has each shot of the class: the log lies where proxies may come, and is left
        to classes of few shots. What a head says about never-shown things in general stays in any case.
        """
        second = self._engine.second
        return {
            label: second is None or second.is_logged(self._arena, index) for index, label in enumerate(self._labels)
        }

    @exclusive
    def partial_fit(self, X: ArrayLike, y: Any) -> ImprintHead:
        """Learn shots one after the other. Nothing of them is kept.

        Args:
            X: (n, dim) float32 or integer embeddings, n >= 1; their length does not matter. Not modified.
            y: n labels, str (1 to 31 bytes of UTF-8) or int; a single label is meant for every shot.

        Returns:
            The head itself.

        Raises:
            ShapeError: wrong rank or width, or no shots.
            ValueRangeError: NaN, infinity, or a shot of zero length.
            LabelError: an invalid label, or not one for each shot.
            CapacityError: a new class does not fit. In every case the head is unchanged.
        """
        e16 = self._engine.quantize(fixed.check_embeddings(X, self.dim))
        labels = check_labels(y, len(e16))
        self._check_capacity(labels)
        self._look_at(e16, labels)
        self._engine.learn(e16, self._places(labels), labels)
        self._taught()
        return self

    def _places(self, labels: list[Label]) -> list[int]:
        """Class numbers of labels; new ones are entered as they come."""
        for label in labels:
            if label not in self._index:
                self._add_label(label)
        return [self._index[label] for label in labels]

    def _add_label(self, label: Label) -> None:
        self._index[label] = len(self._labels)
        self._labels.append(label)

    def _drop_labels(self, places: slice) -> None:
        gone = self._labels[places]
        del self._labels[places]
        if places.start == len(self._labels):  # the last ones: the others keep their numbers
            for label in gone:
                del self._index[label]
        else:
            self._index = {label: place for place, label in enumerate(self._labels)}

    def _check_capacity(self, labels: list[Label]) -> None:
        wanted = len(self._labels) + len({label for label in labels if label not in self._index})
        layout = self._engine.layout
        if wanted > layout.max_classes:
            need = layout.budget_for(wanted)
            raise CapacityError(
                f"a budget of {self.budget} bytes holds {layout.max_classes} classes at dim={self.dim}; got class "
                f"number {wanted}. Forget a class, or make a head with budget={need} or more"
            )

    @exclusive
    def undo(self) -> None:
        """Take the last learnt shot back: the head is, byte for byte, as it was before.

        Raises:
            NotTaughtError: there is nothing to undo: no shot yet, or a forget, merge, load or undo came after it.
        """
        if not self._arena.layout.undo:
            raise NotTaughtError("this head's budget has no room for undo. Make it with undo=True, or forget the class")
        if not self._engine.can_undo:
            raise NotTaughtError(
                "undo takes back one shot, directly after it was learnt; there is none. Use forget to remove a class"
            )
        number = self._arena.total_shots
        self._engine.undo()
        self._drop_labels(slice(self._arena.n_classes, None))
        if self.odd_shots is not None:
            self.odd_shots.take_back(number)
        self._taught()

    @exclusive
    def forget(self, label: Label) -> None:
        """Remove a class and give its bytes back.

        Answers with proxies of other classes do not change. With "ridge" they do: what the class's shots said about the
        scatter goes, too, where `forgets_exactly` says so.

        Raises:
            UnknownLabelError: no such class; the head is unchanged.
        """
        label = check_label(label)
        if label not in self._index:
            known = ", ".join(map(repr, self._labels[:10])) or "none"
            raise UnknownLabelError(f"forget needs a class that was taught; got {label!r}, known: {known}")
        index = self._index[label]
        self._engine.forget(index)
        self._drop_labels(slice(index, index + 1))
        if self.odd_shots is not None:
            self.odd_shots.forget(label)
        self._taught()

    def merge(self, other: ImprintHead) -> ImprintHead:
        """Add what another head learnt: means by their counts, centres as weighted points. `other` does not change.

        Raises:
            ShapeError: the heads' dimensions differ.
            UsageError: one has a second moment and the other has not.
            BackboneMismatchError: both name a backbone and it is not the same.
            CapacityError: the other's new classes do not fit. In every case this head is unchanged.
        """
        if not isinstance(other, ImprintHead):
            raise ShapeError(f"merge takes another ImprintHead; got {type(other).__name__}")
        # In one order whoever calls, so that two threads that merge crosswise do not wait for each other.
        first, second = sorted((self, other), key=id)
        with first.lock, second.lock:
            return self._merge(other)

    def _merge(self, other: ImprintHead) -> ImprintHead:
        if other.dim != self.dim:
            raise ShapeError(f"heads to merge need one dim; got {self.dim} and {other.dim}")
        if other.method != self.method:
            raise UsageError(
                f"heads to merge need one method; got {self.method} and {other.method}. Make both with "
                f"method={self.method!r}"
            )
        merging.check_backbones(self.backbone, other.backbone)
        self._check_capacity(other._labels)
        if other is self or type(other._engine) is not type(self._engine):
            other = codec.head_from(type(self), codec.sections(other, other.backbone))
        self._engine.merge(other._engine, self._places(other._labels), other._labels)
        self.backbone = self.backbone or other.backbone
        self._taught()
        return self

    @exclusive
    def memory(self) -> dict[str, int]:
        """Bytes by purpose; they add up to `budget`."""
        return self._engine.layout.parts(self._arena.n_classes, self._arena.n_slots)

    def save(self, path: str | Path, backbone: str | None = None) -> None:
        """Write a snapshot, atomically: after a crash or a full disk the old file is still there, whole.

        Args:
            path: the file; replaced when it exists.
            backbone: what made the embeddings, kept in the snapshot; `self.backbone` when None.

        Raises:
            StorageError: the file cannot be written; an existing one is untouched.
        """
        # Who teaches or asks does not wait for the disk; who saves does, or an older state could end up in the file.
        with self._saving:
            with self.lock:
                parts = codec.sections(self, backbone or self.backbone)
            snapshot.write(path, parts)

    @classmethod
    def load(cls, path: str | Path) -> ImprintHead:
        """Read a snapshot.

        Raises:
            StorageError: the file cannot be read.
            SnapshotCorruptError: it is truncated, damaged or not a snapshot.
            SnapshotVersionError: it was written by a newer version.
        """
        return codec.head_from(cls, snapshot.read(path))
