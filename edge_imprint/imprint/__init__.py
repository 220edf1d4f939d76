"""The paper, batch and float32: the reference that the head on the device is measured against."""

from __future__ import annotations

from edge_imprint.imprint.classifier import PRESETS, ImprintClassifier
from edge_imprint.imprint.collapse import nc1, vci

__all__ = ["PRESETS", "ImprintClassifier", "nc1", "vci"]
