# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a note has just begun: what the learned ear said of a pitch lately, and says of others, weighed once more.

The net of `dsp.notenet` has a word for every pitch and frame. A note is better known by several of them:
what its heads say one after the other, whether octaves and neighbours claim the same beginning, whether
overtones have risen. Where a note is possible at all, a small net corrects the word by all these.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsp.hindsight import PAST
from dsp.kernel import kernel
from dsp.net import perceptron, sigmoid
from dsp.notenet import embed
from dsp.tones import BINS, BINS_A_PITCH, PITCHES
from dsp.touch import OVERTONES, SEEN

POSSIBLE = np.float32(-4)  # least logit that is weighed
LATELY = 4  # newest frames of which every word counts
BEFORE = (5, 7, 9, 12)  # frames ago of which the earliest onset, the latest and the sounding count
# Semitones from a pitch to those that may be taken for it, or it for them.
RIVALS = (-1, 1, -2, 2, -12, 12, -7, 7, -19, 19, -24, 24, -5, 5, -3, -4, 3, 4, -28, 28)
AGO = (1, 3, 6, 10)  # frames ago that levels are compared with
OCTAVES, AGO_OCTAVE = (-12, 12), 6  # and those of octaves
RUSH = (1, 2, 4, 6)  # frames ago at which it counts how much began
UNHEARD = np.float32(-9)  # logit of a pitch that there is not


class PolyWeights(NamedTuple):
    """Inputs by outputs."""

    hidden: np.ndarray  # (features, hidden)
    hidden_bias: np.ndarray
    out: np.ndarray  # (hidden, lags)
    out_bias: np.ndarray
    threshold: np.ndarray  # (lags,) likelihood from which an onset is believed at its decision
    sure: np.ndarray  # (lags,) and from which it need not wait for a later one


class PolyNetState(NamedTuple):
    weights: PolyWeights
    heard: np.ndarray  # (1,) frames, until all that is remembered has been heard
    said: np.ndarray  # (PAST, lags + 2, PITCHES) logits, frame f in row f % PAST
    level: np.ndarray  # (PAST, SEEN, PITCHES) mean level of the overtones, log10 over what counts as full
    loud: np.ndarray  # (PAST,) mean level of all bins of the short window
    many: np.ndarray  # (PAST, lags + 1) how many pitches were said to begin, and to sound
    judged: np.ndarray  # (lags, PITCHES) corrected logits of an onset of the newest frame
    x: np.ndarray  # (features,) work
    hidden: np.ndarray  # (hidden,) work
    change: np.ndarray  # (lags,) work


def features_of(lags: int, embedding: int) -> int:
    """How many numbers are weighed for a pitch, of an ear with so many lags and so large an embedding of each."""
    words = LATELY * (lags + 2) + 3 * len(BEFORE) + len(RIVALS) * (lags + 1)
    whole = lags + 2 + len(RUSH) + len(AGO)
    return words + whole + SEEN * (1 + len(AGO) + len(OCTAVES)) + 2 + embedding


def shapes(lags: int, embedding: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training."""
    return {
        "hidden.w": (features_of(lags, embedding), hidden), "hidden.b": (hidden,),
        "out.w": (hidden, lags), "out.b": (lags,), "threshold": (lags,), "sure": (lags,),
    }  # fmt: skip


def poly_weights(arrays: Mapping[str, np.ndarray]) -> PolyWeights:
    """Exported arrays, of `shapes`, as the kernels read them."""
    names = shapes(len(arrays["out.b"]), 0, len(arrays["hidden.b"]))
    return PolyWeights._make(np.ascontiguousarray(arrays[name], np.float32) for name in names)


def trusting(lags: int, embedding: int, threshold: float = 0.5, sure: float = 0.95) -> PolyWeights:
    """Weights that leave the word as it is."""
    arrays = {name: np.zeros(shape) for name, shape in shapes(lags, embedding, 4).items()}
    return poly_weights(arrays | {"threshold": np.full(lags, threshold), "sure": np.full(lags, sure)})


def polynet_state(weights: PolyWeights) -> PolyNetState:
    """What is remembered of nothing heard."""
    features, hidden = weights.hidden.shape
    lags = len(weights.threshold)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    return PolyNetState(
        weights, np.zeros(1, np.int64), zeros(PAST, lags + 2, PITCHES), zeros(PAST, SEEN, PITCHES), zeros(PAST),
        zeros(PAST, lags + 1), zeros(lags, PITCHES), zeros(features), zeros(hidden), zeros(lags),
    )  # fmt: skip


@kernel
def polynet_hear(state, said, inputs, frame):
    """One more frame of what is remembered."""
    at, lags = frame % PAST, len(state.change)
    state.heard[0] = min(state.heard[0] + 1, PAST)
    for row in range(lags + 2):
        for pitch in range(PITCHES):
            state.said[at, row, pitch] = said[row, pitch]
    for row in range(lags + 1):
        total = np.float32(0)
        for pitch in range(PITCHES):
            total += sigmoid(said[row, pitch])
        state.many[at, row] = total
    total = np.float32(0)
    for k in range(BINS):
        total += inputs[0, k]
    state.loud[at] = total / np.float32(BINS)
    for window in range(SEEN):
        for pitch in range(PITCHES):
            total = np.float32(0)
            for overtone in OVERTONES:
                total += inputs[window, min(BINS_A_PITCH * pitch + 1 + overtone, BINS - 1)]
            state.level[at, window, pitch] = total / np.float32(len(OVERTONES))


@kernel
def _rise(level, window, pitch, frame, ago):
    """By how much the overtones of a pitch are louder than `ago` frames before."""
    if not 0 <= pitch < PITCHES:
        return np.float32(0)
    return level[frame % PAST, window, pitch] - level[(frame - ago) % PAST, window, pitch]


@kernel
def consider(state, ear, pitch, frame):
    """All that is weighed of one pitch, into ``state.x``."""
    x, said, at, n = state.x, state.said, frame % PAST, 0
    lags = len(state.change)
    for ago in range(LATELY):
        for row in range(lags + 2):
            x[n] = said[(frame - ago) % PAST, row, pitch]
            n += 1
    for ago in BEFORE:
        then = (frame - ago) % PAST
        x[n], x[n + 1], x[n + 2] = said[then, 0, pitch], said[then, lags - 1, pitch], said[then, lags, pitch]
        n += 3
    for rival in RIVALS:
        there = 0 <= pitch + rival < PITCHES
        for row in range(lags + 1):
            x[n] = said[at, row, pitch + rival] if there else UNHEARD
            n += 1
    for row in range(lags + 1):
        x[n] = state.many[at, row]
        n += 1
    x[n] = state.loud[at]
    n += 1
    for ago in RUSH:
        x[n] = state.many[(frame - ago) % PAST, 0]
        n += 1
    for ago in AGO:
        x[n] = state.loud[at] - state.loud[(frame - ago) % PAST]
        n += 1
    for window in range(SEEN):
        x[n] = state.level[at, window, pitch]
        n += 1
        for ago in AGO:
            x[n] = _rise(state.level, window, pitch, frame, ago)
            n += 1
        for octave in OCTAVES:
            x[n] = _rise(state.level, window, pitch + octave, frame, AGO_OCTAVE)
            n += 1
    height = np.float32(pitch) / np.float32(PITCHES)
    x[n], x[n + 1] = height, height * height
    embed(ear, pitch, x[n + 2 :])


@kernel
def polynet_frame(state, ear, said, inputs, frame):
    """Take in one more frame of the ear's word and judge it, into ``state.judged``.

    Parameters
    ----------
    state : PolyNetState
    ear : NoteNetState
        As that frame left it.
    said : array, shape (lags + 2, PITCHES)
        Logits, as `dsp.notenet.notenet_frame` gives them.
    inputs : array, shape (CHANNELS, BINS)
        As `dsp.tones.relate` gives them.
    frame : int

    Notes
    -----
    Adds no delay. Realtime: O(pitches), no allocation. The word stands as it is
    until PAST frames have been heard.
    """
    polynet_hear(state, said, inputs, frame)
    lags = len(state.change)
    for pitch in range(PITCHES):
        most = said[0, pitch]
        for row in range(lags):
            state.judged[row, pitch] = said[row, pitch]
            most = max(most, said[row, pitch])
        if most > POSSIBLE and state.heard[0] == PAST:
            consider(state, ear, pitch, frame)
            perceptron(state.weights, state.x, state.hidden, state.change)
            for row in range(lags):
                state.judged[row, pitch] += state.change[row]


@kernel
def polynet_forget(state):
    """As if nothing had been heard: what is remembered counts again once all of it is new."""
    state.heard[0] = 0
