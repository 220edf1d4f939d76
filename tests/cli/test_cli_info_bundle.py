"""`info` of a bundle says what runs it here, how fast, and what its export found."""

from __future__ import annotations

import json
import shutil

import pytest

REPORT = {
    "verdict": {"grade": "warn", "reasons": ["a"]},
    "files": [
        {
            "file": "tiny.onnx",
            "verdict": {"grade": "pass", "reasons": ["b"]},
            "parity": {"cosine_min": 0.99987, "cosine_mean": 1},
        }
    ],
}


def said_of(done):
    assert done.code == 0, done.err
    assert done.err == ""
    return json.loads(done.out)


@pytest.fixture
def reported(bundle, tmp_path):
    folder = shutil.copytree(bundle, tmp_path / "reported")
    (folder / "report.json").write_text(json.dumps(REPORT))
    return folder


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_a_bundle_is_run_and_timed(run, bundle, name):
    (entry,) = said_of(run("info", bundle / name, "--json"))["runs_here"]
    assert set(entry) == {"file", "format", "precision", "runtime", "version", "runs", "median_ms", "reason"}
    assert (entry["file"], entry["runtime"], entry["runs"], entry["reason"]) == ("tiny.onnx", "onnxruntime", True, None)
    assert entry["median_ms"] > 0


def test_the_table_for_people(run, bundle):
    lines = run("info", bundle).out.splitlines()
    header = next(i for i, line in enumerate(lines) if line.split() == ["file", "runtime", "here"])
    assert lines[header + 1].startswith("tiny.onnx  onnxruntime ")
    assert lines[header + 1].endswith(" ms per picture, 1 thread")


def test_no_run_takes_no_time_and_still_says_what_runs(run, bundle):
    (entry,) = said_of(run("info", bundle, "--no-run", "--json"))["runs_here"]
    assert entry["runs"]
    assert entry["median_ms"] is None
    assert run("info", bundle, "--no-run").out.splitlines()[-1].endswith("runs")


def test_a_single_file_is_not_probed(run, bundle):
    said = said_of(run("info", bundle / "tiny.onnx", "--json"))
    assert "runs_here" not in said
    assert "report" not in said


def test_a_file_that_does_not_run_here_says_why(run, bundle, monkeypatch):
    from edge_imprint.backbones import probe

    monkeypatch.setattr(probe, "ONNX", ("no_such_runtime", "onnxruntime"))
    done = run("info", bundle)
    assert done.out.splitlines()[-1].endswith("no: not installed")


def test_the_summary_of_the_export_report(run, bundle, reported):
    assert said_of(run("info", bundle, "--no-run", "--json"))["report"] is None
    assert said_of(run("info", reported, "--no-run", "--json"))["report"] == {
        "verdict": "warn",
        "files": {"tiny.onnx": {"verdict": "pass", "cosine_min": 0.99987, "cosine_mean": 1.0}},
    }
    assert "warn; cosine to the source at least: tiny.onnx 0.9999" in run("info", reported, "--no-run").out


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[1, 2]", b'{"verdict": 3}', b"[" * 100_000, b'{"verdict": {"grade": "pass"}, "files": [3]}',
     json.dumps(REPORT).replace("0.99987", "NaN").encode(), json.dumps(REPORT).replace("0.99987", '"x"').encode()],
)  # fmt: skip
def test_a_damaged_report_is_no_error(run, reported, content):
    (reported / "report.json").write_bytes(content)
    assert said_of(run("info", reported, "--no-run", "--json"))["report"] is None


def test_a_report_that_is_a_folder_or_too_long(run, reported):
    (reported / "report.json").unlink()
    (reported / "report.json").mkdir()
    assert said_of(run("info", reported, "--no-run", "--json"))["report"] is None
    (reported / "report.json").rmdir()
    (reported / "report.json").write_text(json.dumps(REPORT) + " " * (9 << 20))
    assert said_of(run("info", reported, "--no-run", "--json"))["report"] is None
