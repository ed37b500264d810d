# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights that know of the sustain pedal, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.pedal import PedalWeights, pedal_weights, shapes
from models.drums import FOLDER, WeightsError, read

NAME = "pedal.npz"


def checked(arrays: dict[str, np.ndarray]) -> PedalWeights:
    """Weights of the net in `dsp.pedal`, if that is what the arrays are."""
    if "head.w" not in arrays or not arrays["head.w"].ndim:
        raise WeightsError(f"{NAME} holds another net")
    for name, shape in shapes(arrays["head.w"].shape[-1]).items():
        if name not in arrays or arrays[name].shape != shape:
            raise WeightsError(f"{NAME}: {name} is not of shape {shape}")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise WeightsError(f"{NAME}: {name} holds what is no number")
    return pedal_weights(arrays)


@cache
def load() -> PedalWeights:
    """The net that is shipped."""
    return checked(read(FOLDER / NAME))
