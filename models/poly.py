# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of what corrects the ear for notes, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.notenet import embedding_size
from dsp.polynet import PolyWeights, poly_weights, shapes
from models import notes
from models.archive import FOLDER, between, fitting, measured, read

NAME = "poly.npz"


def checked(arrays: dict[str, np.ndarray]) -> PolyWeights:
    """Weights of the net in `dsp.polynet`, if that is what the arrays are."""
    measured(arrays, ["hidden.b"], NAME)
    ear = notes.load()
    fitting(arrays, shapes(len(ear.lags), embedding_size(ear), len(arrays["hidden.b"])), NAME)
    between(arrays, ["threshold", "sure"], NAME)
    return poly_weights(arrays)


@cache
def load() -> PolyWeights:
    """The net that is shipped."""
    return checked(read(FOLDER / NAME))
