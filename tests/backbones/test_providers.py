"""Providers that this build offers and this machine cannot start: said, and never on standard output.

There is no GPU here. What is substituted is the list of providers that a build offers and a session says it runs on,
and what onnxruntime does where a library is missing; the network runs in a real session on the CPU.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_imprint.backbones import load_backbone, onnx
from edge_imprint.cli import main
from edge_imprint.errors import BundleError, ProviderWarning, ValueRangeError

ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install edge-imprint[onnx]")

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
PICTURE = np.random.default_rng(7).integers(0, 256, (50, 70, 3)).astype(np.uint8)
Machine = Callable[..., list[list[str]]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which only `starting` start. What is in `loud` raises, as TensorRT does; the rest is left out in
    silence, as CUDA is. Returns what sessions are asked for, in order."""

    def install(starting: Sequence[str], loud: Sequence[str] = (), heeds_argument: bool = True) -> list[list[str]]:
        asked: list[list[str]] = []

        class Session(ort.InferenceSession):  # type: ignore[misc, name-defined]
            def __init__(self, content: bytes, options: Any, providers: list[str], **more: Any) -> None:
                asked.append(providers)
                # What 1.23 reads, and what 1.16 does; both then go on by themselves, and print that they do.
                self._enable_fallback = not heeds_argument or bool(more.get("enable_fallback", 1))
                refused = [name for name in providers if name in loud]
                if refused and not self._enable_fallback:
                    raise RuntimeError(f"{refused[0]}:\nlibcublas.so cannot be opened")
                if refused:
                    print("EP Error, falling back")
                    providers = [CPU]
                super().__init__(content, options, providers=[CPU])
                self.said = [*(name for name in providers if name in starting and name != CPU), CPU]

            def get_providers(self) -> list[str]:
                return self.said

        fake = SimpleNamespace(
            get_available_providers=lambda: [TENSORRT, CUDA, CPU],
            SessionOptions=ort.SessionOptions,
            InferenceSession=Session,
            __version__=ort.__version__,
        )
        monkeypatch.setattr(onnx, "_import_onnxruntime", lambda: fake)
        return asked

    return install


@pytest.mark.parametrize(
    ("starting", "loud", "wanted", "says", "runs"),
    [
        ([CUDA], [], "tensorrt,cuda,cpu", f"{TENSORRT} did not start .*; {CUDA} runs instead. Install what it", "cuda"),
        (
            [CUDA],
            [TENSORRT],
            "tensorrt,cuda,cpu",
            f"{CUDA} runs instead.*says: {TENSORRT}: libcublas.so cannot",
            "cuda",
        ),
        ([], [TENSORRT], "tensorrt,cuda,cpu", f"{TENSORRT} and {CUDA} did not start .*; {CPU} runs instead", "cpu"),
        (
            [],
            [],
            "cuda,cpu",
            f"{CUDA} did not start on this machine; {CPU} runs instead.*EDGE_IMPRINT_PROVIDERS",
            "cpu",
        ),
        ([TENSORRT], [], "tensorrt,cuda", f"{CUDA} did not start .*; {TENSORRT} runs instead", "tensorrt"),
    ],
)
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_one_that_does_not_start_is_a_warning(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    starting: list[str], loud: list[str], wanted: str, says: str, runs: str, by: str,
) -> None:  # fmt: skip
    embedding = load_backbone().embed([PICTURE])
    machine(starting, loud)
    if by == "environment":
        monkeypatch.setenv(onnx.VARIABLE, wanted)
    with pytest.warns(ProviderWarning, match=says) as caught:
        backbone = load_backbone(providers=wanted.split(",") if by == "argument" else None)
    assert len(caught) == 1
    assert caught[0].filename == __file__  # it points to who asked
    assert backbone.info()["runtime"] == f"onnxruntime {runs}"
    assert np.array_equal(backbone.embed([PICTURE]), embedding)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("loud", [[], [CUDA]])
def test_none_that_starts_is_an_error(machine: Machine, loud: list[str]) -> None:
    machine([], loud)
    with pytest.raises(ValueRangeError, match=f"{CUDA} did not start .* fell back to {CPU}") as refusal:
        load_backbone(providers="cuda")
    assert ("libcublas" in str(refusal.value)) == bool(loud)


def test_an_onnxruntime_that_goes_on_by_itself_is_kept_from_it(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = machine([CUDA], [TENSORRT], heeds_argument=False)
    with pytest.warns(ProviderWarning, match=f"{TENSORRT} did not start .*; {CUDA} runs instead"):
        load_backbone(providers=["tensorrt", "cuda", "cpu"])
    assert asked == [[TENSORRT, CUDA, CPU], [CUDA, CPU]]
    assert capsys.readouterr().out == ""


def test_what_starts_is_no_warning(machine: Machine) -> None:
    asked = machine([TENSORRT, CUDA])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for wanted in (["tensorrt", "cuda", "cpu"], ["cuda"], "cpu", None):
            load_backbone(providers=wanted)
    assert asked == [[TENSORRT, CUDA, CPU], [CUDA], [CPU], [CPU]]


def test_a_broken_file_is_not_the_providers_fault(machine: Machine, tmp_path: Any) -> None:
    asked = machine([CUDA])
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(BundleError, match="must be whole"):
        load_backbone(tmp_path / "a.onnx", providers=["cuda"])
    assert asked == [[CUDA], [CPU]]


@pytest.mark.filterwarnings("default")
def test_a_command_says_it_in_one_line(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine([], [TENSORRT])
    monkeypatch.setenv(onnx.VARIABLE, "tensorrt,cuda,cpu")
    assert main(["info", str(onnx.__file__).replace("onnx.py", "default"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["runtime"] == "onnxruntime cpu"
    assert err.startswith(f"Warning: execution providers {TENSORRT} and {CUDA} did not start on this machine; {CPU} ")
    assert err.count("\n") == 1
