"""Step 3: the trained network as the bundle that travels inside the package.

    python export.py --data ../../../../shared/data --work /tmp/backbone --out ../../../edge_imprint/backbones/default

Batch norm is folded into the convolutions. Into the last layer goes what makes cosines compare what matters: the mean
embedding of the 1,000 calibration photographs is subtracted, and directions in which pictures of one class differ are
shortened (within-class whitening, measured on every fifth training tile). int8 is QDQ with 7-bit weights per channel:
with 8 bits, x86 processors without VNNI saturate and would give other embeddings than ARM.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pictures
import torch
from network import Backbone, parameters
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from train import HELD_OUT, SEED

from edge_imprint.backbones.bundle import BaseStatistics, file_spec, write_bundle
from edge_imprint.backbones.manifest import Manifest
from edge_imprint.backbones.preprocess import Preprocessor
from edge_imprint.backbones.spec import InputSpec, StatisticsSpec

SIDE = 80
OPSET, IR_VERSION = 18, 9
Pictures = NDArray[np.float32]


class Calibration(CalibrationDataReader):
    """Photographs one by one, as onnxruntime's quantiser asks for them."""

    def __init__(self, inputs: Pictures) -> None:
        self._rows = iter(inputs)

    def get_next(self) -> dict[str, Pictures] | None:
        row = next(self._rows, None)
        return None if row is None else {"picture": row[None]}


def fold_batch_norm(network: nn.Module) -> None:
    """Replace every convolution that a batch norm follows by one convolution, in place."""
    for child in network.modules():
        if isinstance(child, nn.Sequential):
            for i in range(len(child) - 1):
                if isinstance(child[i], nn.Conv2d) and isinstance(child[i + 1], nn.BatchNorm2d):
                    child[i] = fuse_conv_bn_eval(child[i], child[i + 1])
                    child[i + 1] = nn.Identity()


def within_class_whitening(embeddings: Pictures, labels: NDArray[np.int64]) -> Pictures:
    """(S_W / mean variance + I)^(-1/2), S_W the covariance about each class's own mean: (dim, dim), symmetric.

    The identity keeps directions with little variance from being blown up. Of the weights 0.1, 0.3, 1 and 3 for it, and
    of no whitening, 1 was best on the held-out classes.
    """
    own = np.stack([embeddings[labels == c].mean(0) for c in range(labels.max() + 1)])
    scattered = (embeddings - own[labels]).astype(np.float64)
    variances, directions = np.linalg.eigh(scattered.T @ scattered / len(scattered))
    return ((directions / np.sqrt(variances / variances.mean() + 1)) @ directions.T).astype(np.float32)


def training_tiles(data: Path, work: Path) -> tuple[list[Image.Image], NDArray[np.int64]]:
    """Every fifth tile of the classes that were trained on, with labels from 0 on."""
    tiles, labels, wnids = pictures.load_tiles(data / "tiny_imagenet_200.zip", work)
    held_out = np.random.default_rng(SEED).permutation(len(wnids))[:HELD_OUT]
    kept = np.flatnonzero(~np.isin(labels, held_out))[::5]
    return [Image.fromarray(tiles[i]) for i in kept], np.unique(labels[kept], return_inverse=True)[1]


@torch.no_grad()
def embed(network: nn.Module, inputs: Pictures) -> Pictures:
    return torch.cat([network(torch.from_numpy(inputs[i : i + 100])) for i in range(0, len(inputs), 100)]).numpy()


def to_onnx(network: nn.Module) -> bytes:
    picture = torch.zeros(1, 3, SIDE, SIDE)
    program = torch.onnx.export(
        network,
        (picture,),
        input_names=["picture"],
        output_names=["embedding"],
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = program.model_proto
    model.ir_version = IR_VERSION
    # The exporter notes where on this machine each node came from.
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def to_int8(float32: bytes, inputs: Pictures) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(float32)
        quantize_static(
            source,
            target,
            Calibration(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        model = onnx.load(target)
    del model.metadata_props[:]
    model.ir_version = IR_VERSION
    return model.SerializeToString(deterministic=True)


def run(model: bytes, inputs: Pictures) -> Pictures:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"picture": row[None]})[0] for row in inputs])


def cosines(a: Pictures, b: Pictures) -> Pictures:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def statistics(embeddings: Pictures) -> bytes:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    moment = (unit.T @ unit / len(unit)).astype(np.float32)
    return BaseStatistics(unit.mean(0).astype(np.float32), moment, len(unit)).to_npz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder; must be new or empty")
    parser.add_argument(
        "--calibration", type=int, default=400, help="photographs that set the int8 ranges; the rest judge"
    )
    args = parser.parse_args()

    spec = InputSpec(SIDE, SIDE, resize="shorter_side_then_centre_crop", resize_side=SIDE)
    prepare = Preprocessor(spec, layout="nchw", dtype="float32")
    photographs: Pictures = prepare(pictures.load_photographs(args.data / "imagenet_samples_1000.zip"))

    network = Backbone()
    trained = torch.load(args.work / "backbone.pt")
    network.load_state_dict({k.removeprefix("module."): v for k, v in trained["backbone"].items()})
    network.eval()
    fold_batch_norm(network)
    tiles, labels = training_tiles(args.data, args.work)
    whitening = torch.from_numpy(within_class_whitening(embed(network, prepare(tiles)), labels))
    with torch.no_grad():
        network.embed.bias -= torch.from_numpy(embed(network, photographs).mean(0))
        network.embed.bias.copy_(whitening @ network.embed.bias)
        network.embed.weight.copy_(whitening @ network.embed.weight)
    embeddings = embed(network, photographs)
    float32 = to_onnx(network)
    int8 = to_int8(float32, photographs[: args.calibration])
    moments = statistics(embeddings)

    common = {"format": "onnx", "layout": "nchw", "dtype": "float32", "embedding": "embedding"}
    files = {"backbone.onnx": float32, "backbone.int8.onnx": int8, "base_statistics.npz": moments}
    manifest = Manifest(
        "edge-imprint-default",
        "Apache-2.0",
        "558,360 parameters, distilled from MobileNetV1 and MobileNetV2 on Tiny ImageNet; recipe: "
        "export/recipes/default_backbone",
        embeddings.shape[1],
        spec,
        (
            file_spec("backbone.onnx", float32, precision="float32", **common),
            file_spec("backbone.int8.onnx", int8, precision="int8", **common),
        ),
        StatisticsSpec("base_statistics.npz", hashlib.sha256(moments).hexdigest()),
    )
    write_bundle(args.out, manifest, files)
    unseen, expected = photographs[args.calibration :], embeddings[args.calibration :]
    int8_cosines = cosines(run(int8, unseen), expected)
    result = {
        "parameters": parameters(network),
        "bytes": {name: len(blob) for name, blob in files.items()},
        "float32_largest_difference": float(np.abs(run(float32, unseen[:50]) - expected[:50]).max()),
        "int8_cosine": {"mean": float(int8_cosines.mean()), "least": float(int8_cosines.min())},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
