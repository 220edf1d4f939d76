"""load_image: what counts as a picture, and what every other thing is told."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_imprint.backbones import load_image
from edge_imprint.backbones.image import MAX_PIXELS
from edge_imprint.errors import ImageError


def picture(height: int = 12, width: int = 20) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_every_way_of_giving_a_picture_gives_the_same_pixels(tmp_path: Path, kind: str) -> None:
    array = picture()
    content = encoded(Image.fromarray(array), kind)
    path = tmp_path / f"ünïcode name.{kind.lower()}"
    path.write_bytes(content)
    for given in (
        array,
        Image.fromarray(array),
        content,
        bytearray(content),
        path,
        str(path),
        Image.open(path),
    ):
        assert np.array_equal(np.asarray(load_image(given)), array)


def test_jpeg_is_decoded_at_full_size_so_that_path_and_array_agree(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.fromarray(picture(600, 800)).save(path, quality=90)
    decoded = np.asarray(Image.open(path))
    assert np.array_equal(np.asarray(load_image(path)), decoded)
    assert np.array_equal(np.asarray(load_image(decoded)), decoded)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied_exactly_once(orientation: int, kind: str) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = (255, 0, 0)
    upright[8:, 16:] = (0, 0, 255)
    # What a camera held that way stores: the inverse of the turn that the tag asks for.
    stored = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: x.swapaxes(0, 1)[::-1],
        7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
        8: lambda x: x.swapaxes(0, 1)[:, ::-1],
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    content = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    once = load_image(content)
    assert once.size == (32, 16)
    assert np.abs(np.asarray(once).astype(int) - upright).max() < 12  # JPEG loss
    assert np.array_equal(np.asarray(load_image(once)), np.asarray(once)), "loading again must not turn it again"


def test_damaged_exif_does_no_harm() -> None:
    content = encoded(Image.fromarray(picture()), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff garbage")
    assert load_image(content).size == (20, 12)


def test_modes_become_rgb() -> None:
    grey = Image.fromarray(picture()[..., 0])
    assert np.array_equal(np.asarray(load_image(grey)), np.repeat(np.asarray(grey)[..., None], 3, axis=2))
    assert np.asarray(load_image(Image.new("1", (2, 2), 1))).min() == 255
    assert load_image(encoded(Image.fromarray(picture()).convert("CMYK"), "JPEG")).mode == "RGB"
    assert load_image(Image.fromarray(picture()).convert("P")).mode == "RGB"
    assert load_image(Image.fromarray(picture()).convert("YCbCr")).mode == "RGB"


def test_transparent_pixels_are_laid_over_white() -> None:
    half = Image.new("RGBA", (1, 1), (255, 0, 0, 128))
    assert np.asarray(load_image(half))[0, 0].tolist() == [255, 127, 127]
    hidden = Image.new("RGBA", (1, 1), (9, 9, 9, 0))  # the colour under full transparency must not show
    for image in (hidden, Image.new("LA", (1, 1), (9, 0))):
        assert np.asarray(load_image(image))[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for transparency in (0, b"\x00\xff"):
        loaded = load_image(encoded(palette, "PNG", transparency=transparency))
        assert np.asarray(loaded)[0].tolist() == [[255, 255, 255], [40, 50, 60]]
    keyed = Image.new("RGB", (2, 1), (1, 2, 3))
    keyed.putpixel((1, 0), (4, 5, 6))
    loaded = load_image(encoded(keyed, "PNG", transparency=(1, 2, 3)))
    assert np.asarray(loaded)[0].tolist() == [[255, 255, 255], [4, 5, 6]]


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        loaded = load_image(encoded(Image.fromarray(values), kind))
        assert np.asarray(loaded)[0, :, 0].tolist() == [0, 1, 128, 255]
    with pytest.raises(ImageError, match=r"0 to 65535.*70000"):
        load_image(Image.fromarray(np.array([[70000]], np.int32)))


@pytest.mark.parametrize(
    ("array", "way_out"),
    [
        (np.zeros((4, 4, 3), np.float32), r"x \* 255"),
        (np.zeros((4, 4, 3), np.int64), r"astype\(np\.uint8\)"),
        (np.zeros((4, 4), np.uint8), r"np\.stack"),
        (np.zeros((4, 4, 1), np.uint8), r"np\.repeat"),
        (np.zeros((4, 4, 4), np.uint8), r"\[\.\.\., :3\]"),
        (np.zeros((3, 4, 4), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"list\(x\)"),
        (np.zeros((0, 4, 3), np.uint8), "at least 1 x 1"),
        (np.zeros((), np.uint8), r"\(H, W, 3\)"),
        (np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), (9000, 9000, 3), (0, 0, 1)), str(MAX_PIXELS)),
    ],
)
def test_wrong_arrays_are_told_the_way_out(array: np.ndarray, way_out: str) -> None:
    with pytest.raises(ImageError, match=way_out):
        load_image(array)


@pytest.mark.parametrize("thing", [None, 7, 2.5, object(), ["a.jpg"], {"a": 1}])
def test_other_things_are_judged(thing: object) -> None:
    with pytest.raises(ImageError, match="a picture must be a path"):
        load_image(thing)  # type: ignore[arg-type]


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("this is not a picture\n" * 50)
    (tmp_path / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, reason in [
        ("empty.jpg", "0 bytes"),
        ("text.jpg", "none of them"),
        ("script.eps", "none of them"),
        ("pipe.jpg", "not a regular file"),
        ("missing.jpg", "No such file"),
        (".", "a folder"),
        ("x" * 300, "too long"),
        ("nul\0byte", "null"),
    ]:
        with pytest.raises(ImageError, match=reason) as caught:
            load_image(str(tmp_path / name))
        if "\0" not in name and len(name) < 100:
            assert name in str(caught.value)
    with pytest.raises(ImageError, match="0 bytes"):
        load_image(b"")
    with pytest.raises(ImageError):
        load_image("")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file; run as another user")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(Image.fromarray(picture()), "PNG"))
    path.chmod(0)
    with pytest.raises(ImageError, match=r"secret\.png: Permission denied"):
        load_image(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_a_file_cut_anywhere_is_judged_or_whole(kind: str, tmp_path: Path) -> None:
    """A cut may fall behind the last pixel (end marks, padding); then, and only then, the picture is the
    whole one."""
    source = Image.fromarray(picture(40, 40))
    content = encoded(source, kind)
    whole = np.asarray(load_image(content))
    path = tmp_path / "cut.bin"
    judged = 0
    for length in {*range(0, len(content), 37), *range(min(64, len(content)))}:
        path.write_bytes(content[:length])
        try:
            loaded = np.asarray(load_image(path))
        except ImageError as error:
            judged += "cut.bin" in str(error)
            continue
        assert length > 0.9 * len(content)
        assert np.array_equal(loaded, whole)
        judged += 1
    assert judged == len({*range(0, len(content), 37), *range(min(64, len(content)))})


def test_flipped_bytes_give_a_picture_or_an_image_error() -> None:
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        content = encoded(Image.fromarray(picture(24, 24)), kind)
        for _ in range(150):
            damaged = bytearray(content)
            for at in rng.integers(0, min(len(content), 200), 2):
                damaged[at] = rng.integers(256)
            with contextlib.suppress(ImageError):
                assert load_image(bytes(damaged)).mode == "RGB"


def test_animations_are_judged_and_single_frames_are_not() -> None:
    frames = [Image.fromarray(picture() // (i + 1)) for i in range(3)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match="3 frames"):
            load_image(content)
        assert load_image(encoded(frames[0], kind)).size == (20, 12)


def test_a_phones_multi_picture_jpeg_gives_its_main_picture() -> None:
    main, preview = Image.fromarray(picture(40, 60)), Image.fromarray(picture(10, 15))
    content = encoded(main, "MPO", save_all=True, append_images=[preview])
    assert Image.open(io.BytesIO(content)).n_frames == 2
    assert load_image(content).size == (60, 40)


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8193, 8192), (10000, 10000), (30000, 30000), (2**31 - 1, 2**31 - 1)])
def test_huge_pictures_are_judged_from_their_header(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=str(MAX_PIXELS)):
        load_image(png_header(*size))


def test_closed_and_float_images() -> None:
    image = Image.open(io.BytesIO(encoded(Image.fromarray(picture()), "PNG")))
    image.close()
    with pytest.raises(ImageError):
        load_image(image)
    with pytest.raises(ImageError, match="mode F"):
        load_image(Image.new("F", (3, 3)))
    with pytest.raises(ImageError, match="0 x 3"):
        load_image(Image.new("RGB", (0, 3)))
