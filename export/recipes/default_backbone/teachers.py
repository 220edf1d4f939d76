"""Step 1: what the ImageNet teachers see in every view. Writes one float16 array of embeddings per teacher and view.

python teachers.py --data ../../../../shared/data --work /tmp/backbone
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pictures

SEED = 20261123
V1 = ("mobilenet_v1_1.0_224_quant_embedding_extractor.tflite", "MobilenetV1/Logits/AvgPool_1a/AvgPool")
V2 = ("tf2_mobilenet_v2_1.0_224_ptq.tflite", "MobileNetV2/top/Reshape/Reshape")


class Teacher:
    """A uint8 TFLite network, read at an inner tensor. Embeddings are dequantised and L2-normalised."""

    def __init__(self, path: Path, tensor: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._net = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]
        named = [t for t in self._net.get_tensor_details() if t["name"].startswith(tensor)]
        self._embedding = max(named, key=lambda t: int(np.prod(t["shape"])))
        self.side = int(self._input["shape"][1])

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        self._net.set_tensor(self._input["index"], picture[None])
        self._net.invoke()
        scale, zero_point = self._embedding["quantization"]
        raw = self._net.get_tensor(self._embedding["index"]).reshape(-1)
        embedding = (raw.astype(np.float32) - zero_point) * scale
        return embedding / max(float(np.linalg.norm(embedding)), 1e-12)


def tile_views(data: Path, work: Path) -> tuple[int, Iterator[tuple]]:
    tiles, _, _ = pictures.load_tiles(data / "tiny_imagenet_200.zip", work)
    return len(tiles), ((tile, None) for tile in tiles)


def photo_views(data: Path) -> tuple[int, Iterator[tuple]]:
    photographs = pictures.load_photographs(data / "imagenet_samples_1000.zip")
    views = pictures.photograph_views(photographs, SEED)
    return len(views), ((photographs[i], box) for i, box in views)


def embed(teacher: Teacher, count: int, views: Iterator[tuple], out: Path) -> None:
    """Embed every view and write (count, dim) float16 to `out`; an existing file is kept."""
    if out.exists():
        return
    started, rows = time.monotonic(), None
    for i, (picture, box) in enumerate(views):
        row = teacher(pictures.resized(picture, box, teacher.side))
        if rows is None:
            rows = np.empty((count, row.size), np.float16)
        rows[i] = row
        if i % 10_000 == 9_999:
            print(f"{out.stem}: {i + 1}/{count}, {time.monotonic() - started:.0f} s", flush=True)
    np.save(out.with_suffix(".part.npy"), rows)
    out.with_suffix(".part.npy").rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", choices=("v1", "v2"), help="one teacher, so that two processes share two cores")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.only != "v1":
        teacher = Teacher(args.data / "backbones" / V2[0], V2[1])
        embed(teacher, *tile_views(args.data, args.work), args.work / "v2_tiles.npy")
        embed(teacher, *photo_views(args.data), args.work / "v2_photos.npy")
    if args.only != "v2":
        teacher = Teacher(args.data / "backbones" / V1[0], V1[1])
        embed(teacher, *tile_views(args.data, args.work), args.work / "v1_tiles.npy")


if __name__ == "__main__":
    main()
