"""The command line under test: in this process where that is enough, in a real one where it is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

SUPPORT = str(Path(__file__).resolve().parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)

COMMAND = [sys.executable, "-m", "edge_imprint.cli"]


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="pip install onnx")
    pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    from tiny import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny import write_pictures

    return write_pictures(tmp_path_factory.mktemp("pictures") / "all")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command in this process."""
    from edge_imprint.cli import main

    def call(*words: object) -> Done:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def process() -> Callable[..., Done]:
    """Run a command as its user does: in its own process."""

    def call(*words: object, **options: object) -> Done:
        command = [*COMMAND, *(word if isinstance(word, bytes) else str(word) for word in words)]
        done = subprocess.run(command, capture_output=True, timeout=60, **options)  # type: ignore[call-overload]
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory, bundle: Path, pictures: Path) -> bytes:
    """The bytes of a state file that knows three patterns from five pictures each."""
    from edge_imprint.learner import Learner

    learner = Learner(backbone=str(bundle), budget="16KB")
    for label in ("dots", "plain", "stripes"):
        learner.learn([pictures / label / f"{i}.png" for i in range(5)], label)
    path = tmp_path_factory.mktemp("taught") / "state.eimp"
    learner.save(path)
    return path.read_bytes()


@pytest.fixture
def state(tmp_path: Path, taught: bytes) -> Path:
    """A fresh copy of that state file, alone in its folder."""
    folder = tmp_path / "robot"
    folder.mkdir()
    (folder / "state.eimp").write_bytes(taught)
    return folder / "state.eimp"
