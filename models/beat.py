# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of the net that feels the beat."""

from functools import cache

import numpy as np

from dsp.beatnet import BeatWeights, beat_weights, shapes
from models.drums import FOLDER, WeightsError, read

NAME = "beat.npz"


def checked(arrays: dict[str, np.ndarray]) -> BeatWeights:
    """Weights of the net in `dsp.beatnet`, if that is what the arrays are."""
    if not {"dense.b", "low.w_hh"} <= arrays.keys():
        raise WeightsError(f"{NAME} holds another net")
    for name, shape in shapes(arrays["dense.b"].size, arrays["low.w_hh"].shape[-1]).items():
        if name not in arrays or arrays[name].shape != shape:
            raise WeightsError(f"{NAME}: {name} is not of shape {shape}")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise WeightsError(f"{NAME}: {name} holds what is no number")
    if not (arrays["sd"] > 0).all():
        raise WeightsError(f"{NAME}: deviations are out of range")
    return beat_weights(arrays)


@cache
def load() -> BeatWeights:
    """The net that is shipped."""
    return checked(read(FOLDER / NAME))
