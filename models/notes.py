# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of the ear for notes, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.notenet import MEASURED, NoteWeights, note_weights, shapes, sizes_of
from dsp.tones import PITCHES
from models.drums import FOLDER, WeightsError, read

NAME = "notes.npz"


def checked(arrays: dict[str, np.ndarray]) -> NoteWeights:
    """Weights of the net in `dsp.notenet`, if that is what the arrays are."""
    for name in (*MEASURED.values(), "gru.w_hh"):
        if name not in arrays or not arrays[name].ndim:
            raise WeightsError(f"the weights of the ear for notes lack {name}")
    for name, shape in shapes(sizes_of(arrays)).items():
        if name not in arrays:
            raise WeightsError(f"the weights of the ear for notes lack {name}")
        array = arrays[name]
        if array.shape != shape:
            raise WeightsError(f"{name} of the ear for notes has shape {array.shape}, not {shape}")
        if array.dtype.kind not in "fi" or not np.isfinite(array).all():
            raise WeightsError(f"{name} of the ear for notes holds what is no number")
    if not (arrays["sd"] > 0).all():
        raise WeightsError("the deviations of the ear for notes are out of range")
    if not 0 < arrays["over"][0] < 1:
        raise WeightsError("over of the ear for notes is no likelihood")
    if not (np.diff(arrays["lags"]) > 0).all() or arrays["lags"][0] < 0:
        raise WeightsError("the lags of the ear for notes do not ascend")
    for name in ("harmonics", "neighbours"):
        if not len(arrays[name]) or np.abs(arrays[name]).max() >= PITCHES:
            raise WeightsError(f"{name} of the ear for notes are out of range")
    return note_weights(arrays)


@cache
def load() -> NoteWeights:
    """The ear for notes that is shipped."""
    return checked(read(FOLDER / NAME))
