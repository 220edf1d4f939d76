"""The default backbone: dense 3x3 stages where pictures are large, depthwise ones where they are small.

Fused inverted residuals in the early stages (Tan and Le 2021, EfficientNetV2) keep int8 kernels busy; plain ReLU keeps
every activation range one-sided, which int8 likes. 0.55 million parameters, output stride 16, any input side that is a
multiple of 16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DIM = 256


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """An inverted residual; `fused` replaces the 1x1 expansion and the depthwise 3x3 by one dense 3x3."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int, fused: bool) -> None:
        super().__init__()
        hidden = inputs * expand
        widen = (
            [conv(inputs, hidden, 3, stride)]
            if fused
            else [conv(inputs, hidden, 1), conv(hidden, hidden, 3, stride, groups=hidden)]
        )
        self.body = nn.Sequential(*widen, conv(hidden, outputs, 1, relu=False))
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


class Backbone(nn.Module):
    """Picture (n, 3, side, side), values in [-1, 1], to embedding (n, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            conv(3, 24, 3, 2),
            Residual(24, 32, 2, 3, fused=True),
            Residual(32, 32, 1, 3, fused=True),
            Residual(32, 48, 2, 3, fused=True),
            Residual(48, 48, 1, 3, fused=True),
            Residual(48, 88, 2, 4, fused=False),
            *(Residual(88, 88, 1, 4, fused=False) for _ in range(4)),
            conv(88, 320, 1),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.embed = nn.Linear(320, DIM)

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(self.pool(self.stages(x)).flatten(1))


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


if __name__ == "__main__":
    backbone = Backbone().eval()
    with torch.no_grad():
        print(parameters(backbone), "parameters,", tuple(backbone(torch.zeros(1, 3, 64, 64)).shape))
