"""`edge-imprint profile --port`, as its user types it, with a board in the emulator and with none."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.firmware import program
from edge_imprint.cli import main
from edge_imprint_firmware import Device, boards, build, emulator
from edge_imprint_firmware.generate import generate
from edge_imprint_firmware.options import HeadOptions
from edge_imprint_firmware.profile import STAGES

pytestmark = pytest.mark.skipif(bool(program.missing_tools()), reason=f"no boards here: {program.missing_tools()}")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def board() -> Iterator[emulator.Emulator]:
    with emulator.start("mps2-an386") as running:
        yield running


def test_a_profile_in_json_and_for_people(board: emulator.Emulator, capsys: Capture) -> None:
    with Device.open(board.url) as device:
        device.partial_fit(np.eye(64, dtype=np.float32)[:3], ["mug", "cup", "plate"])
    assert main(["profile", "--port", board.url, "--repeats", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "edge-imprint/device-profile/1"
    assert found["origin"].startswith("emulated: instruction counts, never cycles")
    assert list(found["stages"]) == list(STAGES)
    for name in ("predict", "learn", "undo"):
        counts = found["stages"][name]["counts"]
        assert len(counts["samples"]) == 20
        assert min(counts["samples"]) <= counts["p50"] <= counts["p90"] <= counts["p99"] <= max(counts["samples"])
        assert counts["jitter"] == pytest.approx(counts["p99"] - counts["p50"])
    assert found["stages"]["save"]["counts"] is None
    assert found["head"] == {**found["head"], "classes": 3, "shots": 3, "made_up": False}
    assert all(entry["bytes"] > 0 for entry in found["bytes"].values())
    assert (found["unchanged"], found["broken"]) == (True, "")
    assert main(["profile", "--port", board.url, "--repeats", "20"]) == 0
    text = capsys.readouterr().out
    for words in ("as it was, byte for byte", "emulated: instruction counts", "stack, used at most", "not available:"):
        assert words in text


def test_budgets_files_and_a_picture(board: emulator.Emulator, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'edge-imprint[demo]'")
    asked = ["profile", "--port", board.url, "--repeats", "20"]
    out, plot = tmp_path / "a.json", tmp_path / "a.svg"
    assert main([*asked, "--budget-kb", "20", "--json", "--out", str(out), "--plot", str(plot)]) == 3
    printed, err = capsys.readouterr()
    said = json.loads(printed)
    [sentence] = said.pop("exceeded")
    ram = said["bytes"]["all variables, arena included"]["bytes"] + said["bytes"]["stack, used at most"]["bytes"]
    assert sentence == f"all variables and the deepest stack take {ram:,} bytes of RAM; the budget is 20,480 bytes"
    assert err == f"Over budget: {sentence}\n"
    assert said == json.loads(out.read_text())
    assert f"{said['stages']['learn']['counts']['p50']:,.0f} (p99 " in plot.read_text()
    assert main([*asked, "--budget-mb", "1"]) == 0
    assert main(["profile", "--compare", str(out), str(out)]) == 0
    assert "learn p99" in capsys.readouterr().out


def test_milliseconds_of_an_emulated_board_are_refused_before_it_measures(
    board: emulator.Emulator, capsys: Capture
) -> None:
    assert main(["profile", "--port", board.url, "--repeats", "1000000", "--budget-ms", "5"]) == 2
    out, err = capsys.readouterr()
    assert "counts instructions, which say nothing of milliseconds. Measure the real part" in err
    assert (out, err.count("\n")) == ("", 1)


def test_milliseconds_of_a_board_that_counts_cycles(tmp_path: Path, capsys: Capture) -> None:
    """The program of a board on a desk: it does not ask for an emulator, and takes the timer's ticks for cycles."""
    known, project = boards.find("mps2-an386"), tmp_path / "project"
    generate(project, known, HeadOptions(64, 8192))
    config = project / "config" / "port_config.h"
    config.write_text(config.read_text().replace("EIMP_PORT_SEMIHOSTING 1", "EIMP_PORT_SEMIHOSTING 0"))
    build.make(project, build.compiler())
    with emulator.Emulator(known, project / "firmware.elf", None, 0) as running:
        asked = ["profile", "--port", running.url, "--repeats", "20", "--json"]
        assert main([*asked, "--budget-ms", "0.01"]) == 3
        found = json.loads(capsys.readouterr().out)
        assert (found["counter_unit"], found["counter_hz"]) == ("cycles", 25_000_000)
        ms = found["stages"]["predict"]["counts"]["p99"] / 25_000
        assert f"at most {ms:.3f} ms; the budget is 0.01 ms" in found["exceeded"][0]
        assert main([*asked, "--budget-ms", "1000", "--budget-kb", "64"]) == 0
        assert json.loads(capsys.readouterr().out)["exceeded"] == []


def test_a_board_that_dies_in_the_middle_loses_nothing(board: emulator.Emulator, capsys: Capture) -> None:
    timer = threading.Timer(1.0, os.kill, (board.pid, signal.SIGKILL))
    timer.start()
    assert main(["profile", "--port", board.url, "--repeats", "5000", "--json"]) == 2
    timer.join()
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert "broke" in found["broken"]
    assert err == f"Error: {found['broken']}. What was measured until then is shown\n"
    assert found["stages"]["round trip"]["round_trip_us"]["samples"]
    assert found["stages"]["forget"]["missing"] == found["broken"]
    assert found["bytes"]["arena"]["bytes"] > 0
    assert found["bytes"]["stack, used at most"]["missing"].startswith("not available: ")
    assert found["unchanged"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "/dev/no-such-port"], "cannot open the port /dev/no-such-port"),
        (["--port", "socket://127.0.0.1:1"], "cannot open the port socket://127.0.0.1:1"),
        (["--port", "loop://", "--timeout", "0.5"], "loop:// must answer within 0.5 s"),
    ],
)
def test_no_device_is_one_line(words: list[str], said: str, capsys: Capture) -> None:
    assert main(["profile", *words]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)


def test_too_short_a_run_says_the_length_that_would_do(board: emulator.Emulator, capsys: Capture) -> None:
    assert main(["profile", "--port", board.url, "--repeats", "5"]) == 2
    assert "Give 20 or more" in capsys.readouterr().err


def test_without_the_packages_of_a_port_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    for name in [name for name in sys.modules if name.startswith("edge_imprint_firmware")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "serial", None)
    assert main(["profile", "--port", "/dev/ttyACM0"]) == 2
    assert "pip install 'edge-imprint[firmware]'" in capsys.readouterr().err
