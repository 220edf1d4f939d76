"""A profile's JSON: what is written is read, everything else is refused by name; comparing, budgets, the picture."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import made

from edge_imprint.errors import ProfileError, StorageError
from edge_imprint.profiling import SCHEMA, Profile, compare, exceeded
from edge_imprint.profiling.plot import draw
from edge_imprint.profiling.result import Stage

times = st.lists(st.floats(0, 1e9, allow_nan=False), min_size=1, max_size=30)


@given(samples=times, warm_ups=st.integers(0, 100))
def test_a_stage_is_what_its_samples_are(samples, warm_ups):
    stage = Stage(tuple(samples), warm_ups)
    assert min(samples) <= stage.percentile(50) <= stage.percentile(90) <= stage.percentile(99) <= max(samples)
    assert stage.jitter_us >= 0
    plain = json.loads(json.dumps(stage.as_dict()))
    assert (plain["repeats"], plain["warm_ups"]) == (len(samples), warm_ups)
    again = Profile.from_dict({**made().as_dict(), "stages": {"x": plain}}).stages["x"]
    assert again.samples_us == pytest.approx(samples, abs=1e-3)


def test_a_file_is_read_back(profile, tmp_path):
    profile.save(tmp_path / "a.json")
    assert Profile.load(tmp_path / "a.json") == profile
    assert json.loads((tmp_path / "a.json").read_text())["schema"] == SCHEMA


@pytest.mark.parametrize("schema", ["edge-imprint/profile/0", 1, None])
def test_another_schema_is_refused_by_name(profile, schema):
    with pytest.raises(ProfileError, match=r"must have the schema edge-imprint/profile/1; the profile has") as refusal:
        Profile.from_dict({**profile.as_dict(), "schema": schema})
    assert repr(schema) in str(refusal.value)


def test_a_profile_of_a_microcontroller_is_of_another_kind(profile):
    with pytest.raises(ProfileError, match="of one kind are compared; the profile is a microcontroller's"):
        Profile.from_dict({**profile.as_dict(), "schema": "edge-imprint/device-profile/1"})


def test_what_is_missing_or_odd_is_named(profile, tmp_path):
    whole = profile.as_dict()
    for key in whole:
        broken = {name: value for name, value in whole.items() if name != key}
        with pytest.raises(ProfileError, match=key):
            Profile.from_dict(broken)
        with pytest.raises(ProfileError, match=key):
            Profile.from_dict({**whole, key: ["odd"]})
    for samples in ([], None, ["1"], [-1.0], [True], [float("nan")]):
        with pytest.raises(ProfileError, match="decode"):
            Profile.from_dict({**whole, "stages": {"decode": {"samples_us": samples, "warm_ups": 1}}})
    for odd in ([], "text", None, 3):
        with pytest.raises(ProfileError):
            Profile.from_dict(odd)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ProfileError, match="must be JSON"):
        Profile.load(tmp_path / "a.json")
    with pytest.raises(StorageError, match="nowhere"):
        Profile.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize("value", ["lots", None, True, -1, float("nan"), []])
def test_a_number_that_is_none_is_named(profile, value):
    plain = profile.as_dict()
    with pytest.raises(ProfileError, match=r"memory 'peak_bytes'; in the profile it is .*Make it again"):
        Profile.from_dict({**plain, "memory": {**plain["memory"], "peak_bytes": value}})
    with pytest.raises(ProfileError, match="camera 'answered_fps'"):
        Profile.from_dict({**plain, "camera": {}})


def test_ratios_of_two_profiles():
    rows = {row.name: row for row in compare(made(), made(2.0))}
    assert rows["backbone p50"].ratio == pytest.approx(2)
    assert rows["frame to answer p99"].ratio == pytest.approx(2)
    assert rows["memory peak_bytes"].ratio == 1
    assert rows["cold start total_ms"].ratio == pytest.approx(2)
    assert rows["camera dropped"].ratio is None  # none of none
    missing = {row.name: row for row in compare(made(), made(memory={"not_available": "no Linux"}))}
    assert (missing["memory peak_bytes"].second, missing["memory peak_bytes"].ratio) == (None, None)


def test_budgets(profile):
    # Frames take 100 to 199 us.
    assert exceeded(profile, None, None) == []
    assert exceeded(profile, 0.2, 64) == []
    [late] = exceeded(profile, 0.1, None)
    assert "within 0.20 ms; the budget is 0.1 ms" in late
    [large] = exceeded(profile, 1.0, 63.5)
    assert "peaks at 64.0 MB; the budget is 63.5 MB" in large
    assert len(exceeded(profile, 0.1, 1)) == 2
    for budgets in ((0, None), (None, -1)):
        with pytest.raises(ProfileError, match="above 0"):
            exceeded(profile, *budgets)
    for memory in ({"not_available": "no Linux"}, {**profile.memory, "peak_bytes": {"not_available": "no Linux"}}):
        with pytest.raises(ProfileError, match="no Linux"):
            exceeded(made(memory=memory), None, 10)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_picture(profile, tmp_path, ending):
    pytest.importorskip("matplotlib", reason="pip install 'edge-imprint[demo]'")
    draw(profile, tmp_path / f"a{ending}")
    content = (tmp_path / f"a{ending}").read_bytes()
    assert content.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending])
    if ending == ".svg":
        assert all(name in content.decode() for name in profile.stages)
    with pytest.raises(ProfileError, match=r"must end in \.png"):
        draw(profile, tmp_path / "a.jpg")


def test_a_picture_without_memory(tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'edge-imprint[demo]'")
    draw(made(memory={"not_available": "no Linux"}), tmp_path / "a.svg")
    assert "memory: not available" in (tmp_path / "a.svg").read_text()
