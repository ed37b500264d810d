# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of what corrects the ear for notes, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.polynet import PolyWeights, poly_weights, shapes
from models import notes
from models.drums import FOLDER, WeightsError, read

NAME = "poly.npz"


def checked(arrays: dict[str, np.ndarray]) -> PolyWeights:
    """Weights of the net in `dsp.polynet`, if that is what the arrays are."""
    if "hidden.b" not in arrays or not arrays["hidden.b"].ndim:
        raise WeightsError(f"{NAME} holds another net")
    for name, shape in shapes(len(notes.load().lags), len(arrays["hidden.b"])).items():
        if name not in arrays or arrays[name].shape != shape:
            raise WeightsError(f"{NAME}: {name} is not of shape {shape}")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise WeightsError(f"{NAME}: {name} holds what is no number")
    for name in ("threshold", "sure"):
        if not ((arrays[name] > 0) & (arrays[name] < 1)).all():
            raise WeightsError(f"{NAME}: {name} is no likelihood")
    return poly_weights(arrays)


@cache
def load() -> PolyWeights:
    """The net that is shipped."""
    return checked(read(FOLDER / NAME))
