"""Small .tflite networks written operator by operator, for what no converter gives at will."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_imprint_export.tflite_format.flatfile import schema
from edge_imprint_export.tflite_format.writing import Buffer, add_buffer, write

KINDS = {"float32": 0, "int32": 2, "uint8": 3, "int8": 9}


class Net:
    """A network under construction; `model` may be changed before `write`."""

    def __init__(self) -> None:
        self.schema = schema()
        self.model = self.schema.ModelT(version=3, operatorCodes=[], metadata=[], description=b"by hand")
        self.model.buffers = [Buffer(None)]
        self.graph = self.schema.SubGraphT(name=b"main", tensors=[], operators=[])
        self.model.subgraphs = [self.graph]
        self.inputs: list[int] = []

    def tensor(self, name: str, shape: Any, dtype: str = "float32", scale: Any = None, zero_point: Any = 0) -> int:
        tensor = self.schema.TensorT(shape=np.array(shape, np.int32), type=KINDS[dtype], name=name.encode())
        if scale is not None:
            scales = np.atleast_1d(np.array(scale, np.float32))
            zeros = np.broadcast_to(np.array(zero_point, np.int64), scales.shape).copy()
            low = np.array([-1.0], np.float32)
            tensor.quantization = self.schema.QuantizationParametersT(min=low, max=-low, scale=scales, zeroPoint=zeros)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, name: str, shape: Any, dtype: str = "float32", scale: Any = None, zero_point: Any = 0) -> int:
        self.inputs.append(self.tensor(name, shape, dtype, scale, zero_point))
        return self.inputs[-1]

    def constant(self, name: str, values: Any, scale: Any = None) -> int:
        values = np.ascontiguousarray(values)
        number = self.tensor(name, values.shape, values.dtype.name, scale)
        self.graph.tensors[number].buffer = add_buffer(self.model, values.view(np.uint8).ravel())
        return number

    def operator(self, name: str, inputs: list[int], output: int | list[int], options: str = "", **values: Any) -> int:
        number = getattr(self.schema.BuiltinOperator, name)
        self.model.operatorCodes.append(
            self.schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=1)
        )
        outputs = [output] if isinstance(output, int) else output
        made = self.schema.OperatorT(opcodeIndex=len(self.model.operatorCodes) - 1)
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")(**values)
        self.graph.operators.append(made)
        return outputs[0]

    def write(self, *outputs: int) -> bytes:
        self.graph.inputs = np.array(self.inputs, np.int32)
        self.graph.outputs = np.array(outputs, np.int32)
        return write(self.model)


def classifier(side: int = 8, channels: int = 16, classes: int = 40, seed: int = 0) -> bytes:
    """A float network: convolution, global average pool, two layers with a ReLU between, softmax."""
    rng = np.random.default_rng(seed)
    net = Net()
    x = net.input("picture", (1, side, side, 3))
    kernel = net.constant("kernel", rng.normal(0, 0.3, (channels, 3, 3, 3)).astype(np.float32))
    zeros = net.constant("zeros", np.zeros(channels, np.float32))
    mapped = net.tensor("conv;fused/names", (1, side, side, channels))
    net.operator("CONV_2D", [x, kernel, zeros], mapped, "Conv2DOptions", strideW=1, strideH=1,
                 fusedActivationFunction=1)  # fmt: skip
    axes = net.constant("axes", np.array([1, 2], np.int32))
    pooled = net.tensor("pool;more/names", (1, channels))
    net.operator("MEAN", [mapped, axes], pooled, "ReducerOptions", keepDims=False)
    head = net.constant("head", rng.normal(0, 0.3, (classes, channels)).astype(np.float32))
    bias = net.constant("bias", np.zeros(classes, np.float32))
    logits = net.tensor("logits", (1, classes))
    net.operator("FULLY_CONNECTED", [pooled, head, bias], logits, "FullyConnectedOptions")
    scores = net.tensor("scores", (1, classes))
    net.operator("SOFTMAX", [logits], scores, "SoftmaxOptions", beta=1.0)
    return net.write(scores)
