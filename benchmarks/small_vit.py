"""A small vision transformer, trained a little: what int8 does to one cannot be seen on random weights.

Trained here on Tiny ImageNet for a quarter of an hour (one core) and kept in the user's cache.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.data import ROOT, cache_folder

SIDE, PATCH, WIDTH, LAYERS, HEADS = 48, 8, 128, 4, 4
EPOCHS, BATCH, SEED = 1, 128, 0


class SmallViT(nn.Module):
    """transformers' ViT with a linear classifier on its pooled class token."""

    def __init__(self, classes: int = 200) -> None:
        super().__init__()
        from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=4 * WIDTH,
            image_size=SIDE, patch_size=PATCH, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )  # fmt: skip
        self.vit = ViTModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear(WIDTH, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classifier(self.vit(pixel_values=pictures).last_hidden_state[:, 0])


def small_vit(data: Path) -> nn.Module:
    """The trained network; trains it when the cache has none.

    Args:
        data: folder with tiny_imagenet_200.zip.
    """
    cache = cache_folder() / "networks"
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"vit_{WIDTH}_{LAYERS}_{EPOCHS}.pt"
    network = SmallViT()
    if not kept.exists():
        _train(network, data, cache)
        torch.save(network.state_dict(), kept)
    network.load_state_dict(torch.load(kept, weights_only=True))
    return network.eval()


def _train(network: nn.Module, data: Path, work: Path) -> None:
    sys.path.insert(0, str(ROOT / "export" / "recipes" / "default_backbone"))
    import pictures as recipe

    tiles, labels, _ = recipe.load_tiles(data / "tiny_imagenet_200.zip", work)
    torch.manual_seed(SEED)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    steps = EPOCHS * (len(tiles) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, steps)
    rng = np.random.default_rng(SEED)
    step = 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(tiles))
        for i in range(0, len(order) - BATCH + 1, BATCH):
            picked = np.sort(order[i : i + BATCH])
            batch = (
                torch.from_numpy(np.ascontiguousarray(tiles[picked, 8:56, 8:56])).permute(0, 3, 1, 2).float() / 127.5
                - 1
            )
            if rng.random() < 0.5:
                batch = batch.flip(3)
            loss = nn.functional.cross_entropy(network(batch), torch.from_numpy(labels[picked]), label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            if step % 100 == 0:
                print(f"small ViT: step {step} of {steps}, loss {loss.item():.2f}", file=sys.stderr, flush=True)
