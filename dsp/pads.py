# SPDX-License-Identifier: GPL-3.0-or-later
"""Pads: what a drummer has taught, laid over what the net hears.

A pad is a row of weights on the net's embedding of a stroke. A kit's pads name
every stroke among themselves; corrections made without a kit each take the
place of one label, where a hit is clearly of the taught kind.
"""

from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel

PADS = 32  # most of a kit
RECENT = 32  # hits whose embeddings are kept


class PadsState(NamedTuple):
    use: np.ndarray  # (1,) which bank counts; the other may be written
    counts: np.ndarray  # (2,) pads in each bank
    kit: np.ndarray  # (2,) 1: the pads of a kit, which name every stroke
    weights: np.ndarray  # (2, PADS, n + 1) float32 on an embedding (n,), then a bias
    says: np.ndarray  # (2, PADS) label that each pad says, a row of LABELS or beyond them
    instead: np.ndarray  # (2, PADS) label it takes the place of, where there is no kit
    kept: np.ndarray  # (1,) hits kept so far
    ids: np.ndarray  # (RECENT,) event ids of the newest hits; 0 where a row is not whole
    labels: np.ndarray  # (RECENT,)
    embeddings: np.ndarray  # (RECENT, n) float32


def pads_state(size: int) -> PadsState:
    """No pads, over embeddings of shape (size,)."""
    return PadsState(
        np.zeros(1, np.int64),
        np.zeros(2, np.int64),
        np.zeros(2, np.int64),
        np.zeros((2, PADS, size + 1), np.float32),
        np.zeros((2, PADS), np.int64),
        np.zeros((2, PADS), np.int64),
        np.zeros(1, np.int64),
        np.zeros(RECENT, np.int64),
        np.zeros(RECENT, np.int64),
        np.zeros((RECENT, size), np.float32),
    )


@kernel
def pads_kit(state):
    """Whether a kit is in use."""
    return state.kit[state.use[0]] != 0 and state.counts[state.use[0]] > 0


@kernel
def _score(weights, embedding):
    size = len(embedding)
    total = weights[size]
    for i in range(size):
        total += weights[i] * embedding[i]
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
        Label and confidence, the softmax over the pads.

    Notes
    -----
    Realtime: O(pads * n), no allocation.
    """
    bank = state.use[0]
    weights, count = state.weights[bank], state.counts[bank]
    best, top, total = 0, np.float32(-np.inf), np.float32(0)
    for k in range(count):
        score = _score(weights[k], embedding)
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
            score = _score(weights[k], embedding)
            if score > top:
                said, top = state.says[bank, k], score
    return said


@kernel
def pads_keep(state, id, label, embedding):
    """Keep the embedding of a hit, for whoever may correct it."""
    row = state.kept[0] % RECENT
    state.ids[row] = 0
    state.labels[row] = label
    for i in range(len(embedding)):
        state.embeddings[row, i] = embedding[i]
    state.ids[row] = id
    state.kept[0] += 1
