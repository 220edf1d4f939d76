"""From scores to a probability that means what it says, in whole numbers.

The scores of classes are logarithmic likelihoods up to a factor, the sharpness, which grows with the shots: on
embeddings of five networks (docs/DESIGN.md) about 18 + 0.5 n. How far it is off on the data at hand is learnt from
the shots: each is scored before it is learnt, and the mean confidence is drawn to the share of right answers. The
first three of a class are left out: with so few a class is told worse than it will be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head.ridge.state import SHARPNESS_MAX, Moment

# log2(e) (18 + 0.5 n) times 2^8.
_SHARP_Q8, _SHARP_PER_SHOT_Q8 = 6648, 185
_MOST_SHOTS = 1 << 20
_MOST_PLAIN_Q16, _MOST_Q16 = 1 << 32, 1 << 37
_GONE = 40 << 16
_ONE_Q24 = np.float32(2.0**24)
_STEP, _STEP_AFTER = 24, 128
LEAST_SHOTS = 3
# An answer below it is more likely wrong than right.
EVEN_Q16 = 1 << 15


def half_to_the(bits_q16: int) -> int:
    """2^-x times 2^30 for x = `bits_q16` / 2^16 >= 0, off by at most 3e-6.

    1 - 0.693073 f + 0.239498 f^2 - 0.053277 f^3 + 0.006852 f^4 for the fraction f.
    """
    if bits_q16 >= _GONE:
        return 0
    f = (bits_q16 & 0xFFFF) << 14
    y = ((7_356_204 * f) >> 30) - 57_204_805
    y = ((y * f) >> 30) + 257_158_261
    y = ((y * f) >> 30) - 744_180_573
    y = ((y * f) >> 30) + (1 << 30)
    return y >> (bits_q16 >> 16)


def sharpness(second: Moment) -> int:
    """Bits per unit of score, times 2^16."""
    shots = min(second.shots, _MOST_SHOTS)
    unit_q24 = int(np.rint(second.unit * _ONE_Q24))
    plain = min((_SHARP_Q8 + _SHARP_PER_SHOT_Q8 * shots) * unit_q24 >> 16, _MOST_PLAIN_Q16)
    learnt = int(second.state["sharpness"])
    # 2^learnt = 2^(whole + 1) 2^-(1 - fraction)
    whole, fraction = learnt >> 16, learnt & 0xFFFF
    times = half_to_the((1 << 16) - fraction)
    return min(plain * times >> (29 - whole), _MOST_Q16)


def confidence_q16(scores_q23: NDArray[np.int64], sharp_q16: int) -> int:
    """Probability, times 2^16, that the class with the best of the scores (n_classes,) is right."""
    best = int(scores_q23.max())
    total = sum(half_to_the((best - score) * sharp_q16 >> 23) for score in scores_q23.tolist())
    return ((1 << 46) + total // 2) // total


def observe(second: Moment, right: bool, confidence: int, seen: int) -> None:
    """Draw the sharpness to where mean confidence is the share of right answers: a step that grows smaller.

    Args:
        second: changed.
        right: whether the shot's own class scored best.
        confidence: what had been said, times 2^16.
        seen: how many shots were scored before.
    """
    step = (((int(right) << 16) - confidence) * _STEP) // (seen + _STEP_AFTER)
    second.state["sharpness"] = min(max(int(second.state["sharpness"]) + step, -SHARPNESS_MAX), SHARPNESS_MAX)
