"""The paper on a device: streaming, int8, in one arena of fixed size."""

from edge_imprint.head.budget import parse_budget
from edge_imprint.head.head import ImprintHead
from edge_imprint.head.labels import Label
from edge_imprint.head.planning import Comparison, Plan, compare, plan
from edge_imprint.head.verdicts import Thresholds

__all__ = ["Comparison", "ImprintHead", "Label", "Plan", "Thresholds", "compare", "parse_budget", "plan"]
