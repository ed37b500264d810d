# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a drum was just struck: what the learned ear said lately, and of other families, weighed once more.

The net of `dsp.drumnet` has a word for every family and frame. A stroke is better known by several of
them: what its heads say one after the other, whether another family claims it, how the spectrum rose.
Where a stroke is possible at all, a small net, the same for every family, corrects the word by these.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsp.bands import SHORTS
from dsp.drumnet import METAL, VOICES
from dsp.kernel import kernel
from dsp.net import perceptron

POSSIBLE = np.float32(-4)  # least logit that is weighed
LATELY = 4  # newest frames of which every word counts
BEFORE = (5, 7, 9, 12, 16)  # frames ago of which the earliest word counts, a middle one and the last
REGIONS = 5  # of the short window, whose mean levels count
AGO = (1, 2, 3, 5, 8, 12)  # frames ago that levels are compared with
PAST = BEFORE[-1] + 1  # frames that are remembered
NOTHING = np.float32(-100)  # logit before anything was heard


class HitWeights(NamedTuple):
    """Inputs by outputs."""

    hidden: np.ndarray  # (features, hidden)
    hidden_bias: np.ndarray
    out: np.ndarray  # (hidden, lags)
    out_bias: np.ndarray
    threshold: np.ndarray  # (lags, VOICES) likelihood from which each is believed


class HitNetState(NamedTuple):
    weights: HitWeights
    frame: np.ndarray  # (1,) frames heard so far
    said: np.ndarray  # (PAST, lags, VOICES) logits, frame f in row f % PAST
    level: np.ndarray  # (PAST, REGIONS) log10 over what counts as full
    judged: np.ndarray  # (lags, VOICES) logits of the frame looked at last, those of the families corrected
    x: np.ndarray  # (features,) work
    hidden: np.ndarray  # (hidden,) work
    change: np.ndarray  # (lags,) work


def features_of(lags: int) -> int:
    """How many numbers are weighed for a voice, of an ear with so many lags."""
    return LATELY * 2 * lags + 5 * len(BEFORE) + 2 * VOICES + REGIONS * (1 + len(AGO))


def shapes(lags: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training."""
    return {
        "hidden.w": (features_of(lags), hidden), "hidden.b": (hidden,), "out.w": (hidden, lags), "out.b": (lags,),
        "threshold": (lags, VOICES),
    }  # fmt: skip


def hit_weights(arrays: Mapping[str, np.ndarray]) -> HitWeights:
    """Exported arrays, of `shapes`, as the kernels read them."""
    names = shapes(len(arrays["out.b"]), len(arrays["hidden.b"]))
    return HitWeights._make(np.ascontiguousarray(arrays[name], np.float32) for name in names)


def trusting(lags: int, threshold: float = 0.5) -> HitWeights:
    """Weights that leave the word as it is."""
    arrays = {name: np.zeros(shape) for name, shape in shapes(lags, 4).items()}
    return hit_weights(arrays | {"threshold": np.full((lags, VOICES), threshold)})


def hitnet_state(weights: HitWeights) -> HitNetState:
    """What is remembered of nothing heard."""
    features, hidden = weights.hidden.shape
    lags = len(weights.threshold)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    return HitNetState(
        weights, np.zeros(1, np.int64), zeros(PAST, lags, VOICES), zeros(PAST, REGIONS),
        np.full((lags, VOICES), NOTHING), zeros(features), zeros(hidden), zeros(lags),
    )  # fmt: skip


@kernel
def _rival(word, voice):
    """The likeliest family but the voice's own, of one head's word, shape (VOICES,)."""
    best = NOTHING
    for family in range(METAL):
        if family != voice:
            best = max(best, word[family])
    return best


@kernel
def hitnet_hear(state, said, inputs):
    """What is remembered of the frame looked at; a second look replaces the first."""
    at = state.frame[0] % PAST
    for row in range(len(said)):
        for voice in range(VOICES):
            state.said[at, row, voice] = said[row, voice]
    width = SHORTS // REGIONS
    for region in range(REGIONS):
        total = np.float32(0)
        for band in range(region * width, (region + 1) * width):
            total += inputs[band]
        state.level[at, region] = total / np.float32(width)


@kernel
def consider(state, voice):
    """All that is weighed of one voice, into ``state.x``."""
    x, frame, n = state.x, state.frame[0], 0
    lags = len(state.change)
    for ago in range(LATELY):
        said = state.said[(frame - ago) % PAST]
        for row in range(lags):
            x[n], x[n + lags] = said[row, voice], _rival(said[row], voice)
            n += 1
        n += lags
    for ago in BEFORE:
        said = state.said[(frame - ago) % PAST]
        x[n], x[n + 1], x[n + 2] = said[0, voice], said[lags // 2, voice], said[lags - 1, voice]
        x[n + 3], x[n + 4] = _rival(said[0], voice), _rival(said[lags - 1], voice)
        n += 5
    for other in range(VOICES):
        x[n] = state.said[frame % PAST, lags // 2, other]
        x[n + VOICES] = np.float32(other == voice)
        n += 1
    n += VOICES
    for region in range(REGIONS):
        now = state.level[frame % PAST, region]
        x[n] = now
        n += 1
        for ago in AGO:
            x[n] = now - state.level[(frame - ago) % PAST, region]
            n += 1


@kernel
def hitnet_look(state, said, inputs, framed):
    """Judge what the ear says of the frame it looked at, into ``state.judged``.

    Parameters
    ----------
    state : HitNetState
    said : array, shape (lags, >= VOICES)
        Logits, as `dsp.drumnet.drumnet_say` gives them.
    inputs : array, shape (INPUTS,)
        As `dsp.bands.relate` gives them.
    framed : bool
        Whether the frame is complete; else the next look replaces this one.

    Notes
    -----
    Adds no delay. Realtime: O(1), no allocation. The word stands as it is until
    PAST frames have been heard.
    """
    hitnet_hear(state, said, inputs)
    lags = len(state.change)
    for voice in range(VOICES):
        most = said[0, voice]
        for row in range(lags):
            state.judged[row, voice] = said[row, voice]
            most = max(most, said[row, voice])
        # Of the metal's voice, which only taught the nets, nothing is asked.
        if voice != METAL and most > POSSIBLE and state.frame[0] >= PAST - 1:
            consider(state, voice)
            perceptron(state.weights, state.x, state.hidden, state.change)
            for row in range(lags):
                state.judged[row, voice] += state.change[row]
    if framed:
        state.frame[0] += 1


@kernel
def hitnet_forget(state):
    """As if nothing had been heard."""
    state.frame[0] = 0
    for row in range(len(state.judged)):
        for voice in range(VOICES):
            state.judged[row, voice] = NOTHING
