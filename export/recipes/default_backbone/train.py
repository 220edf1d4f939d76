"""Step 2: train the default backbone by distilling the teachers' embeddings of 100,000 small photographs.

    python train.py --data ../../../../shared/data --work /tmp/backbone --epochs 24

Twenty of the 200 Tiny ImageNet classes are never trained on: 5- and 20-shot accuracy on them, by nearest class mean,
is what a checkpoint is judged by. The learning rate is constant and then falls linearly over the last
`--decay-epochs`; a run that was stopped goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pictures
import torch
import torch.nn.functional as F
from losses import direction_loss, relation_loss
from network import DIM, Backbone, parameters
from torch import Tensor, nn

SEED = 20261123
SIDE = 64
BATCH, PHOTO_BATCH = 224, 32
HELD_OUT = 20


class Views:
    """Student pictures (uint8) and teacher targets, aligned row by row, for tiles and for crops of photographs."""

    def __init__(self, data: Path, work: Path) -> None:
        self.tiles, self.labels, self.wnids = pictures.load_tiles(data / "tiny_imagenet_200.zip", work)
        self.photos = self._stored(work / "photos.npy", lambda: self._crop_photographs(data))
        self.v2_tiles, self.mean_v2 = self._targets(work / "v2_tiles.npy")
        self.v1_tiles, _ = self._targets(work / "v1_tiles.npy")
        self.v2_photos, _ = self._targets(work / "v2_photos.npy", self.mean_v2)
        held_out = np.random.default_rng(SEED).permutation(len(self.wnids))[:HELD_OUT]
        self.held_out = np.isin(self.labels, held_out)

    @staticmethod
    def _stored(path: Path, make) -> np.ndarray:
        if not path.exists():
            np.save(path, make())
        return np.load(path, mmap_mode="r")

    @staticmethod
    def _crop_photographs(data: Path) -> np.ndarray:
        photographs = pictures.load_photographs(data / "imagenet_samples_1000.zip")
        views = pictures.photograph_views(photographs, SEED)
        return np.stack([pictures.resized(photographs[i], box, SIDE) for i, box in views])

    @staticmethod
    def _targets(path: Path, mean: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Teacher embeddings, centred on their mean and L2-normalised: what is seen is the direction from the mean."""
        raw = torch.from_numpy(np.load(path))
        centre = raw.float().mean(0) if mean is None else mean
        for start in range(0, len(raw), 10_000):
            raw[start : start + 10_000] = F.normalize(raw[start : start + 10_000].float() - centre).half()
        return raw, centre


class Student(nn.Module):
    """The backbone with its training-only heads: class scores and one projection for each teacher."""

    def __init__(self, classes: int, v1: int, v2: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.classes = nn.Linear(DIM, classes)
        self.v1, self.v2 = nn.Linear(DIM, v1), nn.Linear(DIM, v2)


def augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 (n, h, w, 3) to float (n, 3, h, w) in [-1, 1]: mirrored, zoomed in, moved, relit, sometimes blurred."""
    x = batch.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last).float().div_(127.5).sub_(1)
    n = len(x)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    zoom = uniform(0.6, 1.0).sqrt()
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    affine = torch.zeros(n, 2, 3)
    affine[:, 0, 0], affine[:, 1, 1] = zoom * mirror, zoom * uniform(0.9, 1.1).clamp(max=1 / zoom)
    affine[:, 0, 2], affine[:, 1, 2] = (1 - zoom) * uniform(-1, 1), (1 - zoom) * uniform(-1, 1)
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    if torch.rand(1, generator=generator) < 0.5:
        blur = torch.rand(n, generator=generator) < 0.3
        side = int(torch.randint(SIDE // 2, SIDE, (1,), generator=generator))
        small = F.interpolate(x[blur], size=(side, side), mode="bilinear", antialias=True)
        x[blur] = F.interpolate(small, size=x.shape[2:], mode="bilinear")
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(0.6, 1.4, 1, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    light = uniform(-0.2, 0.2, 1, 1, 1) + 0.05 * torch.randn(n, 3, 1, 1, generator=generator)
    return (mean + (x - mean) * uniform(0.7, 1.3, 1, 1, 1) + light).clamp_(-1.2, 1.2)


def loss_of(
    student: Student,
    views: Views,
    rows: np.ndarray,
    photos: np.ndarray,
    lookup: Tensor,
    generator: torch.Generator,
) -> Tensor:
    rows = np.sort(rows)
    batch = torch.from_numpy(np.concatenate([views.tiles[rows], views.photos[photos]]))
    with torch.autocast("cpu", torch.bfloat16):
        embedding = student.backbone(augment(batch, generator))
    embedding = embedding.float()
    of_tiles = embedding[: len(rows)]
    v2 = torch.cat([views.v2_tiles[rows], views.v2_photos[photos]]).float()
    v1 = views.v1_tiles[rows].float()
    labels = lookup[torch.from_numpy(views.labels[rows])]
    return (
        F.cross_entropy(student.classes(of_tiles), labels, label_smoothing=0.1)
        + 4.0 * direction_loss(student.v2(embedding), v2)
        + 4.0 * direction_loss(student.v1(of_tiles), v1)
        + 2.0 * relation_loss(embedding, v2)
        + 2.0 * relation_loss(of_tiles, v1)
    )


@torch.no_grad()
def embeddings(backbone: Backbone, tiles: np.ndarray) -> np.ndarray:
    backbone.eval()
    rows = []
    for start in range(0, len(tiles), 500):
        x = torch.from_numpy(np.ascontiguousarray(tiles[start : start + 500])).permute(0, 3, 1, 2)
        rows.append(backbone(x.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1).numpy())
    return np.concatenate(rows)


def few_shot_accuracy(x: np.ndarray, y: np.ndarray, centre: np.ndarray, shots: int, episodes: int = 20) -> float:
    """Mean accuracy of the nearest class mean by cosine over seeded episodes with every held-out class, in %."""
    rng, unit = np.random.default_rng(0), x - centre
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    classes, correct = np.unique(y), []
    for _ in range(episodes):
        order = [rng.permutation(np.flatnonzero(y == c)) for c in classes]
        means = np.stack([unit[o[:shots]].mean(0) for o in order])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        correct += [np.mean((unit[o[shots : shots + 50]] @ means.T).argmax(1) == i) for i, o in enumerate(order)]
    return 100 * float(np.mean(correct))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--decay-epochs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate of AdamW")
    args = parser.parse_args()

    torch.manual_seed(SEED)
    views = Views(args.data, args.work)
    train = np.flatnonzero(~views.held_out)
    lookup = torch.full((len(views.wnids),), -1)
    kept = np.unique(views.labels[train])
    lookup[torch.from_numpy(kept)] = torch.arange(len(kept))
    student = Student(len(kept), views.v1_tiles.shape[1], views.v2_tiles.shape[1]).to(memory_format=torch.channels_last)
    averaged = torch.optim.swa_utils.AveragedModel(
        student.backbone, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    matrices = [p for p in student.parameters() if p.ndim > 1]
    vectors = [p for p in student.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}], lr=args.rate
    )
    print(parameters(student.backbone), "parameters;", len(train), "training tiles", flush=True)

    steps = len(train) // BATCH
    total, decay, warmup = args.epochs * steps, args.decay_epochs * steps, steps
    checkpoint, first, spent = args.work / "student.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        student.load_state_dict(state["student"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        first, spent = state["epoch"], state["seconds"]
    for epoch in range(first, args.epochs):
        rng, generator = np.random.default_rng([SEED, epoch]), torch.Generator().manual_seed(SEED + epoch)
        order, started, running = rng.permutation(train), time.monotonic(), 0.0
        student.train()
        for i in range(steps):
            step = epoch * steps + i
            rate = args.rate * min(1.0, (step + 1) / warmup, (total - step) / decay)
            for group in optimizer.param_groups:
                group["lr"] = rate
            photos = np.sort(rng.choice(len(views.photos), PHOTO_BATCH, replace=False))
            loss = loss_of(student, views, order[i * BATCH : (i + 1) * BATCH], photos, lookup, generator)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
            optimizer.step()
            averaged.update_parameters(student.backbone)
            running += loss.item()
        spent += time.monotonic() - started
        x = embeddings(averaged.module, views.tiles[views.held_out])
        centre = embeddings(averaged.module, views.tiles[train[::45]]).mean(0)
        y = views.labels[views.held_out]
        line = {
            "epoch": epoch + 1,
            "loss": round(running / steps, 4),
            "held_out_5_shot": round(few_shot_accuracy(x, y, centre, 5), 2),
            "held_out_20_shot": round(few_shot_accuracy(x, y, centre, 20), 2),
            "seconds": round(spent),
        }
        print(json.dumps(line), flush=True)
        state = {
            "student": student.state_dict(),
            "averaged": averaged.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        torch.save({**state, "epoch": epoch + 1, "seconds": spent}, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").rename(checkpoint)
    torch.save(
        {"backbone": averaged.module.state_dict(), "centre": torch.from_numpy(centre)},
        args.work / "backbone.pt",
    )


if __name__ == "__main__":
    main()
