# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of what tells one line's notes, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.linenet import SAID, LineWeights, features_of
from models import notes
from models.drums import FOLDER, WeightsError, read

NAME = "line.npz"
ARRAYS = ("hidden.w", "hidden.b", "out.w", "out.b", "asked")


def checked(arrays: dict[str, np.ndarray]) -> LineWeights:
    """Weights of the net in `dsp.linenet`, if that is what the arrays are."""
    ear = notes.load()
    if len(ear.lags) + 1 != SAID:
        raise WeightsError(f"the ear for one line was made for {SAID - 1} lags of the ear for notes")
    features = features_of(len(ear.gru_state[0]), len(ear.mix_bias))
    for name in ARRAYS:
        if name not in arrays:
            raise WeightsError(f"the weights of the ear for one line lack {name}")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise WeightsError(f"{name} of the ear for one line holds what is no number")
    hidden = arrays["hidden.b"].size
    for name, shape in zip(ARRAYS, ((features, hidden), (hidden,), (hidden,), (1,), (1,)), strict=True):
        if arrays[name].shape != shape:
            raise WeightsError(f"{name} of the ear for one line has shape {arrays[name].shape}, not {shape}")
    if not 0 < arrays["asked"][0] < 1:
        raise WeightsError("asked of the ear for one line is no likelihood")
    return LineWeights(*(np.asarray(arrays[name], np.float32) for name in ARRAYS))


@cache
def load() -> LineWeights:
    """The ear for one line that is shipped."""
    return checked(read(FOLDER / NAME))
