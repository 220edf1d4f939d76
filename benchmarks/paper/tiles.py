"""Two data sets as folders of pictures: Tiny ImageNet from mosaics, and scikit-learn's digits."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

from PIL import Image

from edge_imprint.atomic import storage_errors
from edge_imprint.demo.data import digit_scans
from edge_imprint.errors import MissingRuntimeError, UsageError

SIDE, ROWS, COLUMNS = 64, 20, 25


def unpack(archive: Path, out: Path, per_class: int) -> int:
    """Write the first `per_class` tiles of each mosaic as OUT/LABEL/NNN.png.

    Args:
        archive: a zip with one mosaic per label, LABEL.webp in any folder, tiles in rows from the top left.
        out: a folder that is empty or not there yet.
        per_class: at most 500.

    Returns:
        How many pictures were written.

    Raises:
        UsageError: not such a zip, or the folder holds something.
        StorageError: the zip cannot be read or the folder not written.
    """
    if per_class > ROWS * COLUMNS:
        raise UsageError(f"--per-class must be at most {ROWS * COLUMNS}; got {per_class}")
    with storage_errors("unpack", archive):
        _check_new(out)
        if not zipfile.is_zipfile(archive):
            raise UsageError(f"ZIP must be a zip file of mosaics; got {archive}")
        count = 0
        with zipfile.ZipFile(archive) as zipped:
            names = sorted(name for name in zipped.namelist() if name.endswith(".webp"))
            for name in names:
                mosaic = Image.open(io.BytesIO(zipped.read(name))).convert("RGB")
                if mosaic.size != (COLUMNS * SIDE, ROWS * SIDE):
                    raise UsageError(f"a mosaic must be {COLUMNS * SIDE} x {ROWS * SIDE}; {name} is {mosaic.size}")
                folder = out / PurePosixPath(name).stem
                folder.mkdir(parents=True)
                for place in range(per_class):
                    left, top = place % COLUMNS * SIDE, place // COLUMNS * SIDE
                    mosaic.crop((left, top, left + SIDE, top + SIDE)).save(folder / f"{place:03}.png")
                    count += 1
    if not count:
        raise UsageError(f"no LABEL.webp in {archive}")
    return count


def write_digits(out: Path) -> int:
    """Write scikit-learn's 1,797 handwritten digits, 8 x 8 scans shown at 96 x 96, as OUT/LABEL/NNNN.png.

    Args:
        out: a folder that is empty or not there yet.

    Returns:
        How many pictures were written.

    Raises:
        MissingRuntimeError: scikit-learn is not installed.
        UsageError: the folder holds something.
        StorageError: the folder cannot be written.
    """
    try:
        scans, labels = digit_scans()
    except ImportError as error:
        raise MissingRuntimeError(
            f"the digits come with scikit-learn; importing it failed: {error}. Install it with: pip install "
            "'edge-imprint[demo]'"
        ) from error
    with storage_errors("write", out):
        _check_new(out)
        for number, (scan, label) in enumerate(zip(scans, labels, strict=True)):
            (out / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(scan).save(out / label / f"{number:04}.png")
    return len(labels)


def _check_new(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"--out must be a new folder; {out} holds something")
