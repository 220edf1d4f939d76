"""Step 3: the trained network as the bundle that travels inside the package.

    python export.py --data ../../../../shared/data --work /tmp/backbone --out /tmp/default

Into the last layer goes what makes cosines compare what matters: the mean embedding of the 1,000 calibration
photographs is subtracted, and directions in which pictures of one class differ are shortened (within-class whitening,
measured on every fifth training tile). The rest is what `edge-imprint export` does for any network.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
import pictures
import torch
from network import Backbone
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from train import HELD_OUT, SEED

from edge_imprint.backbones import InputSpec, Preprocessor
from edge_imprint_export import Report, export_backbone

SIDE = 80
SPEC = InputSpec(SIDE, SIDE, resize="shorter_side_then_centre_crop", resize_side=SIDE)
FORMATS = "onnx,onnx-int8,tflite-int8"
Pictures = NDArray[np.float32]


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


def trained_network(data: Path, work: Path) -> nn.Module:
    """The network of step 2 with mean and whitening in its last layer."""
    prepare = Preprocessor(SPEC, layout="nchw", dtype="float32")
    network = Backbone()
    trained = torch.load(work / "backbone.pt")
    network.load_state_dict({k.removeprefix("module."): v for k, v in trained["backbone"].items()})
    network.eval()
    tiles, labels = training_tiles(data, work)
    whitening = torch.from_numpy(within_class_whitening(embed(network, prepare(tiles)), labels))
    photographs = prepare(pictures.load_photographs(data / "imagenet_samples_1000.zip"))
    with torch.no_grad():
        network.embed.bias -= torch.from_numpy(embed(network, photographs).mean(0))
        network.embed.bias.copy_(whitening @ network.embed.bias)
        network.embed.weight.copy_(whitening @ network.embed.weight)
    return network


def bundle(source: nn.Module | Path, data: Path, work: Path, out: Path, min_cosine: float) -> Report:
    """Export with all 1,000 photographs: their embeddings are also the base statistics."""
    photographs = work / "photographs"
    with zipfile.ZipFile(data / "imagenet_samples_1000.zip") as archive:
        archive.extractall(photographs)
    return export_backbone(
        source,
        out,
        formats=FORMATS,
        calibration=photographs,
        max_pictures=1000,
        input=SPEC,
        min_cosine=min_cosine,
        embedding="output" if isinstance(source, nn.Module) else None,
        name="edge-imprint-default",
        licence="Apache-2.0",
        description="558,360 parameters, distilled from MobileNetV1 and MobileNetV2 on Tiny ImageNet; recipe: "
        "export/recipes/default_backbone",
        keep_float=0,  # a microcontroller may have no float kernels
        replace_bundle=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder: new, empty, or an earlier bundle")
    parser.add_argument(
        "--float32", type=Path, metavar="ONNX", help="a finished float32 file: no trained weights are needed"
    )
    parser.add_argument("--min-cosine", type=float, default=0.99, help="of an int8 file's worst photograph")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    source = args.float32 or trained_network(args.data, args.work)
    report = bundle(source, args.data, args.work, args.out, args.min_cosine)
    for file in report.files:
        parity = file.parity
        print(f"{file.spec.name}: cosine {parity.cosine_mean:.4f} on average, {parity.cosine_min:.4f} at least")


if __name__ == "__main__":
    main()
