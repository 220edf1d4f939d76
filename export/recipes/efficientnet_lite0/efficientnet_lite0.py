"""EfficientNet-Lite0 (EfficientNet-B0 without gates, with ReLU6) with the parameter names of timm, so its weights load.

    edge-imprint export torch:efficientnet_lite0:build --out bundle --calibration photos/

`build` reads `model.safetensors` beside this file, else fetches it from the hub; `untrained` has random weights.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from edge_imprint.backbones import InputSpec

HUB_ID = "timm/efficientnet_lite0.ra_in1k"
# Per stage: blocks, kernel, stride of the first, widening, output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
DIM, CLASSES = 1280, 1000
INPUT = InputSpec(
    height=224,
    width=224,
    resize="shorter_side_then_centre_crop",
    resize_side=256,
    mean=(123.675, 116.28, 103.53),
    scale=(1 / 58.395, 1 / 57.12, 1 / 57.375),
)


class Block(nn.Module):
    """Widen, filter each channel, narrow; without the widening in the first stage."""

    def __init__(self, inputs: int, kernel: int, stride: int, widening: int, outputs: int) -> None:
        super().__init__()
        hidden = inputs * widening
        self.widen, self.skip = widening > 1, stride == 1 and inputs == outputs
        if self.widen:
            self.conv_pw = nn.Conv2d(inputs, hidden, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_dw = nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False)
        filtered, narrowed = nn.BatchNorm2d(hidden), nn.BatchNorm2d(outputs)
        narrow = nn.Conv2d(hidden, outputs, 1, bias=False)
        # timm's names differ between the two kinds.
        if self.widen:
            self.bn2, self.conv_pwl, self.bn3 = filtered, narrow, narrowed
        else:
            self.bn1, self.conv_pw, self.bn2 = filtered, narrow, narrowed
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        if self.widen:
            y = self.act(self.bn1(self.conv_pw(x)))
            y = self.bn3(self.conv_pwl(self.act(self.bn2(self.conv_dw(y)))))
        else:
            y = self.bn2(self.conv_pw(self.act(self.bn1(self.conv_dw(x)))))
        return x + y if self.skip else y


class EfficientNetLite0(nn.Module):
    """Picture (n, 3, 224, 224) to class scores (n, 1000); the embedding is what the classifier sees, 1280 values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        stages = []
        inputs = 32
        for count, kernel, stride, widening, outputs in STAGES:
            blocks = [Block(inputs, kernel, stride, widening, outputs)]
            blocks += [Block(outputs, kernel, 1, widening, outputs) for _ in range(count - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(inputs, DIM, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(DIM)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(DIM, CLASSES)
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.act(self.bn1(self.conv_stem(x))))
        return self.classifier(self.pool(self.act(self.bn2(self.conv_head(x)))).flatten(1))


def build() -> tuple[nn.Module, InputSpec]:
    """The network with the weights of timm."""
    from safetensors.torch import load_file

    beside = Path(__file__).with_name("model.safetensors")
    if not beside.is_file():
        from huggingface_hub import hf_hub_download

        beside = Path(hf_hub_download(HUB_ID, "model.safetensors"))
    network = EfficientNetLite0()
    network.load_state_dict(load_file(beside))
    return network, INPUT


def untrained() -> tuple[nn.Module, InputSpec]:
    """The network with random weights, always the same."""
    torch.manual_seed(0)
    return EfficientNetLite0(), INPUT
