"""Tests of the exporter use modules of `tests/support`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edge_imprint_export import Report

SUPPORT = str(Path(__file__).resolve().parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty pictures of four classes, FOLDER/LABEL/*.png, for the network of `small_cnn`."""
    from exporting import write_pictures

    return write_pictures(tmp_path_factory.mktemp("calibration") / "pictures")


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`torch:module:function` of that network with a classifier behind it, on the path."""
    from exporting import FACTORY

    folder = tmp_path_factory.mktemp("factory")
    (folder / "exported_network.py").write_text(FACTORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield "torch:exported_network:make"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, calibration: Path, factory: str) -> tuple[Report, Path]:
    """The report and the folder of an export of it to everything."""
    from edge_imprint_export import export_backbone

    out = tmp_path_factory.mktemp("all") / "bundle"
    return export_backbone(factory, out, calibration=calibration), out


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network with its classifier as an .onnx file."""
    from exporting import write_onnx

    return write_onnx(tmp_path_factory.mktemp("onnx") / "network.onnx")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the bundle; whoever fails must leave it, and the folder for temporary files, empty."""
    for name in ("bundles", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "bundles"
