"""Networks that are measured: public .tflite files, the default backbone's files, and bundles exported on the spot."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import edge_imprint
from benchmarks.data import ROOT, data_folder
from benchmarks.errors import BenchmarkError
from edge_imprint.backbones import read_manifest

PUBLIC = {
    "mobilenet_v1_0.25_128_quant": "MobileNetV1 0.25, 128",
    "mobilenet_v1_1.0_224_quant_embedding_extractor": "MobileNetV1 1.0, 224",
    "mcunetv2_large": "MCUNetV2",
    "tf2_mobilenet_v2_1.0_224_ptq": "MobileNetV2 1.0, 224",
}
EXPORTED = {"mobilenet_v2_96": "exported MobileNetV2, 96", "mobilenet_v2_224": "exported MobileNetV2, 224"}
CALIBRATION = "imagenet_samples_1000.zip"
CALIBRATION_PICTURES = 64
"""Enough for the same graph, whose speed is asked for; how good its numbers are is the suite `export`'s to say."""
PROGRAM = """
import sys
from pathlib import Path
from benchmarks.export_child import NETWORKS
from edge_imprint_export import export_backbone
name, out, calibration = sys.argv[1:]
source, spec = NETWORKS[name][1]()
export_backbone(source, Path(out), calibration=Path(calibration), input=spec, min_cosine=0.0, name=name)
"""


@dataclass(frozen=True)
class Network:
    """One file to run.

    Attributes:
        title: for tables.
        source, runtime, precision: for `load_backbone`.
        path: of the file.
    """

    title: str
    source: str
    path: Path
    runtime: str | None = None
    precision: str = "auto"

    @property
    def kind(self) -> str:
        """The file's format and precision in one word."""
        return f"{self.runtime}-{self.precision}" if self.runtime else "tflite-int8"


def of_bundle(title: str, folder: Path, source: str) -> list[Network]:
    """Every file of a bundle."""
    files = read_manifest(folder).files
    return [Network(title, source, folder / file.name, file.format, file.precision) for file in files]


def default() -> list[Network]:
    """The files of the backbone inside the package."""
    folder = Path(edge_imprint.__file__).parent / "backbones" / "default"
    return of_bundle("default, 80", folder, "default")


def public() -> list[Network]:
    """The public .tflite files that are there."""
    folder = data_folder() / "backbones"
    return [
        Network(title, str(folder / f"{name}.tflite"), folder / f"{name}.tflite")
        for name, title in PUBLIC.items()
        if (folder / f"{name}.tflite").is_file()
    ]


def export(name: str, folder: Path) -> list[Network]:
    """Export a network of `EXPORTED` into a folder, in a process of its own.

    Raises:
        BenchmarkError: the export failed.
    """
    pictures = folder / "pictures"
    if not pictures.is_dir():
        with zipfile.ZipFile(data_folder() / CALIBRATION) as zipped:
            names = sorted(entry for entry in zipped.namelist() if entry.lower().endswith((".jpg", ".jpeg")))
            zipped.extractall(pictures, names[:CALIBRATION_PICTURES])
    command = [sys.executable, "-c", PROGRAM, name, str(folder / name), str(pictures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"exporting {name} failed: {done.stderr.strip()[-500:]}")
    return of_bundle(EXPORTED[name], folder / name, str(folder / name))
