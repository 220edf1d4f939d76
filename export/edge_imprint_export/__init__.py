"""Any frozen backbone to a checked bundle: ONNX and TFLite, float32 and int8.

The only place where torch is imported, and only when a source or a format needs it.
"""

from edge_imprint_export.export import export_backbone
from edge_imprint_export.options import FORMATS, InputChanges
from edge_imprint_export.report.data import Report

__all__ = ["FORMATS", "InputChanges", "Report", "export_backbone"]
