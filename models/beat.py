# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of the nets that follow the beat."""

from functools import cache

import numpy as np

from dsp import fold
from dsp.beat import BeatNets
from dsp.beatnet import beat_weights, shapes
from models.archive import FOLDER, between, fitting, measured, read

NAME = "beat.npz"


def checked(arrays: dict[str, np.ndarray]) -> BeatNets:
    """Weights of the nets in `dsp.beatnet` and `dsp.fold`, if that is what the arrays are."""
    measured(arrays, ("dense.b", "low.w_hh", "fold.low.b"), NAME)
    wanted = shapes(arrays["dense.b"].size, arrays["low.w_hh"].shape[-1])
    fitting(arrays, wanted | fold.shapes(arrays["fold.low.b"].size), NAME)
    between(arrays, ["sd"], NAME, np.inf)
    return BeatNets(beat_weights(arrays), fold.fold_weights(arrays))


@cache
def load() -> BeatNets:
    """The nets that are shipped."""
    return checked(read(FOLDER / NAME))
