"""Trained float networks for measuring exports: public int8 files, their weights turned back into float.

No hub is needed, and a randomly initialised network would not do: with batch norm it is chaotic, and says nothing
about int8.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor, nn

_CONV, _DEPTHWISE = schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D
Layer = tuple[NDArray[np.float64], NDArray[np.float64]]


def _real(model: Any, tensor: Any, scale: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """A weight tensor's real values; `scale` is that of a bias whose own is not stored."""
    dtype = {schema.TensorType.UINT8: np.uint8, schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
    stored = np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype[tensor.type]).reshape(tensor.shape)
    quantised = tensor.quantization
    axes = [1] * stored.ndim
    axes[quantised.quantizedDimension if stored.ndim > 1 else 0] = -1
    steps = np.array(quantised.scale) if scale is None else scale
    zeros = np.array(quantised.zeroPoint)
    return np.asarray((stored.astype(np.float64) - zeros.reshape(axes)) * steps.reshape(axes))


def convolutions(path: Path) -> list[Layer]:
    """Weight (out, in / groups, height, width) and bias of each convolution of a .tflite file, in order."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    layers = []
    for operator in graph.operators:
        code = codes[operator.opcodeIndex]
        if code in (_CONV, _DEPTHWISE):
            weight, bias = (_real(model, graph.tensors[i]) for i in operator.inputs[1:3])
            layers.append((weight.transpose((3, 0, 1, 2) if code == _DEPTHWISE else (0, 3, 1, 2)), bias))
    return layers


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True) -> nn.Sequential:
    """A convolution padded as TensorFlow pads: with stride 2, on the right and below only."""
    layers: list[nn.Module] = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    layers.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups))
    if relu:
        layers.append(nn.ReLU6())
    return nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    """MobileNetV2's block."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        widen = [_conv(inputs, hidden, 1)] if expand > 1 else []
        self.body = nn.Sequential(
            *widen, _conv(hidden, hidden, 3, stride, hidden), _conv(hidden, outputs, 1, relu=False)
        )
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


class Pooled(nn.Module):
    """Convolutions, global average pool, and a classifier that an export must cut off."""

    def __init__(self, features: nn.Sequential, width: int, classes: int = 1000) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))


def _filled(features: nn.Sequential, width: int, path: Path) -> nn.Module:
    torch.manual_seed(0)
    network = Pooled(features, width)
    layers = [module for module in features.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, convolutions(path), strict=False):
            layer.weight.copy_(torch.from_numpy(weight))
            assert layer.bias is not None
            layer.bias.copy_(torch.from_numpy(bias))
    return network.eval()


def mobilenet_v2(backbones: Path) -> nn.Module:
    """MobileNetV2 1.0, ImageNet, 1,280-d; `backbones` is the folder of the public files."""
    blocks: list[nn.Module] = [_conv(3, 32, 3, 2)]
    inputs = 32
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, outputs, repeats, stride in plan:
        for i in range(repeats):
            blocks.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expand))
            inputs = outputs
    blocks.append(_conv(320, 1280, 1))
    return _filled(nn.Sequential(*blocks), 1280, backbones / "tf2_mobilenet_v2_1.0_224_ptq.tflite")


def mobilenet_v1_quarter(backbones: Path) -> nn.Module:
    """MobileNetV1 0.25, ImageNet, 256-d."""
    blocks: list[nn.Module] = [_conv(3, 8, 3, 2)]
    inputs = 8
    for outputs, stride in [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]:
        blocks += [_conv(inputs, inputs, 3, stride, inputs), _conv(inputs, outputs, 1)]
        inputs = outputs
    return _filled(nn.Sequential(*blocks), 256, backbones / "mobilenet_v1_0.25_128_quant.tflite")
