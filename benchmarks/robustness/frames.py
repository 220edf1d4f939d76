"""Camera frames that arrive damaged: refused with the learner as it was, or, where they still are pictures, learnt."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from benchmarks.robustness.operations import state
from benchmarks.robustness.outcome import Outcome
from benchmarks.robustness.pictures import encoded, views
from edge_imprint import Learner
from edge_imprint.errors import EdgeImprintError

KINDS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
CHECK_EVERY = 25
SIDE = 96


def corrupt(each: int) -> list[Outcome]:
    """So many damaged frames of every kind and format, to a learner that predicts good ones in between."""
    pictures = views()
    learner = Learner(budget="64KB", method="proxies")
    for name, shown in pictures.items():
        learner.learn(shown, name)
    before = state(learner.head)
    good = {name: learner.predict(shown[0]) for name, shown in pictures.items()}
    outcomes = {}
    for fault, frame in _frames(each):
        outcome = outcomes.setdefault(fault, Outcome(f"frames: {fault}"))
        outcome.operations += 2
        outcome.judge(_meets(learner, frame, before))
        if outcome.injected % CHECK_EVERY == 0 and good != {n: learner.predict(s[0]) for n, s in pictures.items()}:
            outcome.judge("a good frame is answered differently from before")
    return list(outcomes.values())


def _meets(learner: Learner, frame: object, before: bytes) -> str | None:
    """Predict and learn a frame; None when it was refused or taken, and can be undone."""
    try:
        learner.predict(frame)  # type: ignore[arg-type]
        learner.learn(frame, "damaged")  # type: ignore[arg-type]
        learner.undo()
    except EdgeImprintError:
        pass
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if state(learner.head) == before else "the learner has changed"


def _frames(each: int) -> Iterator[tuple[str, object]]:
    rng = np.random.default_rng(0)
    picture = np.ascontiguousarray(views()["astronaut"][0][:SIDE, :SIDE])
    files = {kind: encoded(picture, kind) for kind in KINDS}
    for whole in files.values():
        for length in np.linspace(0, len(whole) - 1, each).astype(int).tolist():
            yield "cut off", whole[:length]
        for _ in range(each):
            damaged = bytearray(whole)
            for place in rng.integers(0, len(whole), 1 + rng.integers(8)).tolist():
                damaged[place] ^= 1 << int(rng.integers(8))
            yield "flipped bits", bytes(damaged)
        for start in np.linspace(0, len(whole) - 1, each).astype(int).tolist():
            yield "zeros from somewhere on", whole[:start] + bytes(len(whole) - start)
        yield "nothing but zeros", bytes(len(whole))
        yield "nothing but noise", rng.bytes(len(whole))
        yield "nothing but noise", whole[:16] + rng.bytes(len(whole))
    for side in (1 << 14, 1 << 16, (1 << 31) - 1):
        yield "a huge size that is only said", _png(side, side)
        yield "a huge size that is only said", _bmp(files["BMP"], side)
        yield "a huge size that is only said", _jpeg(files["JPEG"], min(side, 65_535))
    yield from (("wrong arrays", frame) for frame in _arrays(picture))


def _arrays(picture: np.ndarray) -> Iterator[object]:
    floats = picture.astype(np.float32) / 255
    floats[0, 0, 0] = np.nan
    yield floats
    yield picture[:, :, 0]
    yield picture[:, :, :2]
    yield picture.transpose(2, 0, 1)
    yield picture[:0]
    yield picture[:, :0]
    yield picture[:1, :1]
    yield picture[:, :1]
    yield picture[:1]
    yield picture[::-1, ::-2]
    yield picture.astype(np.uint16)
    yield np.zeros((0,), np.uint8)
    yield np.zeros((), np.uint8)
    yield None
    yield [None]
    yield 7


def _png(width: int, height: int) -> bytes:
    """A PNG that says it is so large and holds ten bytes of pixels; every checksum is right."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(10))),
              (b"IEND", b"")]  # fmt: skip
    body = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _bmp(whole: bytes, side: int) -> bytes:
    return whole[:18] + struct.pack("<ii", side, side) + whole[26:]


def _jpeg(whole: bytes, side: int) -> bytes:
    """The size is in the frame header, behind its marker, its length and the precision."""
    place = whole.index(b"\xff\xc0") + 5
    return whole[:place] + struct.pack(">HH", side, side) + whole[place + 4 :]
