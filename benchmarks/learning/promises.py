"""What the project promises of learning, judged cell by cell and on average."""

from __future__ import annotations

from benchmarks.data import BACKBONES, title_of
from benchmarks.results import Measurement, Result

ABOVE_BEST, BELOW_BEST = 1.0, 0.5
BELOW_LOGISTIC = 0.5
BELOW_SIMPLE = 0.3
CALIBRATION = 5.0
FEW = ("1", "2", "5")
TOO_FEW_TO_CALIBRATE = ("1", "2")


def promise(result: Result) -> None:
    """Add every promise that this run can judge."""
    gain = result.one("average_auto_minus_best", shots="every").value
    rule = f"auto on average at least {ABOVE_BEST} points above the best of mean, k-means and oracle in each cell"
    result.promise("learning: all cells", rule, gain, "points", gain >= ABOVE_BEST)
    _each(result, "auto_minus_best", f"auto in no cell more than {BELOW_BEST} points below that best", -BELOW_BEST)
    gap = result.one("average_auto_minus_logistic", shots="every").value
    rule = f"auto on average at most {BELOW_LOGISTIC} points below cross-validated logistic regression"
    result.promise("learning: all cells", rule, gap, "points", gap >= -BELOW_LOGISTIC)
    for shots in FEW:
        for found in result.select("average_auto_minus_logistic", shots=shots):
            rule = "auto on average above cross-validated logistic regression at 1 to 5 shots"
            result.promise(f"learning: {shots} shots", rule, found.value, "points", found.value > 0)
    _each(result, "proxies_minus_simple", f"proxies at most {BELOW_SIMPLE} points below mean and k-means in each cell",
          -BELOW_SIMPLE)  # fmt: skip
    for found in result.select("calibration_error_pooled", method="auto"):
        if found.params["shots"] not in TOO_FEW_TO_CALIBRATE:
            rule = f"expected calibration error at most {CALIBRATION:g} % from 5 shots on"
            result.promise(case_of(found), rule, found.value, "%", found.value <= CALIBRATION)
    for found in result.select("auroc_gain"):
        rule = "AUROC of unknown classes above that of the largest cosine with a class mean"
        result.promise(case_of(found), rule, found.value, "", found.value > 0)


def _each(result: Result, name: str, rule: str, least: float) -> None:
    for found in result.select(name):
        result.promise(case_of(found), rule, found.value, found.unit, found.value >= least)


def case_of(found: Measurement) -> str:
    """A cell's name."""
    data, backbone = title_of(str(found.params["data"])), BACKBONES[str(found.params["backbone"])].title
    return f"learning: {data}, {backbone}, {found.params['shots']} shots"
