"""One call of `edge-imprint firmware talk`: the device, and how its answers are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_imprint.cli import output
from edge_imprint.cli.common import expand_images
from edge_imprint.errors import BackboneMismatchError, ShapeError, StorageError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_imprint.learner import Learner
    from edge_imprint_firmware import Device


@dataclass
class Conversation:
    """What the commands of one call share."""

    device: Device
    backbone: str | None
    as_json: bool
    keep: bool
    learner: Learner | None = field(default=None, init=False)

    def answer(self, document: dict[str, Any], text: str, as_json: bool) -> None:
        """Print one of the two."""
        if as_json or self.as_json:
            output.write_json(document)
        else:
            output.write(text + "\n")

    def keep_it(self) -> bool:
        """Save into the device's flash what has changed, where there is flash."""
        stored = self.keep and "store" in self.device.info().capabilities
        if stored:
            self.device.persist()
        return stored

    def label(self, word: str) -> str | int:
        """The class that a word means: a program may have taught the number 7 and not "7"."""
        known: list[str | int] = self.device.classes_.tolist()
        return next((label for label in known if str(label) == word), word)

    def embeddings(self, files: list[Path]) -> tuple[list[str], NDArray[Any]]:
        """One row for each shot, and the file that it is from."""
        import numpy as np

        names: list[str] = []
        rows: list[NDArray[Any]] = []
        for path in expand_images(files):
            found = self._array(path) if path.suffix == ".npy" else self._embed(path)
            if found.ndim != 2 or found.shape[1] != self.device.dim:
                raise ShapeError(
                    f"shots for this device must be (n, {self.device.dim}); {path} is {found.shape}. "
                    "Use the backbone that the firmware was generated for"
                )
            names += [str(path)] * len(found)
            rows.append(found)
        return names, np.concatenate(rows)

    @staticmethod
    def _array(path: Path) -> NDArray[Any]:
        import numpy as np

        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} must be a .npy array of embeddings: {error}") from error
        return found[None] if isinstance(found, np.ndarray) and found.ndim == 1 else np.atleast_1d(found)

    def _embed(self, path: Path) -> NDArray[Any]:
        if self.backbone is None:
            raise UsageError(
                f"{path} is a picture, and a device takes embeddings. Give --backbone default (or a bundle's folder)"
            )
        if self.learner is None:
            from edge_imprint.learner import Learner

            self.learner = Learner(backbone=self.backbone)
            self._name_backbone(self.learner.head.backbone or "")
        return self.learner.embed([path])

    def _name_backbone(self, name: str) -> None:
        """Refuse another backbone than the one the device was taught with; tell it to a device that has none."""
        digest, present = name.split(" ")[0], self.device.backbone
        if present and present.split(" ")[0] != digest:
            raise BackboneMismatchError(
                f"a device needs the backbone it was taught with; it was taught with {present}, got {name}. "
                "Give that one as --backbone, or clear the device"
            )
        room = self.device.info().backbone_bytes
        if not present and room >= len(digest):
            self.device.backbone = name if len(name.encode()) <= room else digest
