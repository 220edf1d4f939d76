"""What a learner adds to a head's method: base statistics of its bundle, and confidence in its predictions."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edge_imprint.backbones import load_backbone
from edge_imprint.learner import Learner

pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install edge-imprint[onnx]")


@pytest.fixture(scope="module")
def clothing(shared_data: Path) -> dict[str, list[bytes]]:
    """A few photographs of three classes."""
    with zipfile.ZipFile(shared_data / "clothing_small.zip") as archive:
        names = sorted(name for name in archive.namelist() if "train/" in name and name.endswith(".jpg"))
        return {
            label: [archive.read(name) for name in names if f"/{label}/" in name][:9]
            for label in ("pants", "shoes", "dress")
        }


def test_auto_takes_a_second_moment_and_says_how_sure_it_is(clothing: dict[str, list[bytes]], tmp_path: Path) -> None:
    taught = Learner()
    for label, pictures in clothing.items():
        taught.learn(pictures[:6], label)
    assert (taught.head.method, taught.head.budget) == ("ridge", 512 * 1024)
    asked = [picture for pictures in clothing.values() for picture in pictures[6:]]
    answers = taught.predict_many(asked)
    told = taught.head.confidence(taught.embed(asked))
    assert [answer.confidence for answer in answers] == told.tolist()
    assert all(type(answer.confidence) is float and 1 / 3 <= answer.confidence <= 1 for answer in answers)
    taught.save(tmp_path / "ridge")
    assert Learner.load(tmp_path / "ridge").predict_many(asked) == answers


@pytest.mark.parametrize("options", [{"budget": "64KB"}, {"method": "proxies"}])
def test_without_a_second_moment_there_is_no_confidence(
    clothing: dict[str, list[bytes]], options: dict[str, str]
) -> None:
    learner = Learner(**options)
    learner.learn(clothing["pants"][0], "pants")
    assert learner.head.method == "proxies"
    assert learner.predict(clothing["pants"][1]).confidence is None


def test_the_bundles_base_statistics_are_where_ridge_starts(clothing: dict[str, list[bytes]]) -> None:
    base = load_backbone("default").base_statistics
    assert base is not None
    heads = []
    for options in ({}, {"base": base}, {"base": None}):
        learner = Learner(**options)
        learner.learn(clothing["pants"][:3], "pants")
        learner.learn(clothing["dress"][:3], "dress")
        heads.append(learner.head.decision_function(learner.embed(clothing["shoes"][:2])))
    assert (heads[0] == heads[1]).all()
    assert (heads[0] != heads[2]).any()
