"""The extension that is installed here was compiled from the sources that lie here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
C = ROOT / "firmware_bridge" / "c" / "src"
NOT_FOR_PYTHON = ("eimp_store", "eimp_frame", "eimp_rpc")


def test_the_extension_is_made_of_the_present_sources():
    native = pytest.importorskip("edge_imprint.head._native", reason="not built here: pip install -e . with a compiler")
    if not Path(native.__file__).is_relative_to(ROOT):
        pytest.skip("the extension is that of an installed wheel, not of this checkout")
    sources = sorted(file for file in C.glob("*.c") if not file.name.startswith(NOT_FOR_PYTHON))
    digest = hashlib.sha256()
    glue = [ROOT / "edge_imprint" / "head" / name for name in ("_nativemodule.c", "_nativeridge.c", "_native.h")]
    for path in [*sources, *sorted(C.glob("*.h")), *glue]:
        digest.update(path.read_bytes())
    assert digest.hexdigest() == native.SOURCE_DIGEST, "the C library has changed since: pip install -e . again"
