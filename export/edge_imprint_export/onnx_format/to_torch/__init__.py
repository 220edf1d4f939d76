"""A float ONNX network as a torch module."""

from edge_imprint_export.onnx_format.to_torch import arithmetic, convolutions, layers, resize, shapes
from edge_imprint_export.onnx_format.to_torch.module import OnnxModule, onnx_to_torch

__all__ = ["OnnxModule", "arithmetic", "convolutions", "layers", "onnx_to_torch", "resize", "shapes"]
