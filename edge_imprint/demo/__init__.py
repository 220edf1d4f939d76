"""The demo: the whole story on real pictures that installed packages carry, told in one HTML page."""

from __future__ import annotations

from edge_imprint.demo.run import STEPS, run_demo

__all__ = ["STEPS", "run_demo"]
