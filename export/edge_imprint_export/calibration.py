"""The pictures that set int8 ranges and those that judge the result, read once and kept small."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import FileSpec, InputSpec, Preprocessor
from edge_imprint.errors import UsageError
from edge_imprint_export import gather, synthetic

Which = Literal["calibrate", "judge", "all"]

MOST_CALIBRATING = 200
LEAST_FOR_INT8 = 8
# With fewer, holding some out would leave too little to calibrate with.
LEAST_TO_HOLD_OUT = 24
# Resized pictures in memory; 400 of 224 x 224 are 60 MB.
MOST_BYTES = 256 << 20


class Tensors(Sequence[NDArray[Any]]):
    """Input tensors of one file, each made when it is asked for; see `Calibration.tensors`."""

    def __init__(self, places: Sequence[int], make: Callable[[int], NDArray[Any]]) -> None:
        self._places = places
        self._make = make

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Tensors: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | Tensors:
        """The tensor (1, ...) of one picture, or some of them as `Tensors` again."""
        if isinstance(index, slice):
            return Tensors(self._places[index], self._make)
        return self._make(self._places[index])

    def pick(self, indices: Sequence[int]) -> Tensors:
        """Those at some indices, in that order."""
        return Tensors([self._places[index] for index in indices], self._make)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Pictures, or tensors for a network that takes no pictures. Made by `open` or `synthetic`.

    Attributes:
        spec: what happens to a picture; None for a network that takes none.
        values: resized pictures (n, height, width, 3), uint8 RGB, or tensors (n, ...).
        names: (n,), below the folder that was named: no absolute paths.
        labels: (n,) where the folder had labels, else None.
        skipped: (name, reason) of each file that could not be used.
        found: how many files there were before the limit.
        calibrating: places of the pictures that set int8 ranges, ascending.
        judging: places of those that judge; the same ones when there are too few to hold some out.
        is_synthetic: made up here.
        notes: one sentence each, for the report.
    """

    spec: InputSpec | None
    values: NDArray[Any]
    names: tuple[str, ...]
    labels: tuple[str, ...] | None
    skipped: list[tuple[str, str]]
    found: int
    calibrating: tuple[int, ...]
    judging: tuple[int, ...]
    is_synthetic: bool
    notes: tuple[str, ...]

    @classmethod
    def open(
        cls,
        where: Path | str | Sequence[Path | str],
        spec: InputSpec | None,
        *,
        limit: int = 400,
        progress: Callable[[int, int], None] | None = None,
    ) -> Calibration:
        """Read pictures, resize each once, and divide them.

        Args:
            where: a folder, searched with all below it, or files. FOLDER/<label>/*.jpg gives labels. When `spec` is
                None: .npy and .npz files of tensors whose first axis counts examples.
            spec: what happens to a picture.
            limit: how many to use at most: as many of each label as possible, evenly along the sorted names, so
                that the same folder always gives the same ones.
            progress: told (done, total).

        Raises:
            UsageError: no such path, no picture in it, or most of them damaged; the message names the first.

        Example:
            >>> Calibration.open("no/such/folder", InputSpec(96, 96))
            Traceback (most recent call last):
            ...
            edge_imprint.errors.UsageError: calibration must be a folder or files that exist; no such path: ...
        """
        if limit < 1:
            raise UsageError(f"the limit of calibration pictures must be at least 1; got {limit}")
        found = gather.gather(where, gather.TENSOR_SUFFIXES if spec is None else gather.picture_suffixes())
        labelled = gather.labelled(found)
        chosen = [found[place] for place in gather.spread([f.label for f in found], _fitting(spec, limit))]
        skipped: list[tuple[str, str]] = []
        read = gather.read(chosen, spec, limit, skipped)
        rows: list[NDArray[Any]] = []
        kept: list[tuple[str, str | None]] = []
        for done, (file, name, value) in enumerate(read, 1):
            if value is not None:
                rows.append(value)
                kept.append((name, file.label))
            if progress is not None:
                progress(min(done, len(chosen)), len(chosen))
        if not rows or (spec is not None and 2 * len(skipped) > len(chosen)):
            name, reason = skipped[0]
            raise UsageError(
                f"most calibration files must be usable; {len(skipped)} of {len(chosen)} are not. "
                f"The first is {name}: {reason}"
            )
        notes = [] if len(found) == len(chosen) else [f"{len(chosen)} of {len(found)} calibration pictures were used."]
        stray = next((f.name for f in found if f.label is None), None)
        if stray is not None and any(f.label is not None for f in found):
            notes.append(f"Labels are not used: {stray} is not in a folder FOLDER/LABEL/.")
        names, labels = zip(*kept, strict=True)
        return cls._divided(spec, rows, names, labels if labelled else None, skipped, len(found), notes)

    @classmethod
    def synthetic(cls, spec: InputSpec | None, shape: tuple[int, ...] | None = None) -> Calibration:
        """A few dozen made-up pictures, the same every time: they judge float32 files where no pictures are given.

        Args:
            spec: what happens to a picture; None for a network that takes none.
            shape: of one tensor without the batch axis, exactly when `spec` is None.
        """
        if spec is None:
            if shape is None:
                raise UsageError("made-up tensors need the shape of the network's input; got none")
            made: Iterable[tuple[str, NDArray[Any]]] = synthetic.tensors(shape)
        else:
            made = synthetic.pictures(spec.height, spec.width)
        names, rows = zip(*made, strict=True)
        notes = ["No calibration pictures: parity was measured on made-up ones."]
        return cls._divided(spec, list(rows), names, None, [], len(rows), notes, is_synthetic=True)

    @classmethod
    def _divided(
        cls,
        spec: InputSpec | None,
        rows: list[NDArray[Any]],
        names: Sequence[str],
        labels: Sequence[str] | None,
        skipped: list[tuple[str, str]],
        found: int,
        notes: list[str],
        *,
        is_synthetic: bool = False,
    ) -> Calibration:
        count = len(rows)
        calibrating = judging = tuple(range(count))
        if count >= LEAST_TO_HOLD_OUT and not is_synthetic:
            # Evenly along the names, which stand label by label: both parts get their share of each.
            chosen = set(gather.spread([None] * count, min(MOST_CALIBRATING, count // 2)))
            calibrating = tuple(sorted(chosen))
            judging = tuple(place for place in range(count) if place not in chosen)
        elif not is_synthetic:
            notes.append(f"Only {count} calibration pictures: those that calibrate also judge.")
        return cls(
            spec=spec,
            values=np.stack(rows),
            names=tuple(names),
            labels=None if labels is None else tuple(labels),
            skipped=skipped,
            found=found,
            calibrating=calibrating,
            judging=judging,
            is_synthetic=is_synthetic,
            notes=tuple(notes),
        )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def enough_for_int8(self) -> bool:
        """Whether int8 ranges can be set: at least eight real pictures."""
        return not self.is_synthetic and len(self.calibrating) >= LEAST_FOR_INT8

    @property
    def held_out(self) -> bool:
        """Whether those that judge are others than those that calibrate."""
        return self.calibrating != self.judging

    def places(self, which: Which) -> tuple[int, ...]:
        """Places of the pictures of one part, ascending."""
        return {"calibrate": self.calibrating, "judge": self.judging, "all": tuple(range(len(self)))}[which]

    def names_of(self, which: Which) -> tuple[str, ...]:
        """Names of the pictures of one part."""
        return tuple(self.names[place] for place in self.places(which))

    def labels_of(self, which: Which) -> tuple[str, ...] | None:
        """Labels of the pictures of one part; None where the folder had none."""
        return None if self.labels is None else tuple(self.labels[place] for place in self.places(which))

    def tensors(
        self,
        which: Which,
        layout: str | FileSpec = "nchw",
        dtype: str = "float32",
        quantisation: tuple[float, int] = (1.0, 0),
        *,
        spec: InputSpec | None = None,
    ) -> Tensors:
        """Input tensors of a network, exactly as `Backbone.prepare` makes them of the same pictures.

        Args:
            which: of the two parts, or "all".
            layout: "nchw" or "nhwc", or the entry of a bundle's file, which says layout, dtype and quantisation.
            dtype: "float32", "uint8" or "int8".
            quantisation: (scale, zero point) of an integer input.
            spec: mean, scale and colours where they differ from the calibration's, as after folding the preprocessing
                into the network; same size and cut.

        Returns:
            One tensor (1, ...) per picture, made on demand.
        """
        if isinstance(layout, FileSpec):
            file = layout
            stored = file.input_quantisation
            quantisation = (stored.scale, stored.zero_point) if stored else (1.0, 0)
            dtype, layout = file.dtype, file.layout
        if self.spec is None:
            return Tensors(self.places(which), lambda place: _stored(self.values[place], dtype, quantisation))
        # The pictures have their size already: only mean, scale, colours and layout are left to do.
        rest = dataclasses.replace(spec or self.spec, resize="squash", resize_side=None)
        if (rest.height, rest.width) != self.values.shape[1:3]:
            raise UsageError(f"pictures were resized to {self.values.shape[1:3]}; got {(rest.height, rest.width)}")
        prepare = Preprocessor(rest, layout=layout, dtype=dtype, quantisation=quantisation)
        return Tensors(self.places(which), lambda place: prepare([self.values[place]]))


def _fitting(spec: InputSpec | None, limit: int) -> int:
    """The limit, lower for huge pictures so that memory stays bounded."""
    return limit if spec is None else min(limit, max(LEAST_TO_HOLD_OUT, MOST_BYTES // (3 * spec.height * spec.width)))


def _stored(value: NDArray[Any], dtype: str, quantisation: tuple[float, int]) -> NDArray[Any]:
    """A tensor (1, ...) as the network stores it; integers that have its dtype already are taken as they are."""
    wanted = np.dtype(dtype)
    if value.dtype == wanted or wanted.kind == "f":
        return value[None].astype(wanted)
    scale, zero_point = quantisation
    limits = np.iinfo(wanted)
    stored = np.clip(np.rint(value[None] / scale) + zero_point, limits.min, limits.max)
    return np.asarray(stored.astype(wanted))
