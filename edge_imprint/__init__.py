"""Few-shot imprinting on the device: show a handful of shots, say the name, recognise it from then on.

>>> import edge_imprint as ei
>>> head = ei.ImprintHead(dim=4, budget="4KB")
>>> head.partial_fit([[1, 0, 0, 0.1], [0, 1, 0.1, 0]], ["mug", "plate"]).predict([[0.9, 0.1, 0, 0]]).tolist()
['mug']
"""

from __future__ import annotations

from edge_imprint import imprint
from edge_imprint.errors import EdgeImprintError
from edge_imprint.head import ImprintHead
from edge_imprint.learner import Learner, Prediction

__version__ = "0.1.0"
__all__ = ["EdgeImprintError", "ImprintHead", "Learner", "Prediction", "__version__", "imprint"]
