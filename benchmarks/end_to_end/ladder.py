"""The rungs from a camera frame to an answer, next to the same work by hand, for one file of one network."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data import data_folder
from benchmarks.end_to_end import by_hand
from benchmarks.end_to_end.networks import CALIBRATION, Network
from benchmarks.errors import BenchmarkError, DataMissingError
from edge_imprint import Learner
from edge_imprint.backbones import Preprocessor, load_backbone, load_image

WIDTH, HEIGHT = 640, 480
CLASSES, SHOTS = 10, 5


@dataclass(frozen=True)
class Footage:
    """One camera frame in both forms, and pictures to teach from.

    Attributes:
        array: uint8 (480, 640, 3).
        jpeg: a JPEG file's bytes, quality 90.
        lessons: 50 pictures, each a JPEG file's bytes.
    """

    array: NDArray[np.uint8]
    jpeg: bytes
    lessons: list[bytes]


def footage() -> Footage:
    """A photograph stretched to a camera's size, and others as lessons.

    Raises:
        DataMissingError: the archive of photographs is not there.
    """
    path = data_folder() / CALIBRATION
    if not path.is_file():
        raise DataMissingError(f"{CALIBRATION} is missing; set EDGE_IMPRINT_DATA to the folder that holds it")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        first, *lessons = [archive.read(name) for name in names[: 1 + CLASSES * SHOTS]]
    frame = by_hand.decode(first).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    frame.save(stream, "JPEG", quality=90)
    return Footage(np.array(frame), stream.getvalue(), lessons)


def rungs(network: Network, threads: int, seen: Footage) -> dict[str, Callable[[], object]]:
    """Contestants by name, ready to be timed in turns.

    Those that end with ", jpeg" start from a JPEG, "answer", "same by hand" and "decode and run" from an array; the
    others are single rungs. A network that is dead inside, as the public MCUNetV2 is, gives nothing to learn from: its
    answer ends at the embedding, and it has no "head". Those that run the network stand apart where they can: threads
    of one runtime wait busily for a moment after a run, and would take the cores from the next.

    Raises:
        BenchmarkError: the tensor by hand differs from edge-imprint's, so that the two would not do the same work.
    """
    backbone = load_backbone(network.source, runtime=network.runtime, precision=network.precision, threads=threads)
    spec, file = backbone.manifest.input, backbone.file
    assert spec is not None  # these networks take pictures
    run, normalise = by_hand.bare_runtime(backbone, network.path, threads), by_hand.Normalise(spec, file)
    ours = Preprocessor.of(spec, file)
    picture = by_hand.decode(seen.array)
    tensor = ours([picture])
    check_same(network, tensor, normalise(by_hand.resize(picture, spec)))
    embedding = backbone.infer(tensor)
    learner = Learner(backbone) if embedding.any() else None
    if learner is not None:
        for label in range(CLASSES):
            learner.learn(list(seen.lessons[label * SHOTS : (label + 1) * SHOTS]), f"class {label}")
    answer = backbone.embed if learner is None else learner.predict_many
    calls: dict[str, Callable[[], object]] = {}
    calls["answer"] = lambda: answer([seen.array])
    calls["decode"] = lambda: by_hand.decode(seen.array)
    calls["same by hand"] = lambda: run(normalise(by_hand.resize(by_hand.decode(seen.array), spec)))
    calls["resize"] = lambda: by_hand.resize(picture, spec)
    calls["decode and run"] = lambda: (by_hand.decode(seen.array), run(tensor))
    calls["preprocess"] = lambda: ours([picture])
    calls["answer, jpeg"] = lambda: answer([seen.jpeg])
    calls["decode, jpeg"] = lambda: by_hand.decode(seen.jpeg)
    calls["same by hand, jpeg"] = lambda: run(normalise(by_hand.resize(by_hand.decode(seen.jpeg), spec)))
    calls["preprocess by hand"] = lambda: normalise(by_hand.resize(picture, spec))
    calls["decode and run, jpeg"] = lambda: (by_hand.decode(seen.jpeg), run(tensor))
    if learner is not None:
        head = learner.head
        calls["head"] = lambda: head.answer(embedding, live=True)
    calls["run"] = lambda: run(tensor)
    calls["load"] = lambda: load_image(seen.array)
    calls["backbone"] = lambda: backbone.infer(tensor)
    return calls


def check_same(network: Network, ours: NDArray[np.generic], by_hand: NDArray[np.generic]) -> None:
    """Refuse tensors that differ by more than the last bits of float32, which may round an integer the other way.

    Raises:
        BenchmarkError: they do.
    """
    allowed = 1.0 if ours.dtype.kind in "iu" else 1e-4
    apart = np.abs(ours.astype(np.float64) - by_hand.astype(np.float64)).max()
    if ours.shape != by_hand.shape or apart > allowed:
        raise BenchmarkError(f"{network.path.name}: tensors by hand and by edge-imprint differ by {apart:g}")
