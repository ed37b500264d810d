# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden pairs of the small nets that correct an ear."""

from typing import Any

import numpy as np

from dsp.net import perceptron
from models.archive import FOLDER


def reproduces(name: str, state: Any, features: int) -> None:
    """Whether a net at work says what it said in training, of so many numbers, and says something."""
    with np.load(FOLDER / f"{name}.golden.npz", allow_pickle=False) as golden:
        x, y = golden["x"], golden["y"]
    assert x.shape[1] == features and np.abs(y).max() > 0.5
    for row, expected in zip(x, y, strict=True):
        perceptron(state.weights, row, state.hidden, state.change)
        np.testing.assert_allclose(state.change, expected, atol=1e-4)
