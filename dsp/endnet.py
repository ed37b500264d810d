# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a note still sounds: what the learned ear says of its pitch, and how its overtones fade, weighed once more.

The word of `dsp.notenet` for what sounds dips where another note is struck and fades with a string
whose key is still held. A damped string falls at once and in all its overtones. A small net weighs
the word, the levels of the overtones against what they were and what begins beside them, and says
whether the note still sounded as many frames ago as the decision leaves time for.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsp.hindsight import PAST, watched
from dsp.kernel import kernel
from dsp.net import perceptron
from dsp.notenet import embed
from dsp.tones import BINS_A_PITCH, PITCHES, SEMITONES, WINDOWS

WORDS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 13)  # frames ago at which it counts what was said to sound
BEGINS = (1, 2, 4)  # and what was said to begin, besides now
PARTIALS = ((0, 0), (0, 1), (0, 2), (12, 0), (12, 1), (19, 1), (24, 0))  # semitones above the pitch, window
AGO = (2, 5, 9, 13)  # frames ago that levels are compared with
RUSH = (0, 1, 2, 4, 6)  # frames ago at which it counts how much began
KIN = (-1, 1, -12, 12, -19, 19, -24, 24, -7, 7)  # semitones from a pitch to those that share its overtones
UNHEARD = np.float32(-9)  # logit of a pitch that there is not
FLOOR = np.float32(-7)  # level of what is not heard


class EndWeights(NamedTuple):
    """Inputs by outputs."""

    hidden: np.ndarray  # (features, hidden)
    hidden_bias: np.ndarray
    out: np.ndarray  # (hidden, lags)
    out_bias: np.ndarray
    over: np.ndarray  # (lags,) likelihood of sounding below which a note is over


class EndNetState(NamedTuple):
    weights: EndWeights
    lags: np.ndarray  # (lags,) frames ago of which each output speaks
    level: np.ndarray  # (PAST, WINDOWS, SEMITONES) log10 over what counts as full, frame f in row f % PAST
    peak: np.ndarray  # (PITCHES, PARTIALS) the most since the note began
    age: np.ndarray  # (PITCHES,) frames since it began
    last: np.ndarray  # (PITCHES,) what was told of the frame before
    x: np.ndarray  # (features,) work
    hidden: np.ndarray  # (hidden,) work
    change: np.ndarray  # (lags,) work


def features_of(lags: int, embedding: int) -> int:
    """How many numbers are weighed for a note, of an ear with so many lags and so large an embedding of each pitch."""
    words = lags + len(WORDS) + lags + len(BEGINS) + 2 * len(KIN)
    return words + len(PARTIALS) * (len(AGO) + 2) + len(AGO) + len(RUSH) + 1 + 2 + embedding


def shapes(lags: int, embedding: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training."""
    return {
        "hidden.w": (features_of(lags, embedding), hidden), "hidden.b": (hidden,),
        "out.w": (hidden, lags), "out.b": (lags,), "over": (lags,),
    }  # fmt: skip


def end_weights(arrays: Mapping[str, np.ndarray]) -> EndWeights:
    """Exported arrays, of `shapes`, as the kernels read them."""
    names = shapes(len(arrays["out.b"]), 0, len(arrays["hidden.b"]))
    return EndWeights._make(np.ascontiguousarray(arrays[name], np.float32) for name in names)


def trusting(lags: int, embedding: int, over: float = 0.5) -> EndWeights:
    """Weights that leave the word as it is."""
    arrays = {name: np.zeros(shape) for name, shape in shapes(lags, embedding, 4).items()}
    return end_weights(arrays | {"over": np.full(lags, over)})


def endnet_state(weights: EndWeights, lags: np.ndarray) -> EndNetState:
    """What is remembered of nothing heard, by an ear of these lags [frames]."""
    features, hidden = weights.hidden.shape

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    return EndNetState(
        weights, lags, zeros(PAST, WINDOWS, SEMITONES), zeros(PITCHES, len(PARTIALS)), np.zeros(PITCHES, np.int64),
        zeros(PITCHES), zeros(features), zeros(hidden), zeros(len(weights.over)),
    )  # fmt: skip


@kernel
def endnet_hear(state, inputs, frame):
    """One more frame of what is remembered; `inputs`, shape (CHANNELS, BINS), as `dsp.tones.relate` gives them."""
    level = state.level[frame % PAST]
    for window in range(WINDOWS):
        for semitone in range(SEMITONES):
            k = BINS_A_PITCH * semitone
            level[window, semitone] = max(inputs[window, k], inputs[window, k + 1], inputs[window, k + 2])


@kernel
def _level(state, pitch, partial, frame):
    above, window = PARTIALS[partial]
    return state.level[frame % PAST, window, pitch + above] if pitch + above < SEMITONES else FLOOR


@kernel
def endnet_begin(state, pitch, since):
    """A note began on this pitch so many frames ago."""
    state.age[pitch], state.last[pitch] = since, -UNHEARD
    for partial in range(len(PARTIALS)):
        state.peak[pitch, partial] = FLOOR


@kernel
def consider(state, heard, ear, pitch, frame):
    """All that is weighed of one note, into ``state.x``."""
    x, said, at, n = state.x, heard.said, frame % PAST, 0
    lags = len(state.change)
    for row in range(lags):
        x[n] = said[at, lags, pitch]
        for ago in range(1, watched(state.lags[row]) - 1):  # two frames must agree
            x[n] = max(x[n], said[(frame - ago) % PAST, lags, pitch])
        n += 1
    for ago in WORDS:
        x[n] = said[(frame - ago) % PAST, lags, pitch]
        n += 1
    for row in range(lags):
        x[n] = said[at, row, pitch]
        n += 1
    for ago in BEGINS:
        x[n] = said[(frame - ago) % PAST, 0, pitch]
        n += 1
    for other in KIN:
        there = 0 <= pitch + other < PITCHES
        x[n] = said[at, lags, pitch + other] if there else UNHEARD
        x[n + 1] = said[at, 0, pitch + other] if there else UNHEARD
        n += 2
    for partial in range(len(PARTIALS)):
        level = _level(state, pitch, partial, frame)
        state.peak[pitch, partial] = max(state.peak[pitch, partial], level)
        x[n], x[n + 1] = level - heard.loud[at], level - state.peak[pitch, partial]
        n += 2
        for ago in AGO:
            x[n] = level - _level(state, pitch, partial, frame - ago)
            n += 1
    for ago in AGO:
        x[n] = heard.loud[at] - heard.loud[(frame - ago) % PAST]
        n += 1
    for ago in RUSH:
        x[n] = heard.many[(frame - ago) % PAST, 0]
        n += 1
    x[n] = heard.many[at, lags]
    x[n + 1] = np.log(np.float32(1 + state.age[pitch]))
    x[n + 2] = np.float32(pitch) / np.float32(PITCHES)
    embed(ear, pitch, x[n + 3 :])
    state.age[pitch] += 1


@kernel
def endnet_look(state, heard, ear, pitch, row, frame):
    """Logit that a note still sounded as many frames ago as the lag of a row; to be asked once a frame.

    Parameters
    ----------
    state : EndNetState
    heard : PolyNetState
        What is remembered of the ear's word, this frame included.
    ear : NoteNetState
        As this frame left it.
    pitch, row, frame : int

    Notes
    -----
    The greater of what two frames tell, as many a note is in doubt for one. What is corrected is
    the likeliest of the newest frames, and stands as it is until PAST frames have been heard.
    Realtime: O(1), no allocation.
    """
    consider(state, heard, ear, pitch, frame)
    told, before = state.x[row], state.last[pitch]
    if heard.heard[0] == PAST:
        perceptron(state.weights, state.x, state.hidden, state.change)
        told += state.change[row]
    state.last[pitch] = told
    return max(told, before)
