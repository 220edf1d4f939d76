"""Settings that do not fit, full disks, broken pipes: one line on standard error, exit code 2, files unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import files, refused


def test_evaluate_needs_two_classes_and_more_pictures_than_shots(run, bundle, pictures, tmp_path):
    words = ("--backbone", bundle, "--shots", "1")
    only = tmp_path / "only" / "one"
    only.mkdir(parents=True)
    refused(run("evaluate", tmp_path / "only", *words), "no pictures")
    picture = (pictures / "dots/0.png").read_bytes()
    (only / "0.png").write_bytes(picture)
    (only / "1.png").write_bytes(picture)
    refused(run("evaluate", tmp_path / "only", *words), "2 classes", "one")
    single = tmp_path / "only" / "single"
    single.mkdir()
    (single / "0.png").write_bytes(picture)
    refused(run("evaluate", tmp_path / "only", *words), "single")
    refused(run("evaluate", pictures, "--backbone", bundle, "--shots", "1,8"), "8", "at most 7")
    refused(run("evaluate", tmp_path / "nowhere", *words), "nowhere")


def test_evaluate_counts_only_pictures_that_can_be_read(run, bundle, pictures, tmp_path):
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "0.png").write_bytes((pictures / "dots/0.png").read_bytes())
        (tmp_path / "set" / label / "1.png").write_bytes(b"broken")
    done = run("evaluate", tmp_path / "set", "--shots", "1", "--backbone", bundle)
    assert (done.code, done.out) == (2, "")
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["Warning", "Error"]


@pytest.mark.parametrize(
    "words",
    [
        ("--shots", "one"),
        ("--shots", "0"),
        ("--shots", ""),
        ("--methods", "magic"),
        ("--episodes", "0"),
        ("--queries", "0"),
        ("--ways", "1"),
        ("--ways", "5"),
        ("--seed", "-1"),
        ("--budget", "9"),
    ],
)
def test_evaluate_refuses_settings_out_of_range(run, bundle, pictures, words):
    refused(run("evaluate", pictures, "--backbone", bundle, "--shots", "1", *words))


@pytest.mark.parametrize(
    "words",
    [
        ("lern", "mug", "a.jpg"),
        ("learn",),
        ("learn", "mug", "--state", "s"),
        ("learn", "mug", "a.jpg"),
        ("predict", "a.jpg", "--state"),
        ("predict", "a.jpg", "--state", "s", "--jsn"),
        ("plan", "--dim", "many", "--budget", "16KB"),
        ("plan", "--dim", "0", "--budget", "16KB"),
        ("plan", "--dim", "256", "--budget", "16KB", "--classes", "0"),
        ("info",),
        ("--nonsense",),
    ],
)
def test_usage_errors_are_one_line(run, words):
    refused(run(*words))


def test_a_full_disk_leaves_the_old_state(state, pictures, process):
    resource = pytest.importorskip("resource")
    before = files(state.parent)

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    refused(
        process("learn", "new", pictures / "rings", "--state", state, preexec_fn=small_files_only),
        "state.eimp",
    )
    refused(process("forget", "dots", "--state", state, preexec_fn=small_files_only), "state.eimp")
    assert files(state.parent) == before


def test_a_full_standard_output_is_an_error_too(state, pictures):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    words = [sys.executable, "-m", "edge_imprint.cli", "info", str(state), "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr


def test_demo_into_a_place_that_is_no_folder(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused(run("demo", "--out", tmp_path / "file"), "file")


def test_an_error_line_shows_control_characters_harmlessly(run, tmp_path):
    done = run("info", tmp_path / "a\x1b[31m\nb.eimp")
    refused(done, r"\x1b[31m\nb")
    assert "\x1b" not in done.err


def test_a_file_name_that_is_not_utf8_is_shown_and_not_fatal(process, state, pictures, tmp_path):
    strange = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(strange)).write_bytes((pictures / "dots/6.png").read_bytes())
    words = process("predict", strange, "--state", state)
    assert words.code == 0, words.err
    said = process("predict", strange, "--state", state, "--json")
    assert os.fsencode(json.loads(said.out)["predictions"][0]["image"]) == strange
