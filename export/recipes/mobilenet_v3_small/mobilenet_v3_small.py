"""MobileNetV3-Small (Howard et al. 2019, table 2) with the parameter names of timm, so that its weights load.

    edge-imprint export torch:mobilenet_v3_small:build --out bundle --calibration photos/

`build` reads `model.safetensors` beside this file, else fetches it from the hub; `untrained` has random weights.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from edge_imprint.backbones import InputSpec

HUB_ID = "timm/mobilenetv3_small_100.lamb_in1k"
# Per stage, per block: kernel, stride, hidden channels, output channels, squeeze-and-excitation, h-swish.
STAGES = (
    ((3, 2, 16, 16, True, False),),
    ((3, 2, 72, 24, False, False), (3, 1, 88, 24, False, False)),
    ((5, 2, 96, 40, True, True), (5, 1, 240, 40, True, True), (5, 1, 240, 40, True, True)),
    ((5, 1, 120, 48, True, True), (5, 1, 144, 48, True, True)),
    ((5, 2, 288, 96, True, True), (5, 1, 576, 96, True, True), (5, 1, 576, 96, True, True)),
)
FEATURES, DIM, CLASSES = 576, 1024, 1000
INPUT = InputSpec(
    height=224,
    width=224,
    resize="shorter_side_then_centre_crop",
    resize_side=256,
    mean=(123.675, 116.28, 103.53),
    scale=(1 / 58.395, 1 / 57.12, 1 / 57.375),
)


def rounded(channels: float) -> int:
    """The nearest multiple of eight, not more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


class Excite(nn.Module):
    """A gate per channel from the pooled map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, rounded(channels / 4), 1)
        self.conv_expand = nn.Conv2d(rounded(channels / 4), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * nn.functional.hardsigmoid(self.conv_expand(self.conv_reduce(pooled).relu()))


class Block(nn.Module):
    """Widen, filter each channel, gate, narrow; without the widening where the width stays."""

    def __init__(self, inputs: int, kernel: int, stride: int, hidden: int, outputs: int, gated: bool, hswish: bool):
        super().__init__()
        widen = hidden != inputs
        if widen:
            self.conv_pw = nn.Conv2d(inputs, hidden, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_dw = nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False)
        self.se = Excite(hidden) if gated else nn.Identity()
        filtered, narrowed = nn.BatchNorm2d(hidden), nn.BatchNorm2d(outputs)
        narrow = nn.Conv2d(hidden, outputs, 1, bias=False)
        # timm's names differ between the two kinds.
        if widen:
            self.bn2, self.conv_pwl, self.bn3 = filtered, narrow, narrowed
        else:
            self.bn1, self.conv_pw, self.bn2 = filtered, narrow, narrowed
        self.widen, self.skip = widen, stride == 1 and inputs == outputs
        self.act = nn.Hardswish() if hswish else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.widen:
            y = self.act(self.bn1(self.conv_pw(x)))
            y = self.bn3(self.conv_pwl(self.se(self.act(self.bn2(self.conv_dw(y))))))
        else:
            y = self.bn2(self.conv_pw(self.se(self.act(self.bn1(self.conv_dw(x))))))
        return x + y if self.skip else y


class Widening(nn.Module):
    """The last 1x1 convolution before pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.hardswish(self.bn1(self.conv(x)))


class MobileNetV3Small(nn.Module):
    """Picture (n, 3, 224, 224) to class scores (n, 1000); the embedding is what the classifier sees, 1024 values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stages: list[nn.Module] = []
        inputs = 16
        for stage in STAGES:
            blocks = []
            for kernel, stride, hidden, outputs, gated, hswish in stage:
                blocks.append(Block(inputs, kernel, stride, hidden, outputs, gated, hswish))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages, nn.Sequential(Widening(inputs, FEATURES)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv_head = nn.Conv2d(FEATURES, DIM, 1)
        self.classifier = nn.Linear(DIM, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(nn.functional.hardswish(self.bn1(self.conv_stem(x))))
        return self.classifier(nn.functional.hardswish(self.conv_head(self.pool(x))).flatten(1))


def build() -> tuple[nn.Module, InputSpec]:
    """The network with the weights of timm."""
    from safetensors.torch import load_file

    beside = Path(__file__).with_name("model.safetensors")
    if not beside.is_file():
        from huggingface_hub import hf_hub_download

        beside = Path(hf_hub_download(HUB_ID, "model.safetensors"))
    network = MobileNetV3Small()
    network.load_state_dict(load_file(beside))
    return network, INPUT


def untrained() -> tuple[nn.Module, InputSpec]:
    """The network with random weights, always the same."""
    torch.manual_seed(0)
    return MobileNetV3Small(), INPUT
