"""What only a real process shows: concurrency, interrupts, pipes, terminals, start-up."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "edge_imprint.cli"]


def heed_ctrl_c():
    """Whoever starts the tests in the background may have told their processes to ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*words, **options):
    return subprocess.Popen(
        [*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c, **options
    )


def test_learns_at_the_same_time_lose_no_shot(bundle, pictures, tmp_path):
    state = tmp_path / "state.eimp"
    labels = ("dots", "plain", "rings", "stripes", "dots")
    started = [start("learn", label, pictures / label, "--state", state, "--backbone", bundle) for label in labels]
    for process in started:
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0
    done = subprocess.run([*COMMAND, "info", str(state), "--json"], capture_output=True, check=True)
    shots = {entry["label"]: entry["shots"] for entry in json.loads(done.stdout)["classes"]}
    assert shots == {"dots": 16, "plain": 8, "rings": 8, "stripes": 8}
    assert [path.name for path in tmp_path.iterdir()] == ["state.eimp"]


def wait_until_blocked(process):
    """Until the kernel lists the process as waiting for a lock."""
    for _ in range(1000):
        if any("->" in line and f" {process.pid} " in line for line in Path("/proc/locks").read_text().splitlines()):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("the process never waited for the lock")


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs /proc/locks, that is Linux")
def test_interrupted_from_the_keyboard(state, taught, pictures):
    folder = os.open(state.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        process = start("learn", "rings", pictures / "rings", "--state", state)
        wait_until_blocked(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        os.close(folder)
    assert (process.returncode, out, err) == (130, b"", b"Interrupted\n")
    assert state.read_bytes() == taught
    assert [path.name for path in state.parent.iterdir()] == ["state.eimp"]


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_reader_that_went_away_is_no_error(state, pictures, as_json):
    read, write = os.pipe()
    os.close(read)
    words = [
        *COMMAND,
        "predict",
        str(pictures),
        *(str(pictures / "dots"),) * 3,
        "--state",
        str(state),
        *as_json,
    ]
    words.remove(str(pictures))
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def run_on_a_terminal(*words):
    """Run with standard error on a terminal; returns code, standard output, and what the terminal showed."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    out = process.communicate(timeout=60)[0]
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the last writer has closed the terminal
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.returncode, out, shown


def test_a_terminal_gets_a_progress_bar_unless_json_was_asked_for(state, pictures):
    code, out, shown = run_on_a_terminal("predict", pictures / "dots", "--state", state)
    assert code == 0
    assert b"8/8" in shown
    assert b"\x1b" not in out
    code, out, shown = run_on_a_terminal("predict", pictures / "dots", "--state", state, "--json")
    assert code == 0
    assert shown == b""
    assert len(json.loads(out)["predictions"]) == 8


def test_predict_loads_neither_rich_nor_what_the_demo_needs(state, pictures):
    program = (
        "import sys; from edge_imprint.cli import main; code = main(); "
        "print(code, *sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    words = [sys.executable, "-c", program, "predict", str(pictures / "dots/0.png"), "--state", str(state)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    code, *loaded = done.stderr.split()
    assert code == "0"
    assert not {"rich", "matplotlib", "sklearn", "skimage", "jinja2", "scipy", "torch"} & set(loaded)


def test_the_installed_command_is_this_one(tmp_path):
    script = Path(sys.executable).with_name("edge-imprint")
    if not script.exists():
        pytest.skip("edge-imprint is not installed here: pip install -e .")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("edge-imprint ")
