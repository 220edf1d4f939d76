"""What an export does where it cannot go on: formats that are impossible, packages, folders, disks, Ctrl-C."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")
for package in ("onnx", "onnxscript", "onnxruntime", "litert_torch", "ai_edge_quantizer"):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'edge-imprint[export]'")

from exporting import left, refused, run_well  # noqa: E402
from small_cnn import SIDE  # noqa: E402

from edge_imprint.backbones import InputSpec, load_backbone  # noqa: E402
from edge_imprint.cli import main  # noqa: E402
from edge_imprint.errors import EdgeImprintError, MissingRuntimeError, StorageError  # noqa: E402
from edge_imprint_export import export_backbone  # noqa: E402

torch.set_num_threads(1)

SPEC = InputSpec(SIDE, SIDE)


# Formats that cannot be


def test_an_operator_that_tflite_lacks(place, calibration, capfd, tmp_path, monkeypatch):
    """ONNX is written; the report and a warning name the operator."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sorting_network.py").write_text(
        "import torch\nfrom torch import nn\nfrom small_cnn import trained_cnn\n"
        "class Sorting(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.inner = trained_cnn()\n"
        "    def forward(self, x):\n        return torch.sort(self.inner(x), 1)[0]\n"
    )
    words = ("torch:sorting_network:Sorting", "--size", SIDE, "--formats", "onnx,tflite", "--calibration", calibration)
    said, err = run_well(place, capfd, *words)
    assert [file["format"] for file in said["files"]] == ["onnx"]
    assert "SORT" in said["impossible"][0]["reason"]
    assert err == f"Warning: no tflite: {said['impossible'][0]['reason']}\n"
    page = (place / "b" / "report.html").read_text()
    assert "STABLEHLO_SORT" in page
    assert sorted(path.name for path in (place / "b").iterdir()) == [
        "backbone.onnx", "base_statistics.npz", "manifest.json", "report.html", "report.json",
    ]  # fmt: skip


def test_litert_torch_is_missing(place, network, calibration, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    words = {"calibration": calibration, "timing": False, "input": SPEC}
    report = export_backbone(network, place / "b", formats="onnx,tflite", **words)
    assert [file.format for file in report.files] == ["onnx"]
    assert "pip install 'edge-imprint[export]'" in dict(report.impossible)["tflite"]
    with pytest.raises(MissingRuntimeError, match=r"litert.*pip install"):
        export_backbone(network, place / "c", formats="tflite,tflite-int8", **words)
    assert not (place / "c").exists()


def test_torch_is_missing(place, factory, network, calibration, monkeypatch, capfd):
    for name in [name for name in sys.modules if name.startswith("edge_imprint_export.sources.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'edge-imprint[export]'" in refused(place, capfd, factory)
    # An .onnx file needs none.
    words = {"calibration": calibration, "timing": False, "input": SPEC}
    assert export_backbone(network, place / "b", formats="onnx,onnx-int8", **words).impossible == ()


@pytest.mark.parametrize("package", ["onnxruntime", "onnx"])
def test_what_onnx_files_need_is_missing(place, network, capfd, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install" in refused(place, capfd, network)


def test_a_tflite_source_needs_neither_onnx_nor_torch(place, exported, calibration, monkeypatch):
    for package in ("onnxruntime", "onnx", "torch", "litert_torch"):
        monkeypatch.setitem(sys.modules, package, None)
    report = export_backbone(
        exported[1] / "backbone.tflite", place / "b", formats="tflite", calibration=calibration, input=SPEC,
        timing=False,
    )  # fmt: skip
    assert report.impossible == ()


# The folder to write


def test_a_folder_that_holds_something(place, network, capfd):
    (place / "b").mkdir()
    (place / "b" / "mine.txt").write_text("precious")
    for words in ((), ("--replace",)):
        code = main(["export", str(network), "--out", str(place / "b"), *words])
        assert code == 2
        assert "mine.txt" in capfd.readouterr().err
    assert [path.name for path in (place / "b").iterdir()] == ["mine.txt"]


def test_an_earlier_bundle_is_kept_unless_it_may_be_replaced(place, network, calibration):
    words = {"formats": "onnx", "calibration": calibration, "timing": False, "input": SPEC}
    export_backbone(network, place / "b", **words, name="first")
    with pytest.raises(StorageError, match="--replace"):
        export_backbone(network, place / "b", **words)
    with pytest.raises(EdgeImprintError):  # found out late: what was there stays
        export_backbone(network, place / "b", **{**words, "formats": "onnx-int8"}, replace_bundle=True, min_cosine=1.0)
    assert load_backbone(place / "b").name == "first"
    assert [path.name for path in place.iterdir()] == ["b"]


def test_a_folder_whose_parent_is_missing_or_a_file(place, network, capfd):
    assert "does not exist" in refused(place, capfd, network, "--out", place / "no" / "b")
    (place.parent / "file").write_text("")
    code = main(["export", str(network), "--out", str(place.parent / "file")])
    assert (code, "is a file" in capfd.readouterr().err) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(place, network, capfd):
    place.chmod(0o500)
    assert "may not be written" in refused(place, capfd, network)


# A full disk


def test_a_full_disk_when_the_bundle_is_written(place, network, calibration, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"No space left on device. Make room"):
        export_backbone(network, place / "b", formats="onnx", calibration=calibration, timing=False, input=SPEC)
    assert left(place) == []


LIMITED = """
import resource, sys
from edge_imprint.cli import main
sys.exit(main(sys.argv[1:])) if resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)) is None else None
"""


def test_a_full_disk_for_temporary_files(place, network, calibration):
    """No file may grow beyond 20,000 bytes: the one that is to be measured is the first that does."""
    words = ["export", network, "--formats", "onnx", "--calibration", calibration, "--out", place / "b"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, words)], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: an export needs room for temporary files; File too large.")
    assert done.stderr.count("\n") == 1
    assert left(place) == []


# Ctrl-C


def interrupted_at(number, *args, **words):
    """Run an export that is interrupted when it tells of its progress for the n-th time; returns how often it told."""
    told = []

    def tell(*what):
        told.append(what)
        if len(told) == number:
            raise KeyboardInterrupt

    try:
        export_backbone(*args, **words, timing=False, progress=tell)
    except KeyboardInterrupt:
        assert len(told) == number
    return told


def test_ctrl_c_at_every_stage(place, network, calibration):
    words = {"formats": "onnx,onnx-int8", "calibration": calibration, "input": SPEC}
    told = interrupted_at(0, network, place / "b", **words)
    shutil.rmtree(place / "b")
    stages = {text: number for number, (text, _, _) in reversed(list(enumerate(told, 1)))}
    assert len(stages) > 6
    for number in sorted({*stages.values(), len(told)}):
        interrupted_at(number, network, place / "b", **words)
        assert left(place) == [], told[number - 1]


@pytest.mark.slow
def test_ctrl_c_at_every_stage_of_a_torch_network(place, factory, calibration):
    told = interrupted_at(0, factory, place / "b", calibration=calibration)
    shutil.rmtree(place / "b")
    stages = {text: number for number, (text, _, _) in reversed(list(enumerate(told, 1)))}
    for number in stages.values():
        interrupted_at(number, factory, place / "b", calibration=calibration)
        assert left(place) == [], told[number - 1]


def test_ctrl_c_while_the_bundle_is_written(place, network, calibration, monkeypatch):
    calls = []

    def interrupted(_):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_backbone(network, place / "b", formats="onnx", calibration=calibration, timing=False, input=SPEC)
    assert left(place) == []
