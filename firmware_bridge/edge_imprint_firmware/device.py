"""`Device`: a head on a microcontroller, with the methods of `ImprintHead`."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint import snapshot
from edge_imprint.atomic import replace_file
from edge_imprint.errors import CapacityError, EdgeImprintError, NotTaughtError, UsageError
from edge_imprint.head import ImprintHead, Label, codec, fixed
from edge_imprint.head.labels import check_label, check_labels, label_array
from edge_imprint_firmware import protocol
from edge_imprint_firmware.commands import (
    from_wire,
    read_classes,
    read_scores,
    stage,
    to_wire,
)
from edge_imprint_firmware.errors import DeviceError
from edge_imprint_firmware.protocol import Capability, Command, PredictReply
from edge_imprint_firmware.session import DeviceSession
from edge_imprint_firmware.snapshots import Progress, blob_of, device_method, read_snapshot, write_snapshot

VERDICTS = ("unknown", "uncertain", "known")


class Device(DeviceSession):
    """A head on a device, taught and asked over its port.

    What is sent is checked before and exactly as `ImprintHead` does it; the same shots in the same order make the same
    snapshot, byte for byte. One `Device` at a time uses a port; what a call changes is on the device when it returns.

    Example:
        >>> with Device.open("/dev/ttyACM0") as device:
        ...     device.partial_fit([[1, 0, 0]], "mug")
        Traceback (most recent call last):
        ...
        edge_imprint_firmware.errors.LinkError: cannot open the port /dev/ttyACM0: ...
    """

    @property
    def method(self) -> str:
        """What answers: "proxies" or "ridge"."""
        return device_method(self._link)

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels in the order in which they were first taught: (n_classes,) of str, int64 or, mixed, object."""
        return label_array(list(self._labels()))

    def shots_per_class(self) -> dict[Label, int]:
        """How many shots each class was taught with."""
        return {label: shots for label, shots, _ in read_classes(self._link)}

    def proxies_per_class(self) -> dict[Label, int]:
        """How many proxies each class has: its mean and its centres."""
        return {label: proxies for label, _, proxies in read_classes(self._link)}

    def partial_fit(self, X: ArrayLike, y: Any) -> Device:
        """Learn shots one after the other. Nothing of them is kept.

        Args:
            X: (n, dim) float32 or integer embeddings, n >= 1; their length does not matter. Not modified.
            y: n labels, str (1 to 31 bytes of UTF-8) or int; a single label is meant for every shot.

        Returns:
            The device itself.

        Raises:
            ShapeError, ValueRangeError, LabelError, CapacityError: as `ImprintHead.partial_fit`; nothing was sent.
            LinkError: the port broke or the device was silent; the message says how many shots were learnt.
        """
        e16 = self._quantised(X)
        labels = check_labels(y, len(e16))
        self._check_capacity(labels)
        for number, (row, label) in enumerate(zip(e16, labels, strict=True)):
            try:
                self._learn(row, label)
            except EdgeImprintError as error:
                raise type(error)(f"{error}. Of this call's {len(e16)} shots, {number} were learnt before") from error
        return self

    def _learn(self, row: NDArray[np.int16], label: Label) -> None:
        payload = protocol.LEARN_REQUEST.pack(self._stage(row)) + to_wire(label)
        reply_bytes, known = protocol.LEARN_REPLY.size, self._labels()
        self._known_labels = None  # until the device has said what it made of it
        reply = self._link.request(Command.LEARN, payload, reply_bytes=reply_bytes, action=f"learn a shot of {label!r}")
        index, _ = protocol.LEARN_REPLY.unpack_from(reply)
        self._known_labels = [*known, label] if index == len(known) else known

    def _check_capacity(self, labels: list[Label]) -> None:
        new = set(labels) - set(self._labels())
        if new:
            info = self.info()
            if info.classes + len(new) > info.max_classes:
                raise CapacityError(
                    f"the device's budget of {info.budget} bytes holds {info.max_classes} classes at dim={self.dim}; "
                    f"got {len(new)} new ones to its {info.classes}. Forget a class, or make firmware with more budget"
                )

    def predict(self, X: ArrayLike, reject: bool = False) -> NDArray[Any]:
        """The best class of each embedding.

        Args:
            X: (n, dim) embeddings.
            reject: give "unknown" wherever the verdict is not "known"; the answer is then an object array.

        Returns:
            (n,) labels.

        Raises:
            NotTaughtError: no class was taught yet.
            ShapeError, ValueRangeError: as in `partial_fit`.
            LinkError: the port broke or the device was silent.
        """
        answers = list(self._answers(X))
        if not reject:
            return label_array([label for label, _ in answers])
        out = np.empty(len(answers), dtype=object)
        out[:] = [label if VERDICTS[reply.verdict] == "known" else "unknown" for label, reply in answers]
        return out

    def verdicts(self, X: ArrayLike) -> NDArray[np.str_]:
        """What to make of each prediction: (n,) of "known", "uncertain" or "unknown"; see `ImprintHead.verdicts`."""
        return np.array([VERDICTS[reply.verdict] for _, reply in self._answers(X)], dtype="<U9")

    def known_score(self, X: ArrayLike) -> NDArray[np.float32]:
        """What `thresholds` are drawn on: (n,) float32; see `ImprintHead.known_score`."""
        found = [reply.cosine_q23 for _, reply in self._answers(X)]
        return (np.array(found, np.float64) / (1 << 23)).astype(np.float32)

    def confidence(self, X: ArrayLike) -> NDArray[np.float32]:
        """Probability that `predict` is right about each embedding of a taught class: (n,) float32 in [0, 1].

        Raises:
            UsageError: the device has method "proxies".
            NotTaughtError, ShapeError, ValueRangeError, LinkError: as `predict`.
        """
        if self.method != "ridge":
            raise UsageError(
                'confidence needs the second moment; this device has method="proxies". Make firmware with "ridge"'
            )
        self._check_taught()
        return np.array([self._confidence_q16(row) for row in self._quantised(X)], np.float32) / np.float32(1 << 16)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:
        """Score of each embedding with each class's best proxy, in [-1, 1]: (n, n_classes) float32.

        A cosine with method "proxies".
        """
        self._check_taught()
        return np.stack([read_scores(self._link, self._stage(row)) for row in self._quantised(X)])

    def forget(self, label: Label) -> None:
        """Remove a class and give its bytes back; `UnknownLabelError` when there is no such class."""
        label = check_label(label)
        self._known_labels = None
        self._link.request(Command.FORGET, to_wire(label), action=f"forget {label!r}")

    def undo(self) -> None:
        """Take the last learnt shot back, byte for byte; `NotTaughtError` when there is nothing to undo."""
        self._known_labels = None
        self._link.request(Command.UNDO)

    def clear(self) -> None:
        """Forget everything. What is stored in flash stays."""
        self._known_labels = None
        self._link.request(Command.CLEAR)

    def to_head(self) -> ImprintHead:
        """A copy of the device's head, on this machine."""
        return codec.head_from(ImprintHead, snapshot.decode(read_snapshot(self._link)))

    def save(self, path: str | Path, *, progress: Progress | None = None) -> None:
        """Write the device's snapshot to a file of this machine, atomically; the bytes are those of `ImprintHead.save`.

        Raises:
            StorageError: the file cannot be written; an existing one is untouched.
            LinkError: the port broke or the device was silent; an existing file is untouched.
        """
        blob = read_snapshot(self._link, progress)
        snapshot.decode(blob)
        replace_file(path, blob)

    def load(self, path: str | Path, *, progress: Progress | None = None) -> None:
        """Write a snapshot file to the device, into its flash and its head, which takes over budget and options.

        Raises:
            StorageError, SnapshotCorruptError, SnapshotVersionError: the file, before anything is sent; or the flash.
            ShapeError, CapacityError: it does not fit the device's arena or flash; nothing was erased.
            LinkError: the port broke or the device was silent. Call again: it goes on where it ended.
        """
        sections = snapshot.read(path)
        self._write(codec.head_from(ImprintHead, sections), snapshot.encode(sections), progress)

    def merge(self, other: ImprintHead | Device | str | Path) -> Device:
        """Add what another head, device or snapshot file learnt; merged here and written back, flash included.

        Raises:
            ShapeError, BackboneMismatchError, CapacityError: as `ImprintHead.merge`; nothing was sent.
            LinkError: as `load`.
        """
        if isinstance(other, Device):
            other = other.to_head()
        elif isinstance(other, (str, Path)):
            other = ImprintHead.load(other)
        head = self.to_head().merge(other)
        self._write(head, blob_of(head), None)
        return self

    def _write(self, head: ImprintHead, blob: bytes, progress: Progress | None) -> None:
        if not self._link.device.capabilities & Capability.STORE:
            raise DeviceError(f"writing a snapshot needs a device with a store; {self._link.port} has none")
        self._known_labels = None
        write_snapshot(self._link, head, blob, progress)

    def _labels(self) -> list[Label]:
        if self._known_labels is None:
            self._known_labels = [label for label, _, _ in read_classes(self._link)]
        return self._known_labels

    def _quantised(self, X: ArrayLike) -> NDArray[np.int16]:
        return fixed.quantize(fixed.check_embeddings(X, self.dim)).astype("<i2")

    def _stage(self, row: NDArray[np.int16]) -> int:
        """Put a quantised embedding into the device's stage unless it is there; returns its CRC-32."""
        data = row.tobytes()
        if self._staged != (crc := zlib.crc32(data)):
            self._staged = None
            self._staged = stage(self._link, data)
        return crc

    def _confidence_q16(self, row: NDArray[np.int16]) -> int:
        fields, payload = protocol.CONFIDENCE_REPLY, protocol.CONFIDENCE_REQUEST.pack(self._stage(row))
        reply = self._link.request(Command.CONFIDENCE, payload, reply_bytes=fields.size, action="say its confidence")
        return int(fields.unpack_from(reply)[0])

    def _check_taught(self) -> None:
        if not self._labels():
            raise NotTaughtError("the device must know at least one class; it knows none. Call partial_fit first")

    def _answers(self, X: ArrayLike) -> Iterator[tuple[Label, PredictReply]]:
        self._check_taught()
        fields = protocol.PREDICT_REPLY
        for row in self._quantised(X):
            payload = protocol.PREDICT_REQUEST.pack(self._stage(row))
            reply = self._link.request(Command.PREDICT, payload, reply_bytes=fields.size, action="predict")
            yield from_wire(reply[fields.size :], self._link.port), PredictReply(*fields.unpack_from(reply))
