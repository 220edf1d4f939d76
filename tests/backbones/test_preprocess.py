"""Preprocessor: the numbers a network sees."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_imprint.backbones import InputSpec, Preprocessor

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(0, 256, (60, 80, 3)).astype(np.uint8)


def test_float_values_are_pillow_bilinear_minus_mean_times_scale() -> None:
    spec = InputSpec(24, 32, mean=(123.675, 116.28, 103.53), scale=(0.017, 0.018, 0.019))
    small = np.asarray(Image.fromarray(PICTURE).resize((32, 24), Image.Resampling.BILINEAR)).astype(np.float64)
    expected = (small - spec.mean) * spec.scale
    nhwc = Preprocessor(spec, layout="nhwc", dtype="float32")([PICTURE])
    nchw = Preprocessor(spec, layout="nchw", dtype="float32")([PICTURE, PICTURE])
    assert nhwc.shape == (1, 24, 32, 3)
    assert nhwc.dtype == np.float32
    assert np.abs(nhwc[0] - expected).max() < 1e-6  # float32 arithmetic on values up to 3
    assert nchw.shape == (2, 3, 24, 32)
    assert np.array_equal(nchw[1].transpose(1, 2, 0), nhwc[0])


def test_integer_inputs_are_rounded_and_saturated() -> None:
    spec = InputSpec(60, 80, mean=(128.0,) * 3, scale=(1 / 128,) * 3)
    raw = Preprocessor(spec, layout="nhwc", dtype="uint8", quantisation=(1 / 128, 128))
    assert np.array_equal(raw([PICTURE])[0], PICTURE)
    shifted = Preprocessor(spec, layout="nchw", dtype="int8", quantisation=(1 / 128, 0))
    assert np.array_equal(shifted([PICTURE])[0], (PICTURE.astype(int) - 128).transpose(2, 0, 1))
    coarse = Preprocessor(spec, layout="nhwc", dtype="int8", quantisation=(1 / 256, 3))
    expected = np.clip(np.rint((PICTURE.astype(np.float64) - 128) / 128 * 256) + 3, -128, 127)
    assert np.array_equal(coarse([PICTURE])[0], expected)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_each_channel_of_an_integer_input_has_its_own_table(layout: str) -> None:
    means = (100.0, 120.0, 140.0)
    spec = InputSpec(60, 80, mean=means, scale=(1.0, 0.5, 2.0))
    stored = Preprocessor(spec, layout=layout, dtype="int8")([PICTURE])[0]
    real = np.floor((PICTURE.astype(np.float64) - means) * (1.0, 0.5, 2.0) + 0.5)
    expected = np.clip(real, -128, 127)
    assert np.array_equal(stored if layout == "nhwc" else stored.transpose(1, 2, 0), expected)


def test_bgr_swaps_channels_before_mean_and_scale() -> None:
    spec = {"mean": (1.0, 2.0, 3.0), "scale": (1.0, 0.5, 0.25)}
    swapped = Preprocessor(InputSpec(60, 80, colour="bgr", **spec), layout="nhwc", dtype="float32")([PICTURE])
    straight = Preprocessor(InputSpec(60, 80, **spec), layout="nhwc", dtype="float32")
    assert np.array_equal(swapped, straight([PICTURE[..., ::-1]]))


@pytest.mark.parametrize("shape", [(60, 80), (80, 60), (61, 97), (32, 32), (7, 500), (500, 1)])
def test_centre_crop_takes_the_middle_square(shape: tuple[int, int]) -> None:
    """A picture whose value is its own coordinate shows which part of it is left."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    coordinates = np.stack([rows * 255 // max(shape), columns * 255 // max(shape), rows * 0], -1).astype(np.uint8)
    spec = InputSpec(24, 24, resize="shorter_side_then_centre_crop", resize_side=30, mean=(0.0,) * 3, scale=(1.0,) * 3)
    out = Preprocessor(spec, layout="nhwc", dtype="float32")([coordinates])[0]
    side = min(shape) * 24 / 30
    for axis in (0, 1):
        along = out[..., axis].mean(axis=1 - axis)
        middle, extent = (shape[axis] - 1) / 2, side * 255 / max(shape)
        assert abs(along.mean() - middle * 255 / max(shape)) < 1.5
        assert abs((along[-1] - along[0]) - extent * 23 / 24) < 3


def test_crop_agrees_with_resizing_first() -> None:
    smooth = np.asarray(Image.fromarray(PICTURE[:6, :8]).resize((400, 300), Image.Resampling.BICUBIC))
    spec = InputSpec(96, 96, resize="shorter_side_then_centre_crop", resize_side=120, mean=(0.0,) * 3, scale=(1.0,) * 3)
    ours = Preprocessor(spec, layout="nhwc", dtype="float32")([smooth])[0]
    theirs = Image.fromarray(smooth).resize((160, 120), Image.Resampling.BILINEAR).crop((32, 12, 128, 108))
    # Only the outermost pixels differ: their filter looks past the crop's edge, ours does not.
    difference = np.abs(ours - np.asarray(theirs).astype(np.float32))
    assert difference[2:-2, 2:-2].max() <= 1
    assert difference.max() <= 8


def test_path_bytes_image_and_array_give_the_same_tensor(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "JPEG", quality=80)
    path = tmp_path / "a.jpg"
    path.write_bytes(stream.getvalue())
    with Image.open(path) as image:
        array = np.asarray(image)
    for dtype in ("float32", "uint8"):
        preprocessor = Preprocessor(InputSpec(16, 16), layout="nchw", dtype=dtype)
        tensors = preprocessor([path, stream.getvalue(), Image.open(path), array])
        assert all(np.array_equal(tensor, tensors[0]) for tensor in tensors[1:])
        assert tensors.flags.c_contiguous


def test_nothing_and_the_smallest_picture() -> None:
    preprocessor = Preprocessor(InputSpec(5, 7), layout="nchw", dtype="float32")
    assert preprocessor([]).shape == (0, 3, 5, 7)
    assert np.ptp(preprocessor([np.full((1, 1, 3), 255, np.uint8)])) == 0


def test_an_int8_input_keeps_all_pixel_values_apart_where_every_one_is_a_tie() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    prepare = Preprocessor(InputSpec(16, 16), layout="nhwc", dtype="int8", quantisation=(1 / 127.5, 0))
    stored = prepare([np.repeat(grey[..., None], 3, axis=2)])[0, ..., 0].ravel()
    np.testing.assert_array_equal(stored, np.clip(np.arange(256) - 127, -128, 127))
