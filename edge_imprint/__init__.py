"""Few-shot imprinting on the device: show a handful of shots, say the name, recognise it from then on.

>>> import edge_imprint as ei
>>> head = ei.ImprintHead(dim=4, budget="4KB")
>>> head.partial_fit([[1, 0, 0, 0.1], [0, 1, 0.1, 0]], ["mug", "plate"]).predict([[0.9, 0.1, 0, 0]]).tolist()
['mug']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_imprint import imprint
    from edge_imprint.errors import EdgeImprintError
    from edge_imprint.head import ImprintHead
    from edge_imprint.learner import Learner, Prediction

__version__ = "0.1.0"
__all__ = ["EdgeImprintError", "ImprintHead", "Learner", "Prediction", "__version__", "imprint"]

_HOMES = {"EdgeImprintError": "errors", "ImprintHead": "head", "Learner": "learner", "Prediction": "learner"}
_PARTS = ("backbones", "errors", "head", "imprint", "learner", "snapshot")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import at the first use: the command line begins here too, and must hear Ctrl-C while numpy loads."""
        from importlib import import_module

        if name in _HOMES:
            globals()[name] = found = getattr(import_module(f"edge_imprint.{_HOMES[name]}"), name)
            return found
        if name in _PARTS:
            return import_module(f"edge_imprint.{name}")
        raise AttributeError(f"module 'edge_imprint' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_PARTS})
