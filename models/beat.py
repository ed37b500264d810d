# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of the nets that follow the beat."""

from functools import cache

import numpy as np

from dsp import fold
from dsp.beat import BeatNets
from dsp.beatnet import beat_weights, shapes
from models.drums import FOLDER, WeightsError, read

NAME = "beat.npz"


def checked(arrays: dict[str, np.ndarray]) -> BeatNets:
    """Weights of the nets in `dsp.beatnet` and `dsp.fold`, if that is what the arrays are."""
    if not {"dense.b", "low.w_hh", "fold.low.b"} <= arrays.keys():
        raise WeightsError(f"{NAME} holds another net")
    wanted = shapes(arrays["dense.b"].size, arrays["low.w_hh"].shape[-1])
    for name, shape in (wanted | fold.shapes(arrays["fold.low.b"].size)).items():
        if name not in arrays or arrays[name].shape != shape:
            raise WeightsError(f"{NAME}: {name} is not of shape {shape}")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise WeightsError(f"{NAME}: {name} holds what is no number")
    if not (arrays["sd"] > 0).all():
        raise WeightsError(f"{NAME}: deviations are out of range")
    return BeatNets(beat_weights(arrays), fold.fold_weights(arrays))


@cache
def load() -> BeatNets:
    """The nets that are shipped."""
    return checked(read(FOLDER / NAME))
