"""The networks: the shared files, the default backbone, and MobileNetV2 exported at two sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import edge_imprint
from benchmarks.data import data_folder
from edge_imprint.backbones import Backbone, InputSpec, load_backbone

SIDES = (96, 224)


@dataclass(frozen=True)
class Case:
    """One file of one network.

    Attributes:
        name: in results.
        title: in tables.
        source: for `load_backbone`: a file, or the folder of a bundle.
        runtime: "onnx" or "tflite".
        precision: of the bundle's file.
    """

    name: str
    title: str
    source: Path
    runtime: str
    precision: str = "auto"

    def backbone(self, threads: int) -> Backbone:
        """Opened as a user opens it."""
        return load_backbone(self.source, runtime=self.runtime, precision=self.precision, threads=threads)

    def file(self, backbone: Backbone) -> Path:
        """The file itself."""
        return self.source / backbone.file.name if self.source.is_dir() else self.source


def default_cases() -> list[Case]:
    """The files of the default backbone."""
    folder = Path(edge_imprint.__file__).parent / "backbones" / "default"
    return [
        Case("default-onnx", "default, float32, onnx", folder, "onnx", "float32"),
        Case("default-onnx-int8", "default, int8, onnx", folder, "onnx", "int8"),
        Case("default-tflite-int8", "default, int8, tflite", folder, "tflite", "int8"),
    ]


def shared_cases() -> Iterator[Case]:
    """The picture networks of the shared folder that are there."""
    files = {
        "mobilenet_v1_0.25_128_quant": "MobileNetV1 0.25/128",
        "mobilenet_v1_1.0_224_quant_embedding_extractor": "MobileNetV1 1.0/224",
        "mcunetv2_large": "MCUNetV2 large",
        "tf2_mobilenet_v2_1.0_224_ptq": "MobileNetV2 1.0/224",
    }
    for name, title in files.items():
        path = data_folder() / "backbones" / f"{name}.tflite"
        if path.is_file():
            yield Case(name, f"{title}, int8, tflite", path, "tflite")


def exported_cases(folder: Path) -> Iterator[Case]:
    """MobileNetV2 in float32, exported into `folder` at 96 and 224 pixels: a bundle each, ONNX and TFLite."""
    from benchmarks.dequantised import mobilenet_v2
    from edge_imprint_export import export_backbone

    for side in SIDES:
        name = f"mobilenet_v2_{side}"
        spec = InputSpec(side, side, resize="shorter_side_then_centre_crop", resize_side=round(side * 8 / 7))
        network = mobilenet_v2(data_folder() / "backbones")
        export_backbone(network, folder / name, formats=("onnx", "tflite"), input=spec, name=name)
        for runtime in ("onnx", "tflite"):
            title = f"MobileNetV2 1.0/{side}, exported, float32, {runtime}"
            yield Case(f"{name}-{runtime}", title, folder / name, runtime, "float32")
