"""Pictures in, predictions out: a backbone and a head that belong together."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import Backbone, ImageLike, load_backbone
from edge_imprint.errors import BackboneMismatchError, BundleError, NotTaughtError, ShapeError, ValueRangeError
from edge_imprint.head import ImprintHead
from edge_imprint.head.drift_report import Drift
from edge_imprint.head.odd_shots import OddShots

if TYPE_CHECKING:
    from edge_imprint.head.advice import Advice

Label = str | int
DEFAULT_BUDGET = "512KB"  # room for a second moment of 256 dimensions, and nothing to a Raspberry Pi
MAX_NOTE_BYTES = 4096  # what a snapshot keeps about a backbone; a longer path has to be given again


@dataclass(frozen=True)
class Prediction:
    """What a learner makes of one picture.

    Attributes:
        label: the class that is nearest, whatever the verdict says about it.
        score: of that class, -1 to 1: the cosine to its nearest proxy, or with method "ridge" its best discriminant.
        verdict: "known", "uncertain" or "unknown".
        scores: the same for every class taught.
        confidence: probability, 0 to 1, that the label is right if the picture shows a class that was taught; None
            with method "proxies", which has none.
    """

    label: Label
    score: float
    verdict: str
    scores: dict[Label, float] = field(repr=False, compare=False)
    confidence: float | None = None


class Learner:
    """Learns classes from pictures and recognises them, in a fixed budget of bytes.

    Threads may share a learner; pictures of several are embedded at the same time where the runtime can. Processes may
    share a snapshot file: it is whole at every moment, but whoever saves last wins. The command line's `learn` and
    `forget` wait for each other, so that none of their lessons is lost.

    Args:
        backbone: "default", a bundle folder, an .onnx or a .tflite file, or a `Backbone` from
            `load_backbone`.
        budget: bytes for all that is learned, as a number or as text like "64KB".
        method: "proxies", "ridge" or "auto", as for `ImprintHead`. "ridge" starts from the base statistics that a
            bundle brings, unless `base` is given.
        false_accept_rate: share of pictures of classes never shown that may be taken for a known one.
        **head_options: further keywords of `ImprintHead`.

    Attributes:
        backbone: the `Backbone`.
        head: the `ImprintHead`; everything learned is in it.

    Raises:
        BundleError, MissingRuntimeError: the backbone cannot be opened.
        BudgetError: the budget cannot be read or is too small.

    Example:
        A learner needs pictures; the README's first example is this class.

        >>> Prediction("mug", 0.93, "known", {"mug": 0.93})
        Prediction(label='mug', score=0.93, verdict='known', confidence=None)
    """

    def __init__(
        self,
        backbone: str | os.PathLike[str] | Backbone = "default",
        budget: str | int = DEFAULT_BUDGET,
        *,
        method: str = "auto",
        false_accept_rate: float = 0.05,
        **head_options: Any,
    ) -> None:
        self.backbone = _opened(backbone)
        if method != "proxies":
            head_options.setdefault("base", self.backbone.base_statistics)
        self.head = ImprintHead(
            dim=self.backbone.dim, budget=budget, method=method, false_accept_rate=false_accept_rate, **head_options
        )
        self.head.backbone = _note(self.backbone)
        self.head.odd_shots = OddShots()

    def learn(self, images: ImageLike | Sequence[ImageLike], label: Label) -> None:
        """Show pictures of one class.

        All pictures are read and embedded before the first one is learned.

        Args:
            images: one picture (path, file bytes, PIL image, uint8 (H, W, 3) RGB array) or a list of
                pictures.
            label: the class, new or known.

        Raises:
            ImageError: a picture cannot be used; the message names it.
            LabelError: the label is empty, too long, or no text.
            CapacityError: no room in the budget. In every case nothing was learned.
        """
        pictures = _many(images)
        if not pictures:
            raise ShapeError("learn needs at least one picture; got an empty list. Pass a picture or several.")
        embeddings = self.backbone.embed(pictures)
        self._check_usable(embeddings)
        self.head.partial_fit(embeddings, label)

    def predict(self, image: ImageLike) -> Prediction:
        """Recognise one picture.

        Raises:
            ImageError: the picture cannot be used.
            NotTaughtError: no class was learned yet.
        """
        return self.predict_many([image])[0]

    def predict_many(self, images: Sequence[ImageLike]) -> list[Prediction]:
        """Recognise pictures, in their order; an empty list gives an empty one. Raises as `predict`."""
        pictures = list(images) if isinstance(images, list | tuple) else _many(cast(ImageLike, images))
        if not pictures:
            return []
        embeddings = self.backbone.embed(pictures)
        try:
            told = self.head.tell(embeddings)
        except (NotTaughtError, ValueRangeError):
            self._check_usable(embeddings)  # here, because no frame of a working backbone should pay for it
            raise
        return [Prediction(label, scores[label], verdict, scores, sure) for label, verdict, scores, sure in told]

    def advice(self) -> list[Advice]:
        """What to show next, and what is wrong with what was shown: `ImprintHead.advice`."""
        return self.head.advice()

    def drift(self) -> Drift:
        """Whether the pictures recognised since the last teaching look like those taught: `ImprintHead.drift`.

        Raises:
            NotTaughtError: no class was learned yet.
        """
        return self.head.drift()

    def embed(self, images: Sequence[ImageLike]) -> NDArray[np.float32]:
        """Embed pictures without learning: shape (n, dim), float32. Raises ImageError."""
        return self.backbone.embed(images)

    def forget(self, label: Label) -> None:
        """Remove a class and give its bytes back.

        Raises:
            UnknownLabelError: no such class; nothing changed.
        """
        self.head.forget(label)

    def undo(self) -> None:
        """Take back the last shot, as `ImprintHead.undo` does."""
        self.head.undo()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a snapshot: the head, and which backbone it belongs to.

        Raises:
            StorageError: the file cannot be written; an older one is untouched.
        """
        self.head.save(Path(path))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        backbone: str | os.PathLike[str] | Backbone | None = None,
        *,
        threads: int | None = None,
        providers: str | Sequence[str] | None = None,
    ) -> Learner:
        """Read a snapshot and open its backbone.

        Args:
            path: of the snapshot.
            backbone: where the backbone is; None opens it from where it was when the snapshot was saved.
            threads: of one inference on this machine, as in `load_backbone`. A `Backbone` runs as it was opened.
            providers: execution providers of onnxruntime on this machine, likewise.

        Raises:
            StateFileError: the snapshot is damaged or of a newer version.
            BackboneMismatchError: `backbone` computes other embeddings than those that were learned from.
            BundleError, MissingRuntimeError: the backbone cannot be opened.
        """
        head = ImprintHead.load(Path(path))
        note = _read_note(head.backbone)
        learner = cls.__new__(cls)
        learner.head = head
        learner.backbone = _reopened(note, backbone, os.fspath(path), threads=threads, providers=providers)
        _check_same(note, learner.backbone, head.dim, os.fspath(path))
        head.backbone = _note(learner.backbone)
        head.odd_shots = OddShots()
        return learner

    def _check_usable(self, embeddings: NDArray[np.float32]) -> None:
        """Refuse zeros: a direction is all that a head sees of an embedding."""
        for number, row in enumerate(embeddings):
            if not row.any():
                raise BundleError(
                    f"an embedding must not be all zeros; backbone {self.backbone.name} gave zeros for "
                    f"picture {number + 1} of {len(embeddings)}. Its file is broken or fed wrongly: try "
                    "another embedding= or preprocessing= of load_backbone, or another backbone."
                )


def _opened(backbone: str | os.PathLike[str] | Backbone) -> Backbone:
    opened = backbone if isinstance(backbone, Backbone) else load_backbone(backbone)
    if opened.manifest.input is None:
        raise BundleError(
            f"a learner takes pictures; backbone {opened.name} takes none. Give tensors to the infer of "
            "load_backbone(...), and its embeddings to an ImprintHead."
        )
    return opened


def _many(images: ImageLike | Sequence[ImageLike]) -> list[ImageLike]:
    """One picture or several, as a list."""
    if isinstance(images, list | tuple):
        return list(images)
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return list(images)
    return [cast(ImageLike, images)]


def _note(backbone: Backbone) -> str:
    """What a snapshot says about its backbone: the digest, a space, and how to open it, as JSON.

    The first word alone says whether two snapshots belong together; the rest may differ between machines.
    """
    how = {"name": backbone.name, "source": backbone.source, **backbone.options}
    note = f"{backbone.digest} {json.dumps(how, sort_keys=True, separators=(',', ':'))}"
    return note if len(note) <= MAX_NOTE_BYTES else backbone.digest


def _read_note(text: str | None) -> dict[str, str]:
    """The parts of a note, the digest among them; only those that are there and texts."""
    digest, _, rest = (text or "").partition(" ")
    try:
        how = json.loads(rest)
    except (ValueError, RecursionError):  # a digest alone
        how = None
    note = {key: value for key, value in how.items() if isinstance(value, str)} if isinstance(how, dict) else {}
    return {**note, "digest": digest} if digest else note


def _reopened(
    note: dict[str, str], backbone: str | os.PathLike[str] | Backbone | None, snapshot: str, **runs: Any
) -> Backbone:
    options: dict[str, Any] = {key: note[key] for key in ("runtime", "precision", "embedding") if key in note}
    if isinstance(backbone, Backbone):
        return backbone
    if backbone is None and "source" not in note:
        raise BackboneMismatchError(
            f"{snapshot} does not say where its backbone is; it was saved by a head alone. Pass backbone=..."
        )
    source = note["source"] if backbone is None else backbone
    if backbone is not None and Path(backbone).suffix.lower() in (".onnx", ".tflite"):
        options = {key: value for key, value in options.items() if key == "embedding"}
    try:
        return load_backbone(source, **options, **runs)
    except BundleError as error:
        if backbone is not None:
            raise
        raise BundleError(
            f"{snapshot} was learned with backbone {note.get('name', 'unnamed')} from {source}, which "
            f"cannot be opened: {error} If it is elsewhere now, pass backbone=..."
        ) from None


def _check_same(note: dict[str, str], backbone: Backbone, dim: int, snapshot: str) -> None:
    if dim != backbone.dim or note.get("digest", backbone.digest) != backbone.digest:
        raise BackboneMismatchError(
            f"a snapshot needs the backbone it was learned with; {snapshot} was learned with "
            f"{note.get('name', 'a backbone')} (dim {dim}, digest {note.get('digest', 'not stored')}), got "
            f"{backbone.name} (dim {backbone.dim}, digest {backbone.digest}). "
            "Pass the first one as backbone=..., or teach anew with the second."
        )
