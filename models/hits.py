# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of what corrects the drum ear, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.hitnet import HitWeights, hit_weights, shapes
from models import drums
from models.archive import FOLDER, between, fitting, measured, read

NAME = "hits.npz"


def checked(arrays: dict[str, np.ndarray]) -> HitWeights:
    """Weights of the net in `dsp.hitnet`, if that is what the arrays are."""
    measured(arrays, ["hidden.b"], NAME)
    fitting(arrays, shapes(len(drums.load().lags), len(arrays["hidden.b"])), NAME)
    between(arrays, ["threshold"], NAME)
    return hit_weights(arrays)


@cache
def load() -> HitWeights:
    """The net that is shipped."""
    return checked(read(FOLDER / NAME))
