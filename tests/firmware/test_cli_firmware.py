"""`edge-imprint firmware`, as its user types it, with a board in the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.firmware import program
from edge_imprint import ImprintHead
from edge_imprint.cli import main
from edge_imprint_firmware import emulator

pytestmark = pytest.mark.skipif(bool(program.missing_tools()), reason=f"no boards here: {program.missing_tools()}")


class Talk(NamedTuple):
    url: str
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main(["firmware", "talk", "--port", self.url, *map(str, words)])
        return code, *self.capsys.readouterr()


@pytest.fixture(scope="module")
def board() -> Iterator[str]:
    with emulator.start("mps2-an386") as running:
        yield running.url


@pytest.fixture
def talk(board: str, capsys: pytest.CaptureFixture[str]) -> Talk:
    return Talk(board, capsys)


def test_teach_ask_and_move_a_snapshot(talk: Talk, tmp_path: Path) -> None:
    for number, label in enumerate(("mug", "cup")):
        np.save(tmp_path / f"{label}.npy", np.eye(64, dtype=np.float32)[number : number + 1])
        assert json.loads(talk("learn", label, tmp_path / f"{label}.npy", "--json")[1])["stored"] is True
    answer = json.loads(talk("predict", tmp_path / "cup.npy", "--json")[1])["predictions"][0]
    assert (answer["label"], answer["score"]) == ("cup", pytest.approx(1, abs=1e-3))
    assert answer["confidence"] is None
    assert talk("save", tmp_path / "s.eimp")[0] == 0
    assert talk("clear")[0] == 0
    assert json.loads(talk("load", tmp_path / "s.eimp", "--json")[1])["classes"] == ["mug", "cup"]
    code, _, err = talk("forget", "plate")
    assert (code, err.count("\n")) == (2, 1)
    assert "no class of that label was taught" in err
    np.save(tmp_path / "short.npy", np.ones((2, 63), np.float32))
    code, _, err = talk("learn", "mug", tmp_path / "short.npy")
    assert code == 2
    assert "must be (n, 64)" in err


def test_a_board_with_a_second_moment_says_how_sure_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--board", "mps2-an385", "--dim", "12", "--method", "ridge", "--budget", "8KB"]
    assert main(["firmware", "generate", *words, "--out", str(tmp_path / "fw"), "--json"]) == 0
    project = json.loads(capsys.readouterr().out)
    assert (project["method"], project["budget"]) == ("ridge", 8192)
    rows = np.random.default_rng(0).normal(size=(8, 12))
    head = ImprintHead(12, "8KB", method="ridge").partial_fit(rows, list("abababab"))
    head.save(tmp_path / "head.eimp")
    np.save(tmp_path / "asked.npy", rows[:1].astype(np.float32))
    with emulator.start("mps2-an385", 12, "8KB", method="ridge") as running:
        talk = Talk(running.url, capsys)
        assert talk("load", tmp_path / "head.eimp")[0] == 0
        answer = json.loads(talk("predict", tmp_path / "asked.npy", "--json")[1])["predictions"][0]
        told = talk("predict", tmp_path / "asked.npy")[1]
    sure = float(head.confidence(rows[:1])[0])
    assert (answer["label"], answer["confidence"]) == ("a", round(sure, 6))
    assert f"{100 * sure:.0f} %" in told


def test_stats_say_what_the_program_takes(talk: Talk) -> None:
    found = json.loads(talk("stats", "--json")[1])
    assert found["resources"]["stack_room"] > found["stack_bytes"] > 0
    assert "program" in talk("stats")[1]


def test_a_prompt_goes_on_after_an_error_and_says_so_at_the_end(board: str) -> None:
    command = [sys.executable, "-m", "edge_imprint.cli", "firmware", "talk", "--port", board]
    done = subprocess.run(
        command, input="nonsense\ninfo --json\n", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "No such command 'nonsense'" in done.stderr
    assert json.loads(done.stdout)["name"] == "mps2-an386"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["talk", "--port", "/dev/no-such-port", "info"], "cannot open the port /dev/no-such-port"),
        (["talk", "--port", "loop://", "--timeout", "0.5", "info"], "loop:// must answer within 0.5 s"),
        (["generate", "--board", "nope", "--out", "x"], "--board must be one of"),
        (["generate", "--board", "microbit", "--out", "x", "--budget", "100KB"], "Give budget="),
        (["generate", "--board", "custom", "--out", "x"], "needs --core"),
        (["run", "--port", "99999"], "from 0 to 65535"),
        (["run", "--board", "microbit", "--budget", "100KB"], "Error: a head must fit into the 16384 bytes of RAM"),
        (["run", "--flash", __file__], "holds something else"),
    ],
)
def test_bad_input_gets_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = Path(__file__).read_bytes()
    assert main(["firmware", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert Path(__file__).read_bytes() == before
