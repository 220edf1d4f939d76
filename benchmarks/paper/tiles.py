"""Pictures that are stored as mosaics, one file per class, cut into files: Tiny ImageNet as this project keeps it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

from PIL import Image

from edge_imprint.atomic import storage_errors
from edge_imprint.errors import UsageError

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
        if out.exists() and any(out.iterdir()):
            raise UsageError(f"--out must be a new folder; {out} holds something")
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
