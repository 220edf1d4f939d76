"""What is profiled: a learner that knows something, and pictures to ask it about."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import Backbone, load_backbone
from edge_imprint.errors import ProfileError
from edge_imprint.learner import DEFAULT_BUDGET, Learner

FRAME_SHAPE = (480, 640, 3)
MADE_UP_CLASSES, MADE_UP_SHOTS = 5, 5


@dataclass(frozen=True)
class Subject:
    """Which backbone and head, in words that a process of its own can be told.

    Attributes:
        bundle: "default", a bundle folder, an .onnx or a .tflite file; None takes the state's own.
        state: snapshot with what was taught; None teaches made-up classes.
        method, budget: of the made-up head.
        runtime, precision: as `load_backbone` names them; of no use with a state, which says its own.
        providers, threads: likewise, and with a state as well; providers separated by commas.
        pictures: files to ask about; none for made-up ones.
    """

    bundle: str | None = None
    state: str | None = None
    method: str = "auto"
    budget: str | int = DEFAULT_BUDGET
    runtime: str | None = None
    precision: str = "auto"
    providers: str | None = None
    threads: int | None = None
    pictures: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; `Subject(**plain)` is the inverse, but for the tuple."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Subject:
        """The inverse of `as_dict`."""
        return cls(**{**plain, "pictures": tuple(plain["pictures"])})

    def learner(self) -> Learner:
        """The learner, taught. The state's file is only read.

        Raises:
            EdgeImprintError: whatever is wrong with the bundle, the state or the budget.
        """
        if self.state is not None:
            taught = Learner.load(self.state, self.bundle, threads=self.threads, providers=self._providers())
            if not taught.head.classes_.size:
                raise ProfileError(f"a state must know at least one class to be asked; {self.state} knows none")
            return taught
        made = Learner(self.backbone(), self.budget, method=self.method)
        seen = self.frames(MADE_UP_SHOTS)
        for number in range(MADE_UP_CLASSES):
            made.learn([np.asarray(frame) // (number + 1) for frame in seen], f"made up {number + 1}")
        return made

    def backbone(self) -> Backbone:
        """The backbone, opened; raises as `load_backbone`."""
        return load_backbone(
            self.bundle or "default",
            runtime=self.runtime,
            precision=self.precision,
            providers=self._providers(),
            threads=self.threads,
        )

    def _providers(self) -> list[str] | None:
        return self.providers.split(",") if self.providers else None

    def frames(self, count: int) -> list[NDArray[np.uint8]]:
        """Camera frames (480, 640, 3): of the pictures, in turns, as they are; made up where there are none."""
        if self.pictures:
            from edge_imprint.backbones import load_image

            chosen = [self.pictures[place % len(self.pictures)] for place in range(min(count, len(self.pictures)))]
            loaded = [np.asarray(load_image(path)) for path in chosen]
            return [loaded[place % len(loaded)] for place in range(count)]
        return [made_up_frame(seed) for seed in range(count)]

    def encoded(self) -> bytes:
        """The first frame as it comes from a disk or a network camera: the file itself, or a JPEG."""
        if self.pictures:
            return Path(self.pictures[0]).read_bytes()
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(made_up_frame(0)).save(stream, "JPEG", quality=90)
        return stream.getvalue()


def made_up_frame(seed: int) -> NDArray[np.uint8]:
    """A picture with detail at every size, the same for a seed: blurred noise and a little noise on it.

    Example:
        >>> made_up_frame(0).shape
        (480, 640, 3)
    """
    from PIL import Image

    height, width, channels = FRAME_SHAPE
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 16, width // 16, channels), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return np.asarray(np.clip(smooth + rng.integers(-8, 9, smooth.shape), 0, 255), np.uint8)


def facts(learner: Learner, made_up: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `bundle` and `head` of a profile."""
    head, about = learner.head, learner.backbone.info()
    kept = ("name", "file", "runtime", "runtime_version", "precision", "dim", "input_size", "digest", "source")
    bundle = {key: about[key] for key in kept}
    return bundle, {
        "method": head.method,
        "budget": head.budget,
        "used_bytes": head.nbytes,
        "classes": len(head.classes_),
        "proxies": sum(head.proxies_per_class().values()),
        "shots": sum(head.shots_per_class().values()),
        "made_up": made_up,
    }


def listed(pictures: Sequence[Path]) -> tuple[str, ...]:
    """Pictures as a `Subject` wants them."""
    return tuple(str(path.absolute()) for path in pictures)
