# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of the drum ear, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.drumnet import DrumWeights, drum_weights, shapes
from models.archive import FOLDER, ascending, between, fitting, measured, read

NAME = "drums.npz"


def checked(arrays: dict[str, np.ndarray]) -> DrumWeights:
    """Weights of the net in `dsp.drumnet`, if that is what the arrays are."""
    measured(arrays, ("conv_s.b", "dense.b", "gru.w_hh", "lags"), NAME)
    kernels, layer, lags = (len(arrays[name]) for name in ("conv_s.b", "dense.b", "lags"))
    fitting(arrays, shapes(kernels, layer, arrays["gru.w_hh"].shape[-1], lags), NAME)
    between(arrays, ["sd"], NAME, np.inf)
    ascending(arrays, "lags", NAME)
    return drum_weights(arrays)


@cache
def weights() -> dict[str, np.ndarray]:
    """All arrays that were exported with the drum ear, by name."""
    return read(FOLDER / NAME)


@cache
def load() -> DrumWeights:
    """The drum ear that is shipped."""
    return checked(weights())
