"""Frame to answer and fresh starts: that both sides do the same work, and what the results say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from benchmarks import suites
from benchmarks.__main__ import measure
from benchmarks.context import Context
from benchmarks.data import SharedEmbeddings, data_folder
from benchmarks.end_to_end import by_hand, networks
from benchmarks.end_to_end.ladder import check_same
from benchmarks.errors import BenchmarkError
from benchmarks.results import Result
from benchmarks.suites import cold_start
from edge_imprint.backbones import Preprocessor, load_backbone

FRAME = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
needs_data = pytest.mark.skipif(
    not (data_folder() / networks.CALIBRATION).is_file(),
    reason=f"{networks.CALIBRATION} is missing; set EDGE_IMPRINT_DATA to the folder that holds it",
)


def quick(suite: str) -> Result:
    console = Console(quiet=True)
    return measure(suite, Context(SharedEmbeddings(console), seeds=1, quick=True, console=console))


@pytest.mark.parametrize("network", networks.default(), ids=lambda network: network.kind)
def test_by_hand_gives_the_same_embedding(network: networks.Network) -> None:
    backbone = load_backbone(network.source, runtime=network.runtime, precision=network.precision, threads=1)
    spec = backbone.manifest.input
    assert spec is not None
    tensor = Preprocessor.of(spec, backbone.file)([FRAME])
    check_same(network, tensor, by_hand.Normalise(spec, backbone.file)(by_hand.resize(Image.fromarray(FRAME), spec)))
    output = by_hand.bare_runtime(backbone, network.path, 1)(tensor).ravel().astype(np.float32)
    stored = backbone.file.output_quantisation
    if stored is not None:
        output = (output - np.float32(stored.zero_point)) * np.float32(stored.scale)
    assert np.array_equal(output, backbone.infer(tensor)[0])


def test_other_work_by_hand_is_refused() -> None:
    network = networks.default()[0]
    tensor = np.zeros((1, 3, 2, 2), np.float32)
    with pytest.raises(BenchmarkError, match=r"differ by 0\.5"):
        check_same(network, tensor, tensor + np.float32(0.5))


@needs_data
def test_frame_to_answer_has_every_rung_and_every_target() -> None:
    result = quick("end_to_end")
    assert all(found.value > 0 for found in result.select("time"))
    files = {(found.params["network"], found.params["file"]) for found in result.select("resize_ratio")}
    assert len(files) == 2
    assert len(result.targets) == len(files) * (2 * 2 + 1)
    shown = suites.load("end_to_end").tables(result)
    assert set(shown) == {"end_to_end", "end_to_end.ladder"}
    assert all(title in text for title, _ in files for text in shown.values())


@needs_data
def test_fresh_starts_are_timed_by_stage_and_weighed() -> None:
    result = quick("cold_start")
    for program in cold_start.PROGRAMS:
        stages = [result.one("time", program=program, stage=stage).samples for stage in cold_start.STAGES]
        whole = result.one("time", program=program, stage="all").samples
        assert np.allclose(np.sum(stages, axis=0), whole)
        peak, resident = (result.one("memory", program=program, field=field).value for field in ("peak", "resident"))
        assert 10e6 < resident <= peak < 500e6
    assert "construct" in suites.load("cold_start").tables(result)["cold_start"]


def test_a_start_that_fails_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"start_bare\.py failed"):
        cold_start.start("start_bare.py", [tmp_path / "none.onnx"] * 3, tmp_path)
