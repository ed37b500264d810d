# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights that know of the sustain pedal, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.pedal import PedalWeights, pedal_weights, shapes
from models.archive import FOLDER, fitting, measured, read

NAME = "pedal.npz"


def checked(arrays: dict[str, np.ndarray]) -> PedalWeights:
    """Weights of the net in `dsp.pedal`, if that is what the arrays are."""
    measured(arrays, ["head.w"], NAME)
    fitting(arrays, shapes(arrays["head.w"].shape[-1]), NAME)
    return pedal_weights(arrays)


@cache
def load() -> PedalWeights:
    """The net that is shipped."""
    return checked(read(FOLDER / NAME))
