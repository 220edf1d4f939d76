"""`edge-imprint profile` of the machine at hand, as its user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from profiles import made
from refusals import refused

from edge_imprint import Learner
from edge_imprint.backbones import load_backbone
from edge_imprint.profiling import Profile
from edge_imprint.profiling.stages import NAMES

pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[onnx]'")

RECORDED = Path(__file__).resolve().parents[1] / "profiling" / "recorded"
SHORT = ("--repeats", "100", "--warm-ups", "1", "--camera-fps", "100", "--camera-seconds", "0.3", "--cold-starts", "3")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One real profile of the default backbone, with everything that can be asked for."""
    folder = tmp_path_factory.mktemp("profile")
    command = [sys.executable, "-m", "edge_imprint.cli", "profile", *SHORT, "--json", "--budget-mb", "1"]
    command += ["--out", str(folder / "a.json"), "--plot", str(folder / "a.svg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done, folder


def test_what_a_profile_holds(found):
    done, folder = found
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("Over budget: memory peaks at ")
    said = json.loads(done.stdout)
    [sentence] = said.pop("exceeded")
    assert sentence in done.stderr
    assert said == json.loads((folder / "a.json").read_text())
    assert tuple(said["stages"]) == NAMES
    for name, stage in said["stages"].items():
        assert (stage["repeats"], stage["warm_ups"]) == (100, 1), name
        assert 0 < stage["p50_us"] <= stage["p90_us"] <= stage["p99_us"], name
    parts = sum(said["stages"][name]["p50_us"] for name in ("preprocess", "backbone", "head predict"))
    assert said["stages"]["frame to answer"]["p50_us"] > parts / 3  # a busy machine may be slow at any moment
    assert said["camera"]["answered"] + said["camera"]["dropped"] == 30
    memory = said["memory"]
    assert memory["peak_bytes"] >= memory["steady_bytes"] > memory["python_bytes"] > 1 << 20
    assert memory["numpy_bytes"] > 1 << 20  # nothing was loaded before the child looked
    assert memory["head_arena_bytes"] == said["head"]["budget"] == 512 << 10
    assert memory["timeline"] == sorted(memory["timeline"])
    cold = said["cold_start"]
    assert cold["total_ms"] > cold["import_ms"] + cold["first_prediction_ms"]
    assert all(len(samples) == 3 for samples in cold["samples"].values())
    assert (said["head"]["made_up"], said["head"]["classes"]) == (True, 5)
    assert 0 < said["overhead_us"] < said["stages"]["backbone"]["p50_us"]
    assert (folder / "a.svg").read_text().startswith("<?xml")


def test_a_state_and_pictures_of_ones_own(run, state, pictures, tmp_path):
    before = state.read_bytes()
    done = run("profile", pictures / "dots", "--state", state, *SHORT, "--out", tmp_path / "a.json")
    assert (done.code, done.err) == (0, "")
    for word in (*NAMES, "camera", "memory", "cold start", "temperature", "power", "measuring"):
        assert word in done.out, word
    assert state.read_bytes() == before
    profile = Profile.load(tmp_path / "a.json")
    assert (profile.head["made_up"], profile.bundle["name"]) == (False, "tiny")
    assert profile.settings["pictures"] == len(list((pictures / "dots").iterdir()))
    assert [path.name for path in tmp_path.iterdir()].count("a.json") == 1


def test_threads_do_not_change_which_file_a_state_was_learned_with(run, pictures, tmp_path):
    """Of a bundle with two precisions a state may have the one that nobody would choose."""
    learner = Learner(load_backbone(precision="float32"), "16KB")
    for label in ("dots", "plain"):
        learner.learn(sorted((pictures / label).iterdir())[:2], label)
    learner.save(tmp_path / "s.eimp")
    assert Learner.load(tmp_path / "s.eimp", threads=1, providers="cpu").backbone.file.precision == "float32"
    done = run("profile", "--state", tmp_path / "s.eimp", "--threads", "1", *SHORT, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["bundle"]["precision"] == "float32"


def test_two_profiles_side_by_side(run, tmp_path):
    made().save(tmp_path / "a.json")
    made(2.0).save(tmp_path / "b.json")
    done = run("profile", "--compare", tmp_path / "a.json", tmp_path / "b.json")
    assert (done.code, done.err) == (0, "")
    [line] = [line for line in done.out.splitlines() if line.startswith("backbone p50")]
    assert line.split()[-1] == "2"
    rows = json.loads(run("profile", "--compare", tmp_path / "a.json", tmp_path / "b.json", "--json").out)["rows"]
    assert next(row for row in rows if row["name"] == "backbone p50")["ratio"] == pytest.approx(2)


def test_two_profiles_of_microcontrollers_side_by_side(run, tmp_path):
    done = run("profile", "--compare", RECORDED / "mps2-an386.json", RECORDED / "microbit.json")
    assert (done.code, done.err) == (0, "")
    lines = {line.split("  ")[0]: line.split() for line in done.out.splitlines()}
    assert lines["learn p99"][2:] == ["40,146", "151,228", "instructions", "3.77"]
    assert lines["stack, used at most"][-4:] == ["424", "548", "bytes", "1.29"]
    assert "mps2-an386, 10 classes" in done.out
    said = json.loads(run("profile", "--compare", *[RECORDED / "microbit.json"] * 2, "--json").out)
    assert {row["ratio"] for row in said["rows"]} == {1.0}
    made().save(tmp_path / "pi.json")
    mixed = run("profile", "--compare", RECORDED / "microbit.json", tmp_path / "pi.json")
    refused(mixed, "microbit.json", "pi.json", "of one kind", "--port")


def test_a_file_of_another_version_is_refused_by_name(run, tmp_path):
    made().save(tmp_path / "a.json")
    older = (tmp_path / "a.json").read_text().replace("edge-imprint/profile/1", "edge-imprint/profile/0")
    (tmp_path / "b.json").write_text(older)
    done = run("profile", "--compare", tmp_path / "a.json", tmp_path / "b.json")
    refused(done, "b.json", "edge-imprint/profile/0", "edge-imprint/profile/1")
    refused(run("profile", "--compare", tmp_path / "a.json", tmp_path / "c.json"), "c.json")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--repeats", "99"), ("at least 100 runs", "--repeats 100")),
        (("--warm-ups", "0"), ("at least 1", "0 warm-ups")),
        (("--camera-fps", "10", "--camera-seconds", "2"), ("30 frames", "make 20", "--camera-seconds 3")),
        (("--camera-fps", "0"), ("frames in a second", "got 0")),
        (("--cold-starts", "2"), ("at least 3", "--cold-starts 3")),
        (("--plot", "a.jpg"), (".png", "a.jpg")),
        (("--bundle", "nowhere"), ("nowhere",)),
        (("--state", "nowhere.eimp"), ("nowhere.eimp",)),
        (("nowhere.jpg",), ("nowhere.jpg",)),
        (("--budget", "1KB"), ("1024",)),
        (("--threads", "0"), ("threads", "0")),
        (("--providers", "cuda"), ("cuda",)),
        (("--state", "a.eimp", "--precision", "int8"), ("--precision", "state")),
        (("--saves", "20"), ("--port",)),
        (("--budget-kb", "20"), ("--budget-kb", "--port")),
        (("--port", "/dev/nowhere", "--budget-ms", "3"), ("/dev/nowhere",)),
        (("--port", "/dev/nowhere", "--budget-ms", "0"), ("--budget-ms", "above 0")),
        (("--port", "/dev/nowhere", "--budget-kb", "-1"), ("--budget-kb", "above 0")),
        (("--port", "/dev/nowhere", "--budget-kb", "20", "--budget-mb", "1"), ("--budget-mb", "one of them")),
        (("--port", "/dev/nowhere", "--plot", "a.jpg"), (".png", "a.jpg")),
        (("--port", "/dev/nowhere", "--out", "nowhere/a.json"), ("nowhere/a.json", "mkdir")),
        (("--port", "/dev/nowhere", "--threads", "2"), ("--threads",)),
        (("--port", "/dev/nowhere", "a.jpg"), ("pictures",)),
        (("--compare", "a.json", "b.json", "--plot", "a.png"), ("--plot", "--compare")),
        (("--compare", "a.json", "b.json", "--budget-kb", "20"), ("--budget-kb", "--compare")),
    ],
)
def test_what_cannot_be(run, words, says):
    refused(run("profile", *words), *says)


def test_a_budget_that_makes_no_sense_is_told_before_anything_is_measured(run):
    start = time.monotonic()
    refused(run("profile", "--budget-ms", "0"), "above 0")
    assert time.monotonic() - start < 60


def test_ctrl_c_leaves_nothing(tmp_path):
    (tmp_path / "t").mkdir()
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from edge_imprint.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "profile", "--repeats", "100000", "--out", str(tmp_path / "a.json")],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path / "t")}, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((tmp_path / "t").glob("edge-imprint-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said.strip()) == (130, "Interrupted")
    assert [path.name for path in (tmp_path / "t").iterdir() if path.name != ".ses"] == []
    assert not (tmp_path / "a.json").exists()
