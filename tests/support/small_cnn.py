"""A small convolutional network, trained a little: an untrained one with batch norm is chaotic and judges nothing."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

SIDE, DIM, CLASSES = 32, 24, 4


def pictures(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Gratings of four directions, each with its own colours, phase and noise: (n, SIDE, SIDE, 3), and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    made = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for i, label in enumerate(labels):
        angle = np.pi * label / CLASSES + rng.normal(0, 0.1)
        wave = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * rng.uniform(0.4, 0.9) + rng.uniform(0, 6))
        colour = rng.uniform(20, 100, 3)
        value = 128 + wave[..., None] * colour + rng.normal(0, 12, (SIDE, SIDE, 3))
        made[i] = np.clip(np.rint(value), 0, 255)
    return made, labels


def prepared(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures in [-1, 1], channels last."""
    return ((values.astype(np.float32) - np.float32(127.5)) / np.float32(127.5)).astype(np.float32)


@cache
def trained_cnn() -> nn.Module:
    """An inverted-residual network of 20,000 parameters in eval mode: (n, 3, 32, 32) to (n, 24). Do not modify it."""
    import torch
    from torch import nn

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True) -> nn.Module:
        layers = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        return nn.Sequential(*layers, *([nn.ReLU6()] if act else []))

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                conv(width, 3 * width, 1), conv(3 * width, 3 * width, 3, groups=3 * width),
                conv(3 * width, width, 1, act=False),
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.body(x)  # type: ignore[no-any-return]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.Sequential(
                conv(3, 16, 3, 2), conv(16, 16, 1, act=False), Block(16), Block(16), conv(16, 32, 3, 2), Block(32),
            )  # fmt: skip
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.embed = nn.Linear(32, DIM)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.embed(self.pool(self.stages(x)).flatten(1))  # type: ignore[no-any-return]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, head = Net(), nn.Linear(DIM, CLASSES)
        values, labels = pictures(640, seed=0)
        x, y = torch.from_numpy(prepared(values)).permute(0, 3, 1, 2), torch.from_numpy(labels)
        optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], 3e-3)
        for _ in range(4):
            for batch in torch.randperm(len(x)).split(32):
                loss = nn.functional.cross_entropy(head(net(x[batch])), y[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    torch.set_num_threads(threads)
    return net.eval().requires_grad_(False)


def embed(module: nn.Module, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings (n, dim) of channels-last pictures."""
    import torch

    with torch.no_grad():
        found = module(torch.from_numpy(values).permute(0, 3, 1, 2).contiguous())
    return np.asarray(found.numpy())
