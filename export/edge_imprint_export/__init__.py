"""Any frozen backbone to a checked bundle: ONNX and TFLite, float32 and int8.

The only place where torch is imported, and only when a source or a format needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_imprint_export.export import export_backbone
    from edge_imprint_export.options import FORMATS, InputChanges
    from edge_imprint_export.report.data import Report

__all__ = ["FORMATS", "InputChanges", "Report", "export_backbone"]

_HOMES = {"FORMATS": "options", "InputChanges": "options", "Report": "report.data", "export_backbone": "export"}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the process that measures a file imports a part of this package, and should stay small.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
