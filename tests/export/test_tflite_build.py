"""From a torch module to a float32 .tflite file."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_cnn
from numpy.typing import NDArray

from edge_imprint.backbones import InputSpec
from edge_imprint.backbones.flatbuffer import read_graph
from edge_imprint.backbones.tflite import TfliteRunner
from edge_imprint.errors import ExportError
from edge_imprint_export.tflite_format.quiet import quiet

SPEC = InputSpec(height=small_cnn.SIDE, width=small_cnn.SIDE)


@pytest.fixture(scope="module")
def build() -> Any:
    pytest.importorskip("litert_torch", reason="needs the converter: pip install 'edge-imprint[export]'")
    from edge_imprint_export.tflite_format.build import torch_to_tflite

    return torch_to_tflite


@pytest.fixture(scope="module")
def converted(build: Any) -> bytes:
    return bytes(build(small_cnn.trained_cnn(), SPEC))


def run(content: bytes, values: NDArray[Any]) -> NDArray[np.float32]:
    runner = TfliteRunner(content, "x.tflite", threads=1)
    return np.concatenate([runner(value[None]) for value in values])


def judged() -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    values, _ = small_cnn.pictures(12, seed=5)
    prepared = small_cnn.prepared(values)
    return values, prepared, small_cnn.embed(small_cnn.trained_cnn(), prepared)


def test_the_same_embeddings_as_torch(converted: bytes) -> None:
    _, prepared, wanted = judged()
    assert np.abs(run(converted, prepared) - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_the_graph_is_as_small_as_it_can_be(converted: bytes) -> None:
    """No transposes, batch norms folded, activations fused, and names that say what is what."""
    graph = read_graph(converted, "x")
    (source,), (target,) = graph.inputs, graph.outputs
    assert (graph.tensors[source].name, graph.tensors[source].shape) == ("picture", (1, 32, 32, 3))
    assert (graph.tensors[target].name, graph.tensors[target].shape) == ("embedding", (1, small_cnn.DIM))
    names = [operator.name for operator in graph.operators]
    # 3 + 3 x 3 convolutions, three additions, one pool, one linear layer; symmetric padding at stride 2 is a PAD.
    assert len(names) - names.count("#34") == 12 + 3 + 1 + 1
    assert b"torch" not in converted
    assert str(Path(__file__).parent).encode() not in converted


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(converted: bytes, repository: Path) -> None:
    code = (
        "import hashlib, small_cnn; from edge_imprint.backbones import InputSpec;"
        "from edge_imprint_export.tflite_format.build import torch_to_tflite;"
        "print(hashlib.sha256(torch_to_tflite(small_cnn.trained_cnn(), InputSpec(height=32, width=32))).hexdigest())"
    )
    folders = (repository, repository / "export", repository / "tests" / "support")
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    # Nothing but the answer: no progress, no log of the compiler, no warning.
    assert (done.stdout.strip(), done.stderr) == (hashlib.sha256(converted).hexdigest(), "")


def test_nothing_reaches_the_terminal_and_logging_is_as_before(build: Any, capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger().handlers)
    module = small_cnn.trained_cnn()
    build(module, SPEC)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
    assert not module.training


@pytest.mark.parametrize(("colour", "fold"), [("rgb", True), ("bgr", "raw_float")])
def test_preprocessing_in_the_graph(build: Any, colour: str, fold: Any) -> None:
    """A colour order and a rule per channel, on raw pixels as uint8 and as float32."""
    rule = InputSpec(height=32, width=32, colour=colour, mean=(123.675, 116.28, 103.53), scale=(1 / 58, 1 / 57, 1 / 60))
    values = judged()[0]
    ordered = values if colour == "rgb" else values[..., ::-1]
    prepared = ((ordered - np.array(rule.mean)) * np.array(rule.scale)).astype(np.float32)
    wanted = small_cnn.embed(small_cnn.trained_cnn(), prepared)
    fed = values if fold is True else values.astype(np.float32)
    content = build(small_cnn.trained_cnn(), rule, fold=fold)
    graph = read_graph(content, "x")
    assert graph.tensors[graph.inputs[0]].name == "picture"
    assert graph.tensors[graph.inputs[0]].dtype == fed.dtype.name
    assert np.abs(run(content, fed) - wanted).max() <= 1e-4 * np.abs(wanted).max()


def modules() -> dict[str, Any]:
    import torch
    from torch import nn

    def of(function: Any) -> nn.Module:
        class Module(nn.Module):
            def forward(self, x: torch.Tensor) -> Any:
                return function(x)

        return Module()

    broken = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        broken[0].weight[1, 2, 0, 0] = float("nan")
    return {
        "erfinv": of(lambda x: torch.erfinv(x.mean((2, 3)) / 9)),
        "sort": of(lambda x: torch.sort(x.mean((2, 3)), 1)[0]),
        "choice": of(lambda x: x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))),
        "map": of(lambda x: x[:, :, ::2, ::2]),
        "two": of(lambda x: (x.mean((2, 3)), x.mean((2, 3)))),
        "shape": of(lambda x: x.reshape(1, 5)),
        "nan": broken,
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("erfinv", r"built into TFLite; the module uses aten\.erfinv"),
        ("sort", r"built into TFLite; the module uses STABLEHLO_SORT"),
        ("choice", r"the converter refuses the module.*control flow"),
        ("map", r"gives torch\.float32 \(1, 3, 16, 16\)"),
        ("two", r"gives tuple"),
        ("shape", r"fails on a batch of 1: shape '\[1, 5\]'"),
        ("nan", r"parameter '0\.weight' holds NaN"),
    ],
)
def test_a_module_that_cannot_be_had(build: Any, name: str, message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        build(modules()[name], SPEC)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "Could not guard on data-dependent expression Eq(u0, 1) (unhinted: Eq(u0, 1)).  (Size-like: none)\nmore",
        "Data-dependent branching\n  Explanation: the branch depends on a tensor's value",
        "symbolically traced variables cannot be used as inputs to control flow",
    ],
)
def test_a_branch_is_called_that_in_the_words_of_every_tracer(said: str) -> None:
    """torch has several tracers; each has its own words for it."""
    pytest.importorskip("litert_torch", reason="needs the converter: pip install 'edge-imprint[export]'")
    from edge_imprint_export.tflite_format.build import _refused

    message = str(_refused(RuntimeError(said), ""))
    assert "the module: control flow that depends on the picture: " + said[:24] in message
    assert "Replace what it names in the module" in message
    assert "unhinted" not in message
    assert "\n" not in message


def test_quiet_takes_what_is_said_and_gives_back_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    import warnings

    with quiet() as said:
        os.write(1, b"from C, out\n")
        os.write(2, b"from C, err\n")
        print("from Python")
        warnings.warn("deprecated", stacklevel=1)
        logging.warning("logged")
        heard = said.text()
    assert capfd.readouterr() == ("", "")
    assert all(part in heard for part in ("from C, out", "from C, err", "from Python"))
    print("after")
    os.write(2, b"after\n")
    assert capfd.readouterr() == ("after\n", "after\n")
    with pytest.raises(KeyError), quiet():
        raise KeyError
