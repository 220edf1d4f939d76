"""Bad input of an export: one clear line, nothing left behind; other formats still written when one is impossible."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")
for package in ("onnx", "onnxscript", "onnxruntime", "litert_torch", "ai_edge_quantizer"):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'edge-imprint[export]'")

import onnx  # noqa: E402
from exporting import classifier, left, refused, run_well, write_onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from PIL import Image  # noqa: E402
from small_cnn import SIDE  # noqa: E402
from torch import nn  # noqa: E402

from edge_imprint.backbones import InputSpec, load_backbone  # noqa: E402
from edge_imprint.cli import main  # noqa: E402
from edge_imprint.errors import ExportError, UsageError  # noqa: E402
from edge_imprint_export import export_backbone  # noqa: E402

torch.set_num_threads(1)

SPEC = InputSpec(SIDE, SIDE)


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
    "dynamic shapes": (Of(lambda y, x: y.flatten(1)[:, y[0].flatten() > 0]), "fixed width"),
    "no picture": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), "1 channels, but got 3"),
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


def test_what_is_no_network(place):
    for source in (3.5, None, {"weight": torch.zeros(3)}):
        with pytest.raises(UsageError, match=f"a source is .*; got {type(source).__name__}"):
            export_backbone(source, place / "b")
    assert left(place) == []


def test_a_network_that_sees_nothing(place, calibration):
    """The same embedding for every picture: exported as it is, which the report says; never projected."""
    module = Of(lambda y, x: y.mean((2, 3)) * 0 + 1).eval()
    words = {"input": SPEC, "calibration": calibration, "timing": False, "formats": "onnx"}
    report = export_backbone(module, place / "b", **words)
    assert any("Every picture gets the same embedding" in note for note in report.notes)
    with pytest.raises(ExportError, match="gives each the same embedding"):
        export_backbone(module, place / "c", **words, project=2)


def test_a_network_without_weights(place, calibration):
    """Nothing is left of it before its embedding that int8 could be made of."""
    module = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3)).eval()
    words = {"input": SPEC, "calibration": calibration, "timing": False, "formats": "onnx,onnx-int8,tflite,tflite-int8"}
    report = export_backbone(module, place / "b", **words)
    assert (report.dim, [file.format for file in report.files]) == (48, ["onnx", "tflite"])
    for _, reason in report.impossible:
        assert "weights" in reason
        assert "Leave" in reason


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
