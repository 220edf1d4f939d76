"""Every command does what its help says, in words and as JSON."""

from __future__ import annotations

import json
import re

import pytest

import edge_imprint

COMMANDS = ("demo", "learn", "predict", "forget", "info", "plan", "evaluate", "profile")


def only_json(done):
    assert done.code == 0, done.err
    assert done.err == ""
    assert done.out.count("\n") == 1
    assert done.out.endswith("\n")
    return json.loads(done.out)


def test_a_teaching_session_from_nothing(run, bundle, pictures, tmp_path):
    state = tmp_path / "robot.eimp"
    for label in ("plain", "stripes"):
        shots = [pictures / label / f"{i}.png" for i in range(3)]
        done = run("learn", label, *shots, "--state", state, "--backbone", bundle, "--budget", "16KB")
        assert done.code == 0, done.err
        assert label in done.out
        assert "3 shots" in done.out
        assert "of 16.0 KB" in done.out

    asked = [pictures / "plain/6.png", pictures / "stripes/6.png"]
    answers = only_json(run("predict", *asked, "--state", state, "--json"))["predictions"]
    assert [answer["label"] for answer in answers] == ["plain", "stripes"]

    assert run("forget", "plain", "--state", state).code == 0
    answers = only_json(run("predict", *asked, "--state", state, "--json"))["predictions"]
    assert [answer["label"] for answer in answers] == ["stripes", "stripes"]
    assert [entry["label"] for entry in only_json(run("info", state, "--json"))["classes"]] == ["stripes"]


def test_learn_json_counts_what_was_added_and_what_is_there(run, pictures, state):
    said = only_json(run("learn", "dots", pictures / "dots/6.png", pictures / "dots/7.png", "--state", state, "--json"))
    assert set(said) == {
        "label",
        "shots_added",
        "shots",
        "proxies",
        "method",
        "advice",
        "classes",
        "bytes_used",
        "budget",
        "state",
    }
    assert (said["label"], said["shots_added"], said["shots"], said["classes"]) == ("dots", 2, 7, 3)
    assert said["proxies"] >= 1
    assert 0 < said["bytes_used"] <= said["budget"] == 16384


def test_learn_and_info_say_what_to_show_next(run, bundle, pictures, tmp_path):
    state = tmp_path / "few.eimp"
    done = run("learn", "dots", pictures / "dots/1.png", "--state", state, "--backbone", bundle)
    assert "'dots' is the only class" in done.out
    run("learn", "rings", pictures / "rings/1.png", "--state", state)
    advice = only_json(run("info", state, "--json"))["advice"]
    assert {label for piece in advice for label in piece["labels"]} == {"dots", "rings"}
    said = run("info", state).out
    assert all(piece["sentence"] in said for piece in advice)


def test_learn_takes_a_folder_as_its_pictures(run, pictures, state, tmp_path):
    (pictures / "rings" / "notes.txt").write_text("not a picture")
    assert only_json(run("learn", "rings", pictures / "rings", "--state", state, "--json"))["shots_added"] == 8

    one_by_one = tmp_path / "robot" / "other.eimp"
    one_by_one.write_bytes(b"")
    one_by_one.unlink()
    again = sorted((pictures / "rings").glob("*.png"))
    run("forget", "rings", "--state", state)
    run("learn", "rings", *again, "--state", state)
    assert only_json(run("info", state, "--json"))["classes"][-1]["shots"] == 8


def test_the_same_lessons_give_the_same_file(run, bundle, pictures, tmp_path):
    files = []
    for name in ("a.eimp", "b.eimp"):
        for label in ("rings", "dots"):
            assert run("learn", label, pictures / label, "--state", tmp_path / name, "--backbone", bundle).code == 0
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_the_same_budget_and_backbone_may_be_named_again(run, bundle, pictures, state):
    done = run("learn", "dots", pictures / "dots/6.png", "--state", state, "--budget", "16KB", "--backbone", bundle)
    assert done.code == 0, done.err


def test_predict_json_has_exactly_the_promised_fields(run, pictures, state):
    paths = [pictures / "dots/5.png", pictures / "plain/5.png", pictures / "rings/5.png"]
    said = only_json(run("predict", *paths, "--state", state, "--json"))
    assert set(said) == {"predictions"}
    assert [row["image"] for row in said["predictions"]] == [str(path) for path in paths]
    for row in said["predictions"]:
        assert set(row) == {"image", "label", "score", "verdict", "confidence"}
        assert row["confidence"] is None  # this state has proxies alone
        assert -1 <= row["score"] <= 1
        assert row["verdict"] in ("known", "uncertain", "unknown")
    assert [row["label"] for row in said["predictions"][:2]] == ["dots", "plain"]


def test_predict_prints_one_aligned_line_per_picture(run, pictures, state):
    done = run("predict", pictures / "dots/5.png", pictures / "plain/5.png", "--state", state)
    header, *lines = done.out.splitlines()
    assert header.split() == ["image", "label", "score", "verdict"]
    assert [line.split()[1] for line in lines] == ["dots", "plain"]
    assert {re.search(r" (dots|plain) ", line).start(1) for line in lines} == {header.index("label")}


def test_predict_leaves_the_state_as_it_was(run, pictures, state, taught):
    run("predict", pictures, "--state", state)
    assert state.read_bytes() == taught


def test_predict_finds_a_backbone_that_moved(run, process, bundle, pictures, tmp_path):
    from tiny import write_tiny_bundle

    old = write_tiny_bundle(tmp_path / "old")
    state = tmp_path / "state.eimp"
    assert run("learn", "dots", pictures / "dots", "--state", state, "--backbone", old).code == 0
    old.rename(tmp_path / "new")
    gone = run("predict", pictures / "dots/1.png", "--state", state)
    assert (gone.code, gone.out) == (2, "")
    assert run("predict", pictures / "dots/1.png", "--state", state, "--backbone", tmp_path / "new").code == 0


def test_forget_gives_bytes_back(run, state):
    before = only_json(run("info", state, "--json"))
    said = only_json(run("forget", "plain", "--state", state, "--json"))
    assert set(said) == {"label", "bytes_freed", "exact", "classes", "bytes_used", "budget", "state"}
    after = only_json(run("info", state, "--json"))
    assert said["bytes_freed"] == before["bytes_used"] - after["bytes_used"] > 0
    assert [entry["label"] for entry in after["classes"]] == ["dots", "stripes"]


def test_a_class_that_a_program_taught_as_a_number(run, pictures, state):
    from edge_imprint.learner import Learner

    learner = Learner.load(state)
    learner.learn([pictures / "rings/0.png"], 7)
    learner.save(state)
    assert only_json(run("learn", "7", pictures / "rings/1.png", "--state", state, "--json"))["shots"] == 2
    assert only_json(run("info", state, "--json"))["classes"][-1]["label"] == 7
    assert run("forget", "7", "--state", state).code == 0


def test_info_of_a_state_file(run, state, taught, bundle):
    said = only_json(run("info", state, "--json"))
    assert said["kind"] == "state"
    assert said["format"] == "1.0"
    assert (said["method"], said["scatter_shots"]) == ("proxies", None)
    assert sum(said["memory"].values()) == said["budget"] == said["memory"]["free"] + said["bytes_used"]
    assert said["classes"] == [
        {"label": label, "shots": 5, "proxies": entry["proxies"], "forgets_exactly": True}
        for label, entry in zip(("dots", "plain", "stripes"), said["classes"], strict=True)
    ]
    assert said["file_bytes"] == len(taught) > sum(said["parts"].values()) > 0
    assert said["bytes_used"] <= said["budget"] == 16384
    assert said["false_accept_rate"] == 0.05
    assert -1 <= said["thresholds"]["unknown"] <= said["thresholds"]["known"] <= 1
    assert said["backbone"]["source"] == str(bundle)
    assert len(said["backbone"]["digest"]) == 64
    words = run("info", state)
    assert words.code == 0
    assert said["backbone"]["digest"] in words.out
    assert state.read_bytes() == taught


@pytest.mark.parametrize("name", ["", "manifest.json", "tiny.onnx"])
def test_info_of_a_backbone(run, bundle, name):
    said = only_json(run("info", bundle / name, "--json"))
    assert said["kind"] == "backbone"
    assert said["dim"] == 48
    assert said["input_size"] == [32, 32]
    assert "tiny" in run("info", bundle / name).out


def test_plan_says_what_fits(run):
    small = only_json(run("plan", "--dim", "256", "--budget", "16KB", "--json"))
    assert small["dim"] == 256
    assert small["budget"] == 16384
    assert run("plan", "--dim", "256", "--budget", "16KB", "--classes", "10").code == 0


def test_evaluate_json(run, bundle, pictures):
    words = (
        "evaluate",
        pictures,
        "--shots",
        "1,5",
        "--episodes",
        "4",
        "--queries",
        "3",
        "--backbone",
        bundle,
    )
    said = only_json(run(*words, "--json"))
    assert said["pictures"] == 32
    assert said["classes"] == said["ways"] == 4
    assert said["skipped"] == []
    methods = ("proxies", "ridge", "qi", "hosoda", "janson", "westerhoff", "oracle")
    assert [(row["method"], row["shots"]) for row in said["results"]] == [(m, s) for m in methods for s in (1, 5)]
    for row in said["results"]:
        assert set(row) == {"method", "shots", "mean", "half_width", "episodes"}
        assert row["mean"] == pytest.approx(sum(row["episodes"]) / 4, abs=0.02)
        assert 0 <= row["mean"] <= 100
        assert row["half_width"] >= 0
    assert only_json(run(*words, "--json")) == said


def test_evaluate_by_the_seed(run, bundle, pictures, tmp_path):
    for number, path in enumerate(sorted((pictures / "dots").iterdir())):  # one class under two names: a lottery
        folder = tmp_path / "set" / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    words = ("evaluate", tmp_path / "set", "--shots", "1", "--methods", "qi", "--backbone", bundle, "--json")
    drawn = [only_json(run(*words, "--seed", seed))["results"][0]["episodes"] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_evaluate_names_methods_in_rows_and_shots_in_columns(run, bundle, pictures):
    done = run("evaluate", pictures, "--shots", "2", "--methods", "qi,auto", "--episodes", "2", "--backbone", bundle)
    _, header, *rows = done.out.splitlines()
    assert header.split() == ["method", "2", "shots"]
    assert [row.split()[0] for row in rows] == ["qi", "auto"]


def test_evaluate_leaves_out_what_it_cannot_read_and_says_so(run, bundle, tmp_path):
    from tiny import write_pictures

    folder = write_pictures(tmp_path / "some", each=4)
    (folder / "dots" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    words = ("evaluate", folder, "--shots", "1", "--methods", "qi", "--episodes", "2", "--backbone", bundle)
    done = run(*words, "--json")
    assert done.code == 0
    assert json.loads(done.out)["skipped"] == [str(folder / "dots" / "broken.png")]
    assert done.err.count("\n") == 1
    assert "1 of 17" in done.err
    assert "broken.png" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_description_and_an_example(run, command):
    done = run(command, "--help")
    assert done.code == 0
    assert done.err == ""
    assert f"edge-imprint {command} " in done.out
    assert "Example" in done.out
    assert "--json" in done.out


def test_no_command_shows_the_help(run):
    done = run()
    assert (done.code, done.err) == (0, "")
    assert all(command in done.out for command in COMMANDS)


def test_version(run):
    assert run("--version") == (0, f"edge-imprint {edge_imprint.__version__}\n", "")
