"""Why the 384-d network that issue 5 names, MCUNetV2, is not measured: its file holds no trained weights."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.data import data_folder

FILE = "mcunetv2_large.tflite"
STAND_IN = "mobilenet_v2_384"
UNIFORM = 1.8
"""Kurtosis of a uniform distribution; of a normal one it is 3, of trained convolutions more."""
LEAST_TRAINED = 2.0
LEAST_WEIGHTS = 1000


def median_kurtosis(path: Path) -> float:
    """Of the weights of each convolution of a .tflite file that has at least 1,000 of them, the median."""
    from benchmarks.dequantised import convolutions

    values = []
    for weight, _ in convolutions(path):
        if weight.size >= LEAST_WEIGHTS:
            centred = weight - weight.mean()
            values.append(float(np.mean(centred**4) / np.mean(centred**2) ** 2))
    return median(values)


def reason() -> str:
    """Why the file is left out, measured now where it can be opened."""
    path = data_folder() / "backbones" / FILE
    instead = f"{STAND_IN} stands in for it"
    if not path.is_file():
        return f"{FILE}: missing; {instead}"
    try:
        kurtosis = median_kurtosis(path)
    except ImportError as error:
        return f'{FILE}: its weights were not looked at ({error}; install with: pip install ".[all]"); {instead}'
    if kurtosis > LEAST_TRAINED:
        return f"{FILE}: median kurtosis of its weights {kurtosis:.2f}, so trained; it could be measured, {instead}"
    return (
        f"{FILE}: untrained, the median kurtosis of its convolutions' weights is {kurtosis:.2f} (uniform, as networks "
        f"are initialised: {UNIFORM}; trained ones of this folder: 3.8 to 11.2); {instead}"
    )
