"""Bad input of an export: one clear line, nothing left behind; other formats still written when one is impossible."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")
for package in ("onnx", "onnxscript", "onnxruntime", "litert_torch", "ai_edge_quantizer"):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'edge-imprint[export]'")

import onnx  # noqa: E402
from exporting import classifier, write_onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from PIL import Image  # noqa: E402
from small_cnn import SIDE  # noqa: E402
from torch import nn  # noqa: E402

from edge_imprint.backbones import InputSpec, load_backbone  # noqa: E402
from edge_imprint.cli import main  # noqa: E402
from edge_imprint.errors import EdgeImprintError, ExportError, MissingRuntimeError, StorageError  # noqa: E402
from edge_imprint_export import export_backbone  # noqa: E402

torch.set_num_threads(1)

SPEC = InputSpec(SIDE, SIDE)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder for the bundle; whoever fails must leave it, and the folder for temporary files, empty."""
    for name in ("bundles", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "bundles"


def left(place):
    """Names of what lies in both folders; onnxruntime's own mark is none of ours."""
    folders = (place, place.parent / "temporary")
    return [path.name for folder in folders for path in folder.rglob("*") if path.name != ".ses"]


def refused(place, capfd, *words):
    """Run the command, which must fail in one line; returns it."""
    capfd.readouterr()
    out = () if "--out" in words else ("--out", place / "b")
    code = main(["export", *map(str, (*words, *out))])
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1, err
    assert "internal error" not in err
    assert left(place) == []
    return err


class Of(nn.Module):
    """A small network that does something odd with its embedding, or the picture."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, 2)
        self.function = function

    def forward(self, *x):
        return self.function(self.first(x[0]), *x)


class Two(nn.Module):
    def forward(self, picture, mask):
        return (picture * mask).mean((2, 3))


MODULES = {
    "several inputs": (Two(), r"mask"),
    "several outputs": (Of(lambda y, x: (y.mean((2, 3)), y.amax((2, 3)))), r"has 2: .*--embedding NAME"),
    "control flow": (Of(lambda y, x: y.mean((2, 3)) if x.sum() > 0 else y.amax((2, 3))), "control flow|branch"),
    "rank 5": (Of(lambda y, x: y[:, :, None].exp()), "rank 2 to 4"),
    "unknown everywhere": (Of(lambda y, x: torch.special.bessel_j0(y.mean((2, 3)))), "bessel_j0"),
    "embeddings of NaN": (Of(lambda y, x: torch.log(-1 - y.mean((2, 3)).abs())), "not finite"),
    "an error of its own": (Of(lambda y, x: y.reshape(7, 7)), "reshape|shape '"),
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_that_cannot_be_exported(place, calibration, kind):
    module, message = MODULES[kind]
    with pytest.raises(ExportError, match=message) as caught:
        export_backbone(module.eval(), place / "b", input=SPEC, calibration=calibration, timing=False)
    assert "\n" not in str(caught.value)
    assert left(place) == []


def test_weights_of_nan(place, calibration):
    module = classifier()
    with torch.no_grad():
        module[2] = nn.Linear(24, 4)
        module[2].weight[0, 0] = float("nan")
    with pytest.raises(ExportError, match=r"weights must be finite; '2.weight' has 1 of 96"):
        export_backbone(module, place / "b", input=SPEC, calibration=calibration, timing=False)
    assert left(place) == []


def graph(path, nodes, inputs, outputs, weights=()):
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes, "g", [value(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [value(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(np.asarray(values, np.float32), name) for name, values in weights],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("org.x", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), path)
    return path


def onnx_files(folder):
    """Name to (file, words of the message)."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 1, (8, 3, 3, 3))
    pool = helper.make_node("GlobalAveragePool", ["m"], ["p"])
    flat = helper.make_node("Flatten", ["p"], ["e"])
    conv = helper.make_node("Conv", ["x", "w"], ["m"])
    one, fixed = [("e", [1, 8])], [("x", [1, 3, 32, 32])]
    broken = kernel.copy()
    broken[0, 0, 0, 0] = np.nan
    branch = helper.make_graph(
        [helper.make_node("Relu", ["m"], ["y"])], "t", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    )
    choice = [
        conv, helper.make_node("ReduceSum", ["m"], ["s"], keepdims=0), helper.make_node("Cast", ["s"], ["c"], to=9),
        helper.make_node("If", ["c"], ["n"], then_branch=branch, else_branch=branch),
        helper.make_node("GlobalAveragePool", ["n"], ["p"]), flat,
    ]  # fmt: skip
    add = [helper.make_node("Add", ["x", "z"], ["a"]), helper.make_node("Conv", ["a", "w"], ["m"]), pool, flat]
    weights = [("w", kernel)]
    rest = (fixed, one, weights)
    return {
        "two pictures": (graph(folder / "a.onnx", add, [*fixed, ("z", [1, 3, 32, 32])], one, weights), ("2", "'z'")),
        "no size": (graph(folder / "b.onnx", [conv, pool, flat], [("x", [1, 3, "h", "w"])], one, weights), ("size",)),
        "control flow": (graph(folder / "c.onnx", choice, fixed, one, weights), ("If",)),
        "a warp": (
            graph(folder / "d.onnx", [conv, helper.make_node("Warp", ["m"], ["e"], domain="org.x")], *rest),
            ("Warp",),
        ),
        "nan": (graph(folder / "e.onnx", [conv, pool, flat], fixed, one, [("w", broken)]), ("NaN", "w")),
        "rank 3": (
            graph(folder / "f.onnx", [helper.make_node("Squeeze", ["x"], ["e"])], fixed, [("e", [3, 32, 32])]),
            ("(3, 32, 32)", "--embedding"),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["two pictures", "no size", "control flow", "a warp", "nan", "rank 3"])
def test_an_onnx_file_that_cannot_be_exported(place, calibration, capfd, kind):
    path, words = onnx_files(place.parent)[kind]
    line = refused(place, capfd, path, "--calibration", calibration)
    assert all(word in line for word in (path.name, *words)), line


def test_an_open_size_that_is_given(place, calibration):
    path, _ = onnx_files(place.parent)["no size"]
    assert main(["export", str(path), "--size", "24x40", "--formats", "onnx", "--out", str(place / "b")]) == 0
    backbone = load_backbone(place / "b")
    assert (backbone.manifest.input.height, backbone.manifest.input.width) == (24, 40)
    assert backbone.base_statistics is None


SOURCES = {
    "missing.onnx": "missing.onnx", "missing.tflite": "missing.tflite", "missing.pt2": "missing.pt2",
    "picture.jpg": "a source is", "torch:no_such_module:make": "no_such_module", "torch:json": "torch:",
    "torch:json:no_such": "no_such", "hf:/no/such/folder": "/no/such/folder", "public:no_such": "no_such",
    "text.onnx": "text.onnx", "text.tflite": "text.tflite", "text.pt2": "text.pt2", "": "a source is",
    "empty.onnx": "empty.onnx", "empty.tflite": "empty.tflite",
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_is_none(place, capfd, monkeypatch, name):
    monkeypatch.chdir(place.parent)
    if name.startswith(("text", "empty")):
        (place.parent / name).write_text("this is no network\n" * 9 * name.startswith("text"))
    assert SOURCES[name] in refused(place, capfd, name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--formats", "coreml"), "coreml"), (("--size", "big"), "--size"), (("--size", "0"), "--size"),
        (("--mean", "1,2"), "--mean"), (("--std", "0"), "--std"), (("--std", "nan"), "--std"),
        (("--colour", "cmyk"), "--colour"), (("--resize", "stretch"), "--resize"), (("--resize", "crop:5"), "resize"),
        (("--keep-float", "few"), "--keep-float"), (("--keep-float", "-1"), "keep"), (("--method", "magic"), "magic"),
        (("--min-cosine", "2"), "min_cosine"), (("--min-cosine", "nan"), "min_cosine"), (("--project", "1"), "project"),
        (("--project", "9"), "--calibration"), (("--from", "x.tflite"), "--from"), (("--name", ""), "--name"),
        (("--embedding", "no_such"), "no_such"), (("--size", "64"), "32 x 32"), (("--bogus",), "--bogus"),
        (("--calibration", "no/such"), "no/such"),
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense(place, network, capfd, words, message):
    assert message in refused(place, capfd, network, *words)


# Calibration


@pytest.fixture
def few(place, calibration):
    """A folder for pictures, with the paths of good ones beside it."""
    folder = place.parent / "pictures"
    folder.mkdir()
    return folder, sorted(calibration.rglob("*.png"))


def test_calibration_in_an_empty_folder(place, network, few, capfd):
    (few[0] / "notes.txt").write_text("no picture")
    line = refused(place, capfd, network, "--calibration", few[0])
    assert ".jpg" in line
    assert str(few[0]) in line


def test_calibration_with_corrupt_pictures_only(place, network, few, capfd):
    for number in range(3):
        (few[0] / f"{number}.jpg").write_text("no picture")
    assert "0.jpg" in refused(place, capfd, network, "--calibration", few[0])


def run_well(place, capfd, *words):
    capfd.readouterr()
    code = main(["export", *map(str, words), "--out", str(place / "b"), "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    assert sorted(left(place)) == sorted(["b", *(path.name for path in (place / "b").iterdir())])
    return json.loads(out), err


def test_three_pictures_give_float_files_and_a_reason(place, network, few, capfd):
    for path in few[1][:3]:
        shutil.copy(path, few[0])
    said, err = run_well(place, capfd, network, "--calibration", few[0], "--formats", "onnx,onnx-int8")
    assert [file["format"] for file in said["files"]] == ["onnx"]
    assert [entry["format"] for entry in said["impossible"]] == ["onnx-int8"]
    assert "at least 8 calibration pictures; got 3." in said["impossible"][0]["reason"]
    assert err.splitlines() == [f"Warning: no onnx-int8: {said['impossible'][0]['reason']}"]
    assert load_backbone(place / "b").base_statistics is None


def test_no_calibration_gives_float_files_and_a_reason(place, network, capfd):
    said, err = run_well(place, capfd, network, "--formats", "onnx,onnx-int8", "--mean", "127.5", "--std", "127.5")
    assert [file["format"] for file in said["files"]] == ["onnx"]
    assert "got none" in err
    assert "--calibration" in err
    assert said["calibration"]["synthetic"] is True
    with pytest.raises(ExportError, match="got none"):
        export_backbone(network, place / "c", formats="onnx-int8")
    assert not (place / "c").exists()


def test_corrupt_pictures_among_good_ones_are_named(place, network, few, capfd):
    for path in few[1][:20]:
        shutil.copy(path, few[0])
    bad = [few[0] / f"bad{number}.png" for number in range(7)]
    for path in bad:
        path.write_bytes(few[1][0].read_bytes()[:200])
    said, err = run_well(place, capfd, network, "--calibration", few[0], "--formats", "onnx")
    assert [entry["file"] for entry in said["calibration"]["skipped"]] == [path.name for path in bad]
    assert str(few[0]) not in (place / "b" / "report.json").read_text()
    warnings = err.splitlines()
    assert len(warnings) == 6
    assert all(path.name in line for path, line in zip(bad, warnings[:5], strict=False))
    assert "2 more" in warnings[5]
    assert load_backbone(place / "b").base_statistics.count == 20


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


class OfPictures(nn.Module):
    """Infinite for a dark picture alone."""

    def forward(self, x):
        row = x.mean((2, 3))
        return row / (1 + row.relu()) + 1 / (row + 1).clamp(min=0)


def test_embeddings_that_are_not_numbers_name_the_picture(place, few, capfd):
    source = write_onnx(place.parent / "dark.onnx", nn.Sequential(OfPictures(), nn.Linear(3, 4)))
    Image.new("RGB", (SIDE, SIDE)).save(few[0] / "black.png")
    for number, path in enumerate(few[1][:9]):
        shutil.copy(path, few[0] / f"x{number}.png")
    words = (source, "--calibration", few[0], "--formats", "onnx", "--mean", 127.5, "--std", 127.5)
    assert "black.png" in refused(place, capfd, *words, "--embedding", "features")
