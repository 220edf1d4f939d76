"""Profiles of microcontrollers: two that emulated boards gave, side by side, against budgets, as a picture.

`recorded` holds what `edge-imprint profile --port ... --repeats 20 --out` wrote of two boards in the emulator.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from profiles import made

from edge_imprint.errors import ProfileError, StorageError
from edge_imprint.profiling.device import SCHEMA, DeviceDocument, compare_devices, exceeded_by, load_pair
from edge_imprint.profiling.plot_device import draw

RECORDED = Path(__file__).with_name("recorded")
M4, M0 = RECORDED / "mps2-an386.json", RECORDED / "microbit.json"


def plain(**changes: Any) -> dict[str, Any]:
    return {**json.loads(M4.read_text()), **changes}


def document(**changes: Any) -> DeviceDocument:
    return DeviceDocument.from_dict(plain(**changes))


def without_counter() -> dict[str, Any]:
    found = plain(counter_unit=None)
    for stage in found["stages"].values():
        stage["counts"] = None
    return found


def test_ratios_of_two_boards():
    first, second = load_pair(M4, M0)
    rows = {row.name: row for row in compare_devices(first, second)}
    one, other = json.loads(M4.read_text()), json.loads(M0.read_text())
    for stage in ("predict", "scores", "learn", "predict after learn", "undo", "forget"):
        for key in ("p50", "p99"):
            row = rows[f"{stage} {key}"]
            counts = [found["stages"][stage]["counts"][key] for found in (one, other)]
            assert (row.first, row.second, row.unit) == (*counts, "instructions")
            assert row.ratio == pytest.approx(counts[1] / counts[0])
    for name, entry in one["bytes"].items():
        assert (rows[name].first, rows[name].second) == (entry["bytes"], other["bytes"][name]["bytes"])
    assert rows["stack, used at most"].ratio == pytest.approx(548 / 424)
    ram = rows["RAM: all variables and the deepest stack"]
    assert (ram.first, ram.second) == (52344 + 424, 12856 + 548)
    # Nothing that neither has, and no milliseconds of an emulator.
    assert not [name for name in rows if name.startswith(("save", "load", "round trip"))]
    assert {row.unit for row in rows.values()} == {"instructions", "bytes"}


def test_counts_in_two_units_have_no_ratio():
    rows = [row for row in compare_devices(document(), document(counter_unit="cycles")) if row.name == "learn p50"]
    assert [(row.unit, row.first is None, row.second is None) for row in rows] == [
        ("instructions", False, True),
        ("cycles", True, False),
    ]
    assert [row.ratio for row in rows] == [None, None]


def test_round_trips_of_what_is_not_emulated():
    rows = {row.name: row for row in compare_devices(document(counter_unit="cycles"), document(counter_unit="cycles"))}
    assert (rows["round trip p99"].unit, rows["round trip p99"].ratio) == ("us", 1)


def test_a_profile_that_broke_early_is_compared_as_far_as_it_goes():
    broken = plain(broken="the line broke")
    for name in ("learn", "forget"):
        broken["stages"][name] = {"counts": None, "round_trip_us": None, "missing": "the line broke"}
    broken["bytes"]["stack, used at most"] = {"bytes": None, "missing": "not available: the line broke"}
    rows = {row.name: row for row in compare_devices(document(), DeviceDocument.from_dict(broken))}
    assert (rows["learn p50"].second, rows["learn p50"].ratio) == (None, None)
    assert rows["RAM: all variables and the deepest stack"].second is None
    assert rows["predict p50"].ratio == 1


@pytest.mark.parametrize("turned", [False, True])
def test_a_machine_and_a_microcontroller_do_not_compare(tmp_path, turned):
    made().save(tmp_path / "pi.json")
    pair = (tmp_path / "pi.json", M0)
    with pytest.raises(ProfileError, match="profiles of one kind are compared") as refusal:
        load_pair(*(pair[::-1] if turned else pair))
    said = str(refusal.value)
    for words in (
        "pi.json is of a machine (edge-imprint/profile/1)" if not turned else "pi.json of a machine",
        f"microbit.json of a microcontroller ({SCHEMA})" if not turned else "microbit.json is of a microcontroller",
        "two that edge-imprint profile made with --port, or two that it made without",
    ):
        assert words in said


@pytest.mark.parametrize("schema", ["edge-imprint/device-profile/2", "edge-imprint/else", None])
def test_another_version_is_refused_by_name(tmp_path, schema):
    (tmp_path / "b.json").write_text(json.dumps(plain(schema=schema)))
    with pytest.raises(ProfileError, match=rf"must have the schema {SCHEMA}; .*b\.json has {schema!r}"):
        load_pair(M4, tmp_path / "b.json")


def test_what_is_missing_or_odd_is_named(tmp_path):
    for key in ("device", "head", "stages", "bytes", "origin", "broken", "counter_unit", "counter_hz"):
        for odd in ({name: value for name, value in plain().items() if name != key}, plain(**{key: ["odd"]})):
            with pytest.raises(ProfileError, match=key):
                DeviceDocument.from_dict(odd)
    for path, value in (
        (("head", "dim"), "64"),
        (("stages", "learn"), 3),
        (("stages", "learn", "counts"), {"p50": 1.0}),
        (("stages", "learn", "round_trip_us", "p99"), -1),
        (("bytes", "arena"), None),
        (("bytes", "arena", "bytes"), "many"),
    ):
        odd = copy.deepcopy(plain())
        place = odd
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        with pytest.raises(ProfileError, match=path[1]):
            DeviceDocument.from_dict(odd)
    for odd in ([], "text", None, 3):
        with pytest.raises(ProfileError, match="must have the schema"):
            DeviceDocument.from_dict(odd)
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ProfileError, match="must be JSON"):
        load_pair(M4, tmp_path / "b.json")
    with pytest.raises(StorageError, match="nowhere"):
        load_pair(tmp_path / "nowhere.json", M4)


def test_a_budget_of_bytes_is_that_of_all_variables_and_the_deepest_stack():
    ram = 52344 + 424
    assert exceeded_by(document(), None, ram) == []
    [large] = exceeded_by(document(), None, ram - 1)
    assert large == "all variables and the deepest stack take 52,768 bytes of RAM; the budget is 52,767 bytes"
    sizes = plain()["bytes"]
    for name in ("all variables, arena included", "stack, used at most"):
        unknown = {**sizes, name: {"bytes": None, "missing": "not available: an older protocol"}}
        with pytest.raises(ProfileError, match=r"does not know them\. Make its program"):
            exceeded_by(document(bytes=unknown), None, ram)


@pytest.mark.parametrize(("unit", "hz", "in_a_ms"), [("cycles", 16_000_000, 16_000), ("microseconds", None, 1000)])
def test_a_budget_of_time_where_the_device_counts_time(unit, hz, in_a_ms):
    found = document(counter_unit=unit, counter_hz=hz)
    ms = found.count("predict", "p99") / in_a_ms
    assert exceeded_by(found, ms * 1.001, None) == []
    [late] = exceeded_by(found, ms / 2, None)
    assert f"at most {ms:.3f} ms; the budget is {ms / 2:g} ms, 2.00 times as long" in late
    assert len(exceeded_by(found, ms / 2, 1024)) == 2
    nothing = {**plain()["stages"], "predict": {"counts": None, "round_trip_us": None, "missing": "why"}}
    with pytest.raises(ProfileError, match="'predict' to be counted"):
        exceeded_by(document(counter_unit=unit, counter_hz=hz, stages=nothing), ms, None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "counts instructions, which say nothing of milliseconds. Measure the real part"),
        ({"counter_unit": None}, r"has no counter. Give it one: eimp_port_counter\(\)"),
        ({"counter_unit": "cycles"}, "how often it counts in a second. .* --clock-hz"),
    ],
)
def test_a_budget_of_time_is_refused_where_counts_are_none(changes, says):
    with pytest.raises(ProfileError, match=f"--budget-ms needs a device that counts time, and .*{says}"):
        exceeded_by(document(**changes), 3.0, None)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_picture_of_counts_and_bytes(tmp_path, ending):
    pytest.importorskip("matplotlib", reason="pip install 'edge-imprint[demo]'")
    found = document()
    draw(found, tmp_path / f"a{ending}")
    content = (tmp_path / f"a{ending}").read_bytes()
    assert content.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending])
    if ending == ".svg":
        text = content.decode()
        shown = ["instructions: median", "12,222 (p99 12,245)", "39,814 (p99 40,146)", "52,344", "52,768", "424"]
        for words in (*found.stages[1:], *found.sizes, *shown, "not measured", "mps2-an386", "emulated"):
            assert words.replace("'", "&#x27;") in text or words in text, words
    with pytest.raises(ProfileError, match=r"must end in \.png"):
        draw(found, tmp_path / "a.jpg")


def test_a_picture_without_a_counter(tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'edge-imprint[demo]'")
    bytes_ = {**plain()["bytes"], "stack, used at most": {"bytes": None, "missing": "why"}}
    draw(DeviceDocument.from_dict({**without_counter(), "bytes": bytes_}), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    for words in ("us of a round trip (the device has no counter)", "round trip<", "not available", "not measured"):
        assert words in text
