"""Operators put before and behind a .tflite file: a projection, and an input that takes bytes as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_imprint.errors import ExportError

pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT: pip install 'edge-imprint[export]'")
from flatmodel import Net, classifier
from flatrun import interpreter, noise, read, real, run

from edge_imprint_export.tflite_format.rewrite import append_linear, cut, uint8_input


def test_a_float_projection() -> None:
    content = cut(classifier()).content
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(5, 16)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    made = append_linear(content, weight, bias)
    tensor = noise(content)
    wanted = run(content, tensor) @ weight.T + bias
    assert np.allclose(run(made, tensor), wanted, atol=1e-5)
    assert cut(made).embedding == "embedding"  # and is not taken for a classifier
    assert append_linear(content, weight, bias) == made


@pytest.mark.parametrize("kernels", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"])
@pytest.mark.parametrize("name", ["vww_96_int8", "mobilenet_v1_0.25_128_quant"])
def test_an_integer_projection_is_right_to_half_a_step(shared_data: Path, name: str, kernels: str) -> None:
    content = cut(read(shared_data, name)).content
    tensor = noise(content)
    embedding = real(content, tensor, kernels)
    rng = np.random.default_rng(3)
    weight = (rng.normal(size=(24, len(embedding))) * rng.uniform(0.01, 1, (24, 1))).astype(np.float32)
    bias = rng.normal(size=24).astype(np.float32)
    weight[3], weight[4], bias[4] = 0, 0, 0
    wanted = weight.astype(np.float64) @ embedding + bias
    made = append_linear(content, weight, bias, (wanted.min(), wanted.max()))
    output = interpreter(made).get_output_details()[0]
    assert output["dtype"] == np.int8
    assert output["shape"].tolist() == [1, 24]
    step = output["quantization"][0]
    # Half a step from rounding the output, and 1/254 of each weight's row from rounding the weights.
    rounding = 0.5 * np.abs(weight).max(axis=1) / 127 * np.abs(embedding).sum()
    assert (np.abs(real(made, tensor, kernels) - wanted) <= 0.51 * step + 0.3 * rounding).all()


def test_a_projection_that_does_not_fit_is_refused(shared_data: Path) -> None:
    content = cut(classifier()).content
    integer = cut(read(shared_data, "vww_96_int8")).content
    good, bias = np.ones((2, 16), np.float32), np.ones(2, np.float32)
    for weight, shift in ((good[:, :15], bias), (good[0], bias), (good, bias[:1])):
        with pytest.raises(ExportError, match=r"must have weights \(n, 16\)"):
            append_linear(content, weight, shift)
    with pytest.raises(ExportError, match="must be finite"):
        append_linear(content, good * np.nan, bias)
    wide = np.ones((2, 256), np.float32)
    with pytest.raises(ExportError, match="needs the range of its output; got none"):
        append_linear(integer, wide, bias)
    for limits in ((0.0, 0.0), (0.0, np.inf), (np.nan, 1.0)):
        with pytest.raises(ExportError, match="finite and wider than nothing"):
            append_linear(integer, wide, bias, limits)


def test_an_int8_input_takes_uint8_with_the_same_numbers(shared_data: Path) -> None:
    content = cut(read(shared_data, "vww_96_int8")).content
    made = uint8_input(content)
    before, after = (interpreter(c).get_input_details()[0] for c in (content, made))
    assert after["dtype"] == np.uint8
    assert after["quantization"] == (before["quantization"][0], before["quantization"][1] + 128)
    pixels = noise(made)
    wanted = run(content, (pixels.astype(np.int16) - 128).astype(np.int8))
    assert np.array_equal(run(made, pixels), wanted)
    assert uint8_input(made) is made


def test_a_float_input_takes_uint8_as_it_is() -> None:
    content = cut(classifier()).content
    made = uint8_input(content)
    pixels = noise(made)
    assert np.array_equal(run(made, pixels), run(content, pixels.astype(np.float32)))
    net = Net()
    x = net.input("ids", (1, 4), "int32")
    y = net.operator("CAST", [x], net.tensor("y", (1, 4)), "CastOptions", inDataType=2, outDataType=0)
    with pytest.raises(ExportError, match="must be float32, uint8, int8 to be fed uint8; it is int32"):
        uint8_input(net.write(y))
