"""`edge-imprint export`: what it prints, its options, the progress bar, and Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from refusals import refused

pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

# Whoever starts the tests in the background may have told their processes to ignore Ctrl-C.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from edge_imprint.cli import main
sys.exit(main())
"""
COMMAND = [sys.executable, "-c", PROGRAM, "export"]
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def words(bundle, pictures, tmp_path):
    """An export of a small .onnx file that takes a second."""
    return (bundle / "tiny.onnx", "--calibration", pictures, "--formats", "onnx", "--out", tmp_path / "made")


def test_json_is_the_report(run, words, tmp_path):
    done = run("export", *words, "--json")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    said = json.loads(done.out)
    assert said.pop("out") == str(tmp_path / "made")
    assert said == json.loads((tmp_path / "made" / "report.json").read_text())
    assert said["files"][0]["measured"]["median_ms"] > 0


def test_words_for_people(run, words, tmp_path, pictures):
    done = run("export", *words)
    assert (done.code, done.err) == (0, "")
    header, row, *story = done.out.splitlines()
    assert header.split() == ["file", "size", "cosine", "least", "latency", "verdict"]
    assert row.split()[0] == "backbone.onnx"
    assert row.split()[3:5] == ["1.0000", "1.0000"]
    assert row.split()[-1] == "pass"
    notes = json.loads((tmp_path / "made" / "report.json").read_text())["notes"]
    assert {line[6:] for line in story if line.startswith("note: ")} <= set(notes)
    assert story[0] == "tiny: 48 dimensions, embedding embedding"
    assert f"The report: {tmp_path / 'made' / 'report.html'}" in story
    # What it says to do next works.
    use = story[-1].partition("edge-imprint ")[2]
    use = use.replace("LABEL", "dots").replace("FILE", str(tmp_path / "s")).replace("IMAGE...", f"{pictures}/dots")
    assert run(*use.split()).code == 0


def test_what_is_said_about_pictures(run, words, tmp_path):
    more = ("--size", "32", "--mean", "1,2,3", "--std", "4", "--colour", "bgr", "--resize", "crop:40", "--name", "mine")
    said = json.loads(run("export", *words, *more, "--licence", "MIT", "--json").out)
    assert (said["name"], said["licence"]) == ("mine", "MIT")
    spec = said["source"]["input"]
    assert (spec["height"], spec["width"], spec["colour"], spec["resize_side"]) == (32, 32, "bgr", 40)
    assert (spec["mean"], spec["scale"]) == ([1, 2, 3], [0.25] * 3)
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert (manifest["name"], manifest["licence"], manifest["input"]) == ("mine", "MIT", spec)


def test_projection_folding_and_int8_settings(run, words, tmp_path):
    more = ("--project", "8", "--fold-preprocessing", "--keep-float", "1", "--method", "minmax", "--min-cosine", "0.5")
    done = run("export", *words, *more, "--formats", "onnx-int8", "--embedding", "embedding", "--json")
    said = json.loads(done.out)
    assert (said["dim"], said["files"][0]["int8"]["method"]) == (8, "minmax")
    assert len(said["files"][0]["int8"]["keep_float"]) == 1
    assert said["files"][0]["input"] == {"layout": "nhwc", "dtype": "uint8"}
    options = {"project": 8, "fold_preprocessing": True, "keep_float": 1, "method": "minmax", "min_cosine": 0.5}
    assert said["options"] == {"formats": ["onnx-int8"], **options}


def test_an_earlier_bundle(run, words):
    assert run("export", *words).code == 0
    refused(run("export", *words), "--replace")
    assert run("export", *words, "--replace").code == 0


def test_formats_that_are_impossible_are_warnings(run, words):
    done = run("export", *words[:1], "--out", words[-1], "--formats", "onnx,onnx-int8")
    assert done.code == 0
    assert re.fullmatch(r"Warning: no onnx-int8: int8 needs at least 8 .*; got none\. .*\n", done.err)


def test_an_exporter_that_is_not_installed(run, words, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "edge_imprint_export", None)
    refused(run("export", *words), "pip install 'edge-imprint[export]'")
    assert list(tmp_path.iterdir()) == []


def test_out_has_to_be_named(run, words):
    refused(run("export", *words[:-2]), "--out", "edge-imprint export --help")


def test_the_help(run):
    done = run("export", "--help")
    assert (done.code, done.err) == (0, "")
    for word in (
        "--calibration",
        "--fold-preprocessing",
        "--keep-float",
        "--min-cosine",
        "edge-imprint export public:",
    ):
        assert word in done.out


# Terminals


class Terminal:
    """The command in a session of its own, with standard error on a terminal."""

    def __init__(self, words, folder):
        self.shown = b""
        self._came = threading.Condition()
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=theirs, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                part = os.read(self._ours, 65536)
            except OSError:  # the last writer has closed the terminal
                part = b""
            with self._came:
                self.shown += part
                self._came.notify_all()
            if not part:
                return

    def wait_for(self, text):
        with self._came:
            assert self._came.wait_for(lambda: text in self.shown or self.process.poll() is not None, 90)
            assert text in self.shown, self.shown

    def finish(self):
        """Exit status, standard output, and what was left of standard error once the bar was wiped."""
        out = self.process.communicate(timeout=90)[0]
        self._reader.join(timeout=90)
        os.close(self._ours)
        assert self.shown.count(b"\x1b[?25l") == self.shown.count(b"\x1b[?25h")  # the cursor is back
        lasting = self.shown.rpartition(b"\x1b[2K")[2]
        return self.process.returncode, out, ESCAPE.sub(b"", lasting).decode().replace("\r\n", "\n").strip()


@pytest.fixture
def temporary(tmp_path):
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def left(folder):
    """What an export left; onnxruntime's own mark is none of ours."""
    return [path.name for path in folder.rglob("*") if path.name not in (".ses", "temporary")]


def test_a_terminal_gets_a_bar_that_goes_away(words, temporary):
    terminal = Terminal([*words, "--formats", "onnx,onnx-int8", "--min-cosine", "0.5"], temporary)
    code, out, lasting = terminal.finish()
    assert (code, lasting) == (0, "")
    assert b"\x1b" not in out
    assert out.startswith(b"file ")
    for stage in (b"Opening the source", b"choosing settings", b"Measuring time and memory"):
        assert stage in terminal.shown


def test_no_bar_with_json(words, temporary):
    terminal = Terminal([*words, "--json"], temporary)
    code, out, _ = terminal.finish()
    assert (code, terminal.shown) == (0, b"")
    assert json.loads(out)["verdict"]["grade"] == "pass"


@pytest.mark.parametrize("stage", [b"Opening the source", b"choosing settings", b"Measuring time and memory"])
def test_ctrl_c(words, temporary, tmp_path, stage):
    """The terminal sends it to the command and to the process that measures."""
    terminal = Terminal([*words, "--formats", "onnx,onnx-int8", "--min-cosine", "0.5"], temporary)
    terminal.wait_for(stage)
    os.killpg(terminal.process.pid, signal.SIGINT)
    code, out, lasting = terminal.finish()
    assert (code, out) == (130, b"")
    assert lasting == f"Interrupted: {tmp_path / 'made'} was not written"
    assert left(tmp_path) == []
    for _ in range(100):
        if not running(terminal.process.pid):
            break
        time.sleep(0.05)
    assert running(terminal.process.pid) == []


def running(group):
    """Command lines of the processes of a group that are not dead; needs /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(stat.with_name("cmdline").read_bytes())
        except OSError:  # it ended just now
            continue
    return found


@pytest.mark.slow
def test_a_torch_network_to_everything_prints_nothing_but_its_table(tmp_path, temporary):
    """No word of torch, of the converter and of three runtimes, into a pipe or on a terminal."""
    for package in ("torch", "onnxscript", "litert_torch", "ai_edge_quantizer"):
        pytest.importorskip(package, reason="pip install 'edge-imprint[export]'")
    from exporting import FACTORY, SUPPORT, write_pictures

    (tmp_path / "network.py").write_text(FACTORY)
    pictures = write_pictures(tmp_path / "pictures", 24)
    words = ["torch:network:make", "--calibration", str(pictures), "--out"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), SUPPORT]), "TMPDIR": str(temporary)}
    done = subprocess.run(
        [*COMMAND, *words, str(tmp_path / "a")], capture_output=True, text=True, env=environment, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:5]] == [
        "backbone.onnx", "backbone.int8.onnx", "backbone.tflite", "backbone.int8.tflite",
    ]  # fmt: skip
    os.environ["PYTHONPATH"] = environment["PYTHONPATH"]
    try:
        terminal = Terminal([*words, str(tmp_path / "b")], temporary)
    finally:
        del os.environ["PYTHONPATH"]
    terminal.wait_for(b"TFLite")
    code, out, lasting = terminal.finish()
    assert (code, lasting) == (0, "")
    assert out.decode().count("\n") == done.stdout.count("\n")
    shown = ESCAPE.sub(b"", terminal.shown).decode()
    lines = {line.strip() for line in re.split(r"[\r\n]", shown)}
    strange = [line for line in lines if line and not re.fullmatch(r"\S? ?.*[━╸╺].*\d:\d\d:\d\d", line)]
    assert strange == []
