"""--method: chosen at the first learn, kept from then on, and told by every command."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from refusals import files, refused


@pytest.fixture
def ridge(run, bundle, pictures, tmp_path):
    """A state file of a new robot, made without naming budget or method."""
    folder = tmp_path / "robot"
    folder.mkdir()
    for label in ("dots", "plain", "stripes"):
        shots = [pictures / label / f"{i}.png" for i in range(5)]
        assert run("learn", label, *shots, "--state", folder / "state.eimp", "--backbone", bundle).code == 0
    return folder / "state.eimp"


def said(done):
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_the_first_learn_takes_a_second_moment_by_itself(run, ridge):
    facts = said(run("info", ridge, "--json"))
    assert (facts["method"], facts["budget"]) == ("ridge", 512 * 1024)
    assert facts["scatter_shots"] == 14  # the very first shot of all has no mean to differ from
    assert facts["memory"]["second_moment"] > 0
    assert sum(facts["memory"].values()) == facts["budget"] == facts["memory"]["free"] + facts["bytes_used"]
    assert {"ridge", "scatter"} <= set(facts["parts"])
    assert "ridge, a second moment of 14 shots" in run("info", ridge).out


def test_predict_says_how_sure_it_is(run, ridge, pictures):
    asked = [pictures / "dots/6.png", pictures / "plain/6.png"]
    rows = said(run("predict", *asked, "--state", ridge, "--json"))["predictions"]
    assert [row["label"] for row in rows] == ["dots", "plain"]
    assert all(1 / 3 <= row["confidence"] <= 1 for row in rows)
    header, *lines = run("predict", *asked, "--state", ridge).out.splitlines()
    assert header.split() == ["image", "label", "score", "verdict", "confidence"]
    shown = [re.fullmatch(r"(\d+) %", line[header.index("confidence") :]) for line in lines]
    assert [int(cell[1]) for cell in shown] == [round(100 * row["confidence"]) for row in rows]


@pytest.mark.parametrize("named", [(), ("--method", "auto"), ("--method", "ridge")])
def test_the_same_method_may_be_named_again(run, ridge, pictures, named):
    done = said(run("learn", "dots", pictures / "dots/6.png", "--state", ridge, *named, "--json"))
    assert (done["method"], done["shots"]) == ("ridge", 6)


@pytest.mark.parametrize("named", ["proxies", "magic", ""])
def test_another_method_is_refused_and_changes_nothing(run, ridge, pictures, named):
    before = files(ridge.parent)
    refused(run("learn", "dots", pictures / "dots/6.png", "--state", ridge, "--method", named), "ridge", "--method")
    assert files(ridge.parent) == before


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--method", "magic"), "one of proxies, ridge, auto"),
        (("--method", "ridge", "--budget", "4KB"), "second moment"),
        (("--method", "proxies", "--budget", "9"), "at least one class"),
    ],
)
def test_a_method_that_cannot_be_makes_no_file(run, bundle, pictures, tmp_path, words, why):
    state = tmp_path / "new.eimp"
    refused(run("learn", "dots", pictures / "dots/1.png", "--state", state, "--backbone", bundle, *words), why)
    assert not state.exists()


def test_proxies_can_be_asked_for(run, bundle, pictures, tmp_path):
    state = tmp_path / "new.eimp"
    words = ("--state", state, "--backbone", bundle, "--method", "proxies", "--json")
    assert said(run("learn", "dots", pictures / "dots/1.png", *words))["method"] == "proxies"
    assert "scatter" not in said(run("info", state, "--json"))["parts"]


def test_forget_says_when_the_scatter_keeps_something(run, bundle, pictures, tmp_path):
    from edge_imprint.learner import Learner

    state = tmp_path / "new.eimp"
    words = ("--state", state, "--backbone", bundle, "--method", "ridge")
    for label in ("dots", "stripes"):
        assert run("learn", label, pictures / label, *words).code == 0
    learner = Learner.load(state)
    rows = np.random.default_rng(0).normal(size=(20_000, learner.head.dim)).astype(np.float32)
    learner.head.partial_fit(rows, "many")
    learner.save(state)
    assert {entry["label"]: entry["forgets_exactly"] for entry in said(run("info", state, "--json"))["classes"]} == {
        "dots": True, "stripes": True, "many": False,
    }  # fmt: skip
    table = [line.split() for line in run("info", state).out.splitlines()]
    assert [row[-1] for row in table if row and row[0] in ("dots", "many")] == ["yes", "no"]
    assert said(run("forget", "dots", "--state", state, "--json"))["exact"] is True
    assert "remembered" in run("forget", "many", "--state", state).out
    assert "remembered" not in run("forget", "stripes", "--state", state).out


def test_plan_puts_the_methods_side_by_side(run):
    facts = said(run("plan", "--dim", "256", "--budget", "512KB", "--classes", "10", "--json"))
    assert (facts["method"], facts["auto"]) == ("ridge", "ridge")
    assert facts["methods"]["ridge"] == {name: facts[name] for name in facts["methods"]["ridge"]}
    assert facts["methods"]["proxies"]["second_moment_bytes"] == 0 < facts["second_moment_bytes"]
    assert facts["ridge_possible_from"] < facts["ridge_chosen_from"] < facts["budget"]
    small = said(run("plan", "--dim", "256", "--budget", "16KB", "--json"))
    assert small["method"] == small["auto"] == "proxies"
    assert str(small["ridge_possible_from"]) in small["methods"]["ridge"]["error"]
    header, *rows = run("plan", "--dim", "256", "--budget", "512KB").out.splitlines()
    assert header.split()[-2:] == ["proxies", "ridge"]
    assert len(rows) > 8
    assert "-" in run("plan", "--dim", "256", "--budget", "16KB").out.splitlines()[1]


def test_the_gain_that_plan_tells_is_the_measured_one(repository, run):
    found = json.loads((repository / "benchmarks" / "results" / "learning.json").read_text())
    reached = {"auto": {}, "proxies": {}}
    for one in found["measurements"]:
        where = one["params"]
        if one["name"] == "balanced_accuracy" and where["method"] in reached:
            reached[where["method"]][where["backbone"], where["data"], where["shots"]] = one["value"]
    gains = {cell: value - reached["proxies"][cell] for cell, value in reached["auto"].items()}
    if not any(gains.values()):
        pytest.skip("results are from before the second moment: python -m benchmarks run learning")
    told = said(run("plan", "--dim", "256", "--budget", "512KB", "--json"))["ridge_gain_points"]
    for shots, points in told.items():
        measured = [gain for (_, _, count), gain in gains.items() if count == shots]
        assert points == pytest.approx(sum(measured) / len(measured), abs=1)
        assert f"{points} after {shots}" in run("plan", "--dim", "256", "--budget", "512KB").out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--budget", "16KB", "--method", "ridge"), "second moment"),
        (("--budget", "512KB", "--method", "magic"), "one of proxies, ridge, auto"),
        (("--budget", "512KB", "--classes", "600"), 'or method="proxies"'),
    ],
)
def test_plan_refuses(run, words, why):
    refused(run("plan", "--dim", "256", *words), why)


def test_evaluate_leaves_ridge_out_where_it_does_not_fit(run, bundle, pictures):
    words = ("evaluate", pictures, "--shots", "1", "--episodes", "1", "--backbone", bundle, "--budget", "8KB")
    done = run(*words)
    assert done.code == 0
    assert "Without ridge" in done.out.splitlines()[-1]
    assert "ridge" not in {row["method"] for row in said(run(*words, "--json"))["results"]}
    refused(run(*words, "--methods", "proxies,ridge"), "second moment")
    rows = said(run(*words, "--methods", "auto,proxies", "--json"))["results"]
    assert rows[0]["episodes"] == rows[1]["episodes"]
