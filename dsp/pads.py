# SPDX-License-Identifier: GPL-3.0-or-later
"""Pads: what a drummer has taught, laid over what the net hears.

A pad is a row of weights on what is known of a stroke: the net's embedding of it,
then its timbre. A kit's pads name every stroke among themselves; corrections made
without a kit each take the place of one label, where a hit is clearly of the taught
kind.
"""

from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel
from dsp.timbre import TIMBRE, TimbreState, timbre_look, timbre_state

PADS = 32  # most of a kit
RECENT = 32  # hits that are kept


class PadsState(NamedTuple):
    use: np.ndarray  # (1,) which bank counts; the other may be written
    counts: np.ndarray  # (2,) pads in each bank
    kit: np.ndarray  # (2,) 1: the pads of a kit, which name every stroke
    weights: np.ndarray  # (2, PADS, n + TIMBRE + 1) float32 on an embedding (n,), a timbre, and a bias
    says: np.ndarray  # (2, PADS) label that each pad says, a row of LABELS or beyond them; -1: nothing
    instead: np.ndarray  # (2, PADS) label it takes the place of, where there is no kit
    kept: np.ndarray  # (1,) hits kept so far
    ids: np.ndarray  # (RECENT,) event ids of the newest hits; 0 where a row is not whole
    labels: np.ndarray  # (RECENT,)
    strokes: np.ndarray  # (RECENT, n + TIMBRE) float32
    timbre: np.ndarray  # (TIMBRE,) of the stroke looked at last
    looking: TimbreState


def pads_state(size: int) -> PadsState:
    """No pads, over embeddings of shape (size,)."""
    return PadsState(
        np.zeros(1, np.int64),
        np.zeros(2, np.int64),
        np.zeros(2, np.int64),
        np.zeros((2, PADS, size + TIMBRE + 1), np.float32),
        np.zeros((2, PADS), np.int64),
        np.zeros((2, PADS), np.int64),
        np.zeros(1, np.int64),
        np.zeros(RECENT, np.int64),
        np.zeros(RECENT, np.int64),
        np.zeros((RECENT, size + TIMBRE), np.float32),
        np.zeros(TIMBRE, np.float32),
        timbre_state(),
    )


@kernel
def pads_kit(state):
    """Whether a kit is in use."""
    return state.kit[state.use[0]] != 0 and state.counts[state.use[0]] > 0


@kernel
def pads_look(state, recent, age, decision):
    """Look at the timbre of the stroke that began `age` samples ago; before `pads_name` and `pads_keep`.

    Parameters
    ----------
    state : PadsState
    recent : array, shape (n,)
        Newest samples, oldest first.
    age, decision : int
        Within a hop of each other [samples].
    """
    timbre_look(state.looking, recent, age, decision, state.timbre)


@kernel
def _score(weights, embedding, timbre):
    size = len(embedding)
    total = weights[size + TIMBRE]
    for i in range(size):
        total += weights[i] * embedding[i]
    for i in range(TIMBRE):
        total += weights[size + i] * timbre[i]
    return total


@kernel
def pads_name(state, embedding):
    """Which pad of the kit a stroke was, and how surely.

    Parameters
    ----------
    state : PadsState
    embedding : array, shape (n,)

    Returns
    -------
    (int, float32)
        Label and confidence, the softmax over the pads; the label of what is no stroke is -1.

    Notes
    -----
    Realtime: O(pads), no allocation.
    """
    bank = state.use[0]
    weights, count = state.weights[bank], state.counts[bank]
    best, top, total = 0, np.float32(-np.inf), np.float32(0)
    for k in range(count):
        score = _score(weights[k], embedding, state.timbre)
        if score > top:
            total = total * np.exp(top - score) + np.float32(1)
            best, top = k, score
        else:
            total += np.exp(score - top)
    return state.says[bank, best], np.float32(1) / total


@kernel
def pads_rename(state, embedding, label):
    """The label of a hit that the net calls `label`, as far as corrections know better.

    A pad speaks up where its score is above 0; of several, the highest.
    """
    bank = state.use[0]
    weights = state.weights[bank]
    said, top = label, np.float32(0)
    if state.kit[bank]:
        return said
    for k in range(state.counts[bank]):
        if state.instead[bank, k] == label:
            score = _score(weights[k], embedding, state.timbre)
            if score > top:
                said, top = state.says[bank, k], score
    return said


@kernel
def pads_keep(state, id, label, embedding):
    """Keep what is known of a hit, for whoever may correct it."""
    row = state.kept[0] % RECENT
    state.ids[row] = 0
    state.labels[row] = label
    size = len(embedding)
    for i in range(size):
        state.strokes[row, i] = embedding[i]
    for i in range(TIMBRE):
        state.strokes[row, size + i] = state.timbre[i]
    state.ids[row] = id
    state.kept[0] += 1
