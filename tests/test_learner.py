"""Learner: pictures in, predictions out, and a snapshot that knows its backbone."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_imprint.backbones import load_backbone, read_manifest, write_bundle
from edge_imprint.errors import (
    BackboneMismatchError,
    BundleError,
    EdgeImprintError,
    ImageError,
    LabelError,
    NotTaughtError,
    ShapeError,
    UnknownLabelError,
)
from edge_imprint.head import ImprintHead
from edge_imprint.learner import Learner, Prediction

pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install edge-imprint[tflite]")
MOBILENET = "mobilenet_v1_0.25_128_quant.tflite"


@pytest.fixture(scope="module")
def backbone_path(shared_data: Path) -> Path:
    return shared_data / "backbones" / MOBILENET


@pytest.fixture(scope="module")
def clothing(shared_data: Path) -> dict[str, list[bytes]]:
    """A few photographs of three classes."""
    with zipfile.ZipFile(shared_data / "clothing_small.zip") as archive:
        names = sorted(name for name in archive.namelist() if "train/" in name and name.endswith(".jpg"))
        return {
            label: [archive.read(name) for name in names if f"/{label}/" in name][:14]
            for label in ("pants", "shoes", "dress")
        }


@pytest.fixture
def taught(backbone_path: Path, clothing: dict[str, list[bytes]]) -> Learner:
    learner = Learner(backbone_path)
    for label, pictures in clothing.items():
        learner.learn(pictures[:6], label)
    return learner


def test_it_learns_and_recognises(taught: Learner, clothing: dict[str, list[bytes]]) -> None:
    right = total = 0
    for label, pictures in clothing.items():
        for prediction in taught.predict_many(pictures[6:]):
            right += prediction.label == label
            total += 1
            assert prediction.verdict in ("known", "uncertain", "unknown")
            assert -1 <= prediction.score <= 1
            assert set(prediction.scores) == set(clothing)
            assert prediction.scores[prediction.label] == prediction.score
            assert isinstance(prediction.label, str)
            assert type(prediction.score) is float
    assert total == 24
    assert right >= 17  # 71 %; chance is a third
    json.dumps(dataclasses.asdict(prediction))
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.label = "x"  # type: ignore[misc]
    said = "Prediction(label='a', score=0.5, verdict='known', confidence=None)"
    assert repr(Prediction("a", 0.5, "known", {"a": 0.5})) == said


def test_every_way_of_giving_pictures_teaches_the_same(
    backbone_path: Path, clothing: dict[str, list[bytes]], tmp_path: Path
) -> None:
    content = clothing["shoes"][0]
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    array = np.asarray(Image.open(path).convert("RGB"))
    backbone = load_backbone(backbone_path)
    snapshots = []
    for given in (content, path, str(path), array, Image.open(path), [path], (content,), array[None]):
        learner = Learner(backbone, method="proxies")  # with one class, ridge has nothing to tell apart
        learner.learn(given, "shoes")
        assert learner.head.shots_per_class() == {"shoes": 1}
        learner.save(tmp_path / "s")
        snapshots.append((tmp_path / "s").read_bytes())
        assert learner.predict(path).score > 0.99  # the shot itself, but for int8
    assert len(set(snapshots)) == 1


def test_several_shots_at_once_are_the_same_as_one_by_one(
    backbone_path: Path, clothing: dict[str, list[bytes]], tmp_path: Path
) -> None:
    backbone = load_backbone(backbone_path)
    at_once, one_by_one = Learner(backbone), Learner(backbone)
    at_once.learn(clothing["pants"][:5], "pants")
    for picture in clothing["pants"][:5]:
        one_by_one.learn(picture, "pants")
    for learner, name in ((at_once, "a"), (one_by_one, "b")):
        learner.save(tmp_path / name)
    query = clothing["pants"][9]
    assert at_once.predict(query).score == pytest.approx(one_by_one.predict(query).score, abs=0.02)
    assert at_once.head.shots_per_class() == one_by_one.head.shots_per_class() == {"pants": 5}


def test_a_bad_picture_among_good_ones_changes_nothing(
    taught: Learner, clothing: dict[str, list[bytes]], tmp_path: Path
) -> None:
    taught.save(tmp_path / "before")
    truncated = tmp_path / "cut.jpg"
    truncated.write_bytes(clothing["dress"][0][:2000])
    good = clothing["dress"][1]
    for bad, name in [
        (truncated, "cut.jpg"),
        (tmp_path / "gone.jpg", "gone.jpg"),
        (b"", "picture 3 of 4"),
        (np.zeros((5, 5), np.uint8), "picture 3 of 4"),
        (None, "picture 3 of 4"),
    ]:
        with pytest.raises(ImageError, match=name):
            taught.learn([good, good, bad, good], "dress")  # type: ignore[list-item]
        with pytest.raises(ImageError, match=name):
            taught.predict_many([good, good, bad, good])  # type: ignore[list-item]
    with pytest.raises(ShapeError, match="at least one picture"):
        taught.learn([], "dress")
    with pytest.raises(LabelError):
        taught.learn(good, "")
    taught.save(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    assert taught.predict_many([]) == []


def test_forget_and_undo(taught: Learner, clothing: dict[str, list[bytes]]) -> None:
    taught.forget("dress")
    assert set(taught.predict(clothing["dress"][0]).scores) == {"pants", "shoes"}
    with pytest.raises(UnknownLabelError):
        taught.forget("dress")
    taught.learn(clothing["dress"][0], "dress")
    taught.undo()
    assert "dress" not in taught.head.shots_per_class()


def test_nothing_taught_yet(backbone_path: Path, clothing: dict[str, list[bytes]]) -> None:
    with pytest.raises(NotTaughtError):
        Learner(backbone_path).predict(clothing["pants"][0])


def test_options_reach_the_head(backbone_path: Path) -> None:
    learner = Learner(backbone_path, budget="32KB", false_accept_rate=0.1, method="proxies")
    assert learner.head.budget in (32768, "32KB")
    assert learner.head.false_accept_rate == 0.1
    assert learner.head.dim == learner.backbone.dim == 256
    with pytest.raises(TypeError):
        Learner(backbone_path, no_such_option=1)
    with pytest.raises(BundleError):
        Learner("nowhere")


def test_integer_labels_come_back_as_they_went_in(backbone_path: Path, clothing: dict[str, list[bytes]]) -> None:
    learner = Learner(backbone_path)
    learner.learn(clothing["pants"][:2], 1)
    learner.learn(clothing["shoes"][:2], 2)
    prediction = learner.predict(clothing["shoes"][0])
    assert prediction.label == 2
    assert type(prediction.label) is int


def test_a_snapshot_opens_its_own_backbone(
    taught: Learner, clothing: dict[str, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught.save(tmp_path / "s.eimp")
    monkeypatch.chdir("/")  # where the backbone is must not depend on where one stands
    again = Learner.load(tmp_path / "s.eimp")
    pictures = [pictures[10] for pictures in clothing.values()]
    assert again.predict_many(pictures) == taught.predict_many(pictures)
    assert again.backbone.digest == taught.backbone.digest
    again.learn(pictures[0], "pants")
    again.save(tmp_path / "s.eimp")
    shared = Learner.load(tmp_path / "s.eimp", backbone=taught.backbone)
    assert shared.backbone is taught.backbone
    assert shared.head.shots_per_class()["pants"] == 7


def test_another_backbone_is_refused_and_both_are_named(
    taught: Learner, shared_data: Path, backbone_path: Path, tmp_path: Path
) -> None:
    taught.save(tmp_path / "s")
    other = shared_data / "backbones" / "vww_96_int8.tflite"  # 256 wide too
    for given in (other, str(other), load_backbone(other)):
        with pytest.raises(BackboneMismatchError) as caught:
            Learner.load(tmp_path / "s", backbone=given)
        message = str(caught.value)
        assert taught.backbone.digest in message
        assert load_backbone(other).digest in message
        assert "mobilenet_v1_0.25_128_quant" in message
        assert "vww_96_int8" in message
    assert Learner.load(tmp_path / "s", backbone=backbone_path).head.shots_per_class()["pants"] == 6


def test_a_backbone_that_moved(backbone_path: Path, clothing: dict[str, list[bytes]], tmp_path: Path) -> None:
    moving = tmp_path / "old.tflite"
    moving.write_bytes(backbone_path.read_bytes())
    learner = Learner(moving)
    learner.learn(clothing["pants"][:2], "pants")
    learner.save(tmp_path / "s")
    moving.rename(tmp_path / "new.tflite")
    with pytest.raises(BundleError, match=r"old\.tflite is missing.*pass backbone="):
        Learner.load(tmp_path / "s")
    assert Learner.load(tmp_path / "s", backbone=tmp_path / "new.tflite").head.shots_per_class() == {"pants": 2}


def test_the_file_of_a_bundle_and_the_tensor_of_a_file_are_remembered(
    backbone_path: Path, clothing: dict[str, list[bytes]], tmp_path: Path
) -> None:
    raw = load_backbone(backbone_path)
    file = dataclasses.replace(raw.file, name="b.tflite")
    twin = dataclasses.replace(file, name="f.tflite", precision="float32")  # stands for a float32 file
    manifest = dataclasses.replace(raw.manifest, name="both", files=(file, twin))
    content = backbone_path.read_bytes() + b"\0"
    twin = dataclasses.replace(twin, sha256=__import__("hashlib").sha256(content).hexdigest(), size_bytes=len(content))
    manifest = dataclasses.replace(manifest, files=(file, twin))
    write_bundle(tmp_path / "b", manifest, {"b.tflite": backbone_path.read_bytes(), "f.tflite": content})
    assert read_manifest(tmp_path / "b") == manifest
    for backbone in (
        load_backbone(tmp_path / "b", precision="float32"),
        load_backbone(tmp_path / "b", precision="int8"),
        load_backbone(backbone_path, embedding="MobilenetV1/Logits/SpatialSqueeze1"),
    ):
        learner = Learner(backbone, budget="256KB")
        learner.learn(clothing["shoes"][0], "shoes")
        learner.save(tmp_path / "s")
        assert Learner.load(tmp_path / "s").backbone.digest == backbone.digest


def test_a_snapshot_of_a_head_alone(taught: Learner, backbone_path: Path, tmp_path: Path) -> None:
    head = taught.head
    head.backbone = None
    head.save(tmp_path / "none")
    with pytest.raises(BackboneMismatchError, match="Pass backbone="):
        Learner.load(tmp_path / "none")
    assert Learner.load(tmp_path / "none", backbone=backbone_path).head.shots_per_class()["pants"] == 6
    head.save(tmp_path / "digest", backbone=taught.backbone.digest)
    with pytest.raises(BackboneMismatchError, match="Pass backbone="):
        Learner.load(tmp_path / "digest")
    named = Learner.load(tmp_path / "digest", backbone=backbone_path)
    named.save(tmp_path / "whole")  # now it says where its backbone is
    assert Learner.load(tmp_path / "whole").backbone.digest == taught.backbone.digest
    for note in ("f" * 64, "f" * 64 + ' {"name": "other"}', "not a digest", "f" * 64 + " [1]"):
        head.save(tmp_path / "wrong", backbone=note)
        with pytest.raises(BackboneMismatchError, match=r"learned with|Pass backbone="):
            Learner.load(tmp_path / "wrong", backbone=backbone_path)
    narrow = ImprintHead(dim=8, budget="8KB")
    narrow.partial_fit(np.eye(8, dtype=np.float32)[:1], "a")
    narrow.save(tmp_path / "narrow")
    with pytest.raises(BackboneMismatchError, match=r"dim 8.*dim 256"):
        Learner.load(tmp_path / "narrow", backbone=backbone_path)


def test_a_path_too_long_for_a_snapshot_is_left_out(
    backbone_path: Path, clothing: dict[str, list[bytes]], tmp_path: Path
) -> None:
    backbone = load_backbone(backbone_path)
    backbone.source = "/" + "x/" * 2048
    learner = Learner(backbone)
    learner.learn(clothing["pants"][0], "pants")
    learner.save(tmp_path / "s")
    with pytest.raises(BackboneMismatchError, match="Pass backbone="):
        Learner.load(tmp_path / "s")
    assert Learner.load(tmp_path / "s", backbone=backbone_path).head.shots_per_class() == {"pants": 1}


def test_a_backbone_that_gives_zeros_is_told_apart_from_a_bad_picture(
    shared_data: Path, clothing: dict[str, list[bytes]]
) -> None:
    learner = Learner(shared_data / "backbones" / "mcunetv2_large.tflite")
    with pytest.raises(BundleError, match=r"mcunetv2_large gave zeros for picture 1 of 1.*preprocessing="):
        learner.learn(clothing["pants"][0], "pants")
    assert learner.head.shots_per_class() == {}
    with pytest.raises(BundleError, match=r"mcunetv2_large gave zeros for picture 1 of 2"):
        learner.predict_many(clothing["pants"][:2])
    learner.head.partial_fit(np.ones((1, learner.head.dim)), "pants")
    with pytest.raises(BundleError, match=r"mcunetv2_large gave zeros for picture 1 of 1"):
        learner.predict(clothing["pants"][0])


def test_a_missing_snapshot(tmp_path: Path) -> None:
    with pytest.raises(EdgeImprintError):
        Learner.load(tmp_path / "none")


def test_an_upright_and_a_turned_photograph_are_the_same_shot(
    taught: Learner, clothing: dict[str, list[bytes]]
) -> None:
    image = Image.open(io.BytesIO(clothing["pants"][8])).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(stream, "PNG", exif=exif)
    assert taught.predict(stream.getvalue()) == taught.predict(image)
