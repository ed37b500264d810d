# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of what tells one line's notes, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.linenet import SAID, LineWeights, features_of
from dsp.notenet import embedding_size
from models import notes
from models.archive import FOLDER, WeightsError, between, fitting, measured, read

NAME = "line.npz"


def checked(arrays: dict[str, np.ndarray]) -> LineWeights:
    """Weights of the net in `dsp.linenet`, if that is what the arrays are."""
    ear = notes.load()
    if len(ear.lags) + 1 != SAID:
        raise WeightsError(f"{NAME} was made for {SAID - 1} lags of the ear for notes")
    measured(arrays, ["hidden.b"], NAME)
    features, hidden = features_of(embedding_size(ear)), len(arrays["hidden.b"])
    shapes = {
        "hidden.w": (features, hidden), "hidden.b": (hidden,), "out.w": (hidden,), "out.b": (1,), "asked": (1,),
    }  # fmt: skip
    fitting(arrays, shapes, NAME)
    between(arrays, ["asked"], NAME)
    return LineWeights(*(np.asarray(arrays[name], np.float32) for name in shapes))


@cache
def load() -> LineWeights:
    """The ear for one line that is shipped."""
    return checked(read(FOLDER / NAME))
