# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of what tells when a note is over, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.endnet import EndWeights, end_weights, shapes
from dsp.notenet import embedding_size
from models import notes
from models.archive import FOLDER, between, fitting, measured, read

NAME = "ends.npz"


def checked(arrays: dict[str, np.ndarray]) -> EndWeights:
    """Weights of the net in `dsp.endnet`, if that is what the arrays are."""
    measured(arrays, ["hidden.b"], NAME)
    ear = notes.load()
    fitting(arrays, shapes(len(ear.lags), embedding_size(ear), len(arrays["hidden.b"])), NAME)
    between(arrays, ["over"], NAME)
    return end_weights(arrays)


@cache
def load() -> EndWeights:
    """The net that is shipped."""
    return checked(read(FOLDER / NAME))
