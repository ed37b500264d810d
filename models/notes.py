# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of the ear for notes, as they were exported: checked, or refused."""

from functools import cache

import numpy as np

from dsp.notenet import MEASURED, NoteWeights, note_weights, shapes, sizes_of
from dsp.tones import PITCHES
from models.archive import FOLDER, WeightsError, ascending, between, fitting, measured, read

NAME = "notes.npz"


def checked(arrays: dict[str, np.ndarray]) -> NoteWeights:
    """Weights of the net in `dsp.notenet`, if that is what the arrays are."""
    measured(arrays, (*MEASURED.values(), "gru.w_hh"), NAME)
    fitting(arrays, shapes(sizes_of(arrays)), NAME)
    between(arrays, ["sd"], NAME, np.inf)
    between(arrays, ["over"], NAME)
    ascending(arrays, "lags", NAME)
    for name in ("harmonics", "neighbours"):
        if not len(arrays[name]) or np.abs(arrays[name]).max() >= PITCHES:
            raise WeightsError(f"{NAME}: {name} are out of range")
    return note_weights(arrays)


@cache
def load() -> NoteWeights:
    """The ear for notes that is shipped."""
    return checked(read(FOLDER / NAME))
