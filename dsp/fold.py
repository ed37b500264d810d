# SPDX-License-Identifier: GPL-3.0-or-later
"""The last seconds laid upon each other, four beats long: what a net sees of where beats and bars lie.

Beats that are followed may lie between the true ones, be twice or half as many,
or begin a bar elsewhere. Over four of them, averaged, each looks its own way: what
rises, what sounds, what another net felt; and where the music changes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsp.beatnet import LAG
from dsp.kernel import kernel
from dsp.net import dense, rectify, shares
from dsp.pulse import BANDS, FRAME, INPUTS
from dsp.recur import FEWEST, MARKS, PIECES, recur
from dsp.units import RATE

GROUPS = 8  # of bands, alike in size
FELT = 2 * GROUPS  # where, among what is laid out, that is which was felt
FEATURES = FELT + 2  # rises, then levels, then beats and downbeats as felt
SUMS = FEATURES + BANDS  # what is laid out, then the level of each band
BEATS, PARTS = 4, 12  # that are laid out, and parts of each
BINS = BEATS * PARTS
LAID = BINS * FEATURES  # numbers that are laid out
SIZE = LAID + 1 + MARKS  # of what the net is given: those, the length of a beat, what changes
SECONDS = 9.0  # that are laid upon each other,
CHANGES = 12.0  # and in which changes are looked for
SPAN = 1280  # frames that are remembered
MIDDLE = 56.0  # frames between beats of the usual tempo
RIGHT, BETWEEN, TWICE, HALF, OTHER = range(5)  # what beats may be: right, between the true ones, too many ...
READINGS = 5
COMMON = (0.42, 0.14, 0.2, 0.12, 0.12)  # how often the net met each while it learned


class FoldWeights(NamedTuple):
    """As the kernels read them: inputs by outputs."""

    low: np.ndarray  # (SIZE, layer)
    low_bias: np.ndarray
    high: np.ndarray  # (layer, layer)
    high_bias: np.ndarray
    head: np.ndarray  # (layer, READINGS + BEATS)
    head_bias: np.ndarray


class FoldState(NamedTuple):
    weights: FoldWeights
    heard: np.ndarray  # (1,) frames so far
    sums: np.ndarray  # (SPAN, SUMS) of all frames before each
    pieces: np.ndarray  # (PIECES, BANDS) work
    laid: np.ndarray  # (SIZE,) what the net is given
    layers: np.ndarray  # (2, layer) work
    readings: np.ndarray  # (READINGS,) how likely each is
    places: np.ndarray  # (BEATS,) how likely the newest beat is each of four, if the beats are right


def shapes(layer: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training."""
    found: dict[str, tuple[int, ...]] = {"fold.low.w": (layer, SIZE), "fold.low.b": (layer,)}
    found |= {"fold.high.w": (layer, layer), "fold.high.b": (layer,)}
    return found | {"fold.head.w": (READINGS + BEATS, layer), "fold.head.b": (READINGS + BEATS,)}


def fold_weights(arrays: Mapping[str, np.ndarray]) -> FoldWeights:
    """Exported arrays, of `shapes`, turned to how the kernels read them."""
    names = [f"fold.{layer}.{part}" for layer in ("low", "high", "head") for part in ("w", "b")]
    return FoldWeights._make(np.ascontiguousarray(np.asarray(arrays[n], np.float32).T) for n in names)


def fold_state(weights: FoldWeights) -> FoldState:
    return FoldState(
        weights,
        np.zeros(1, np.int64),
        np.zeros((SPAN, SUMS)),
        np.zeros((PIECES, BANDS), np.float32),
        np.zeros(SIZE, np.float32),
        np.zeros((2, len(weights.low_bias)), np.float32),
        np.zeros(READINGS, np.float32),
        np.zeros(BEATS, np.float32),
    )


@kernel
def fold_hop(state, inputs, felt):
    """Remember one more frame.

    Parameters
    ----------
    state : FoldState
    inputs : array, shape (INPUTS,)
    felt : array, shape (2,)
        How likely a beat sounded LAG frames ago, and that it began a bar.
    """
    now, wide = state.heard[0], BANDS // GROUPS
    before, after = state.sums[now % SPAN], state.sums[(now + 1) % SPAN]
    for group in range(GROUPS):
        rise, level = 0.0, 0.0
        for band in range(group * wide, (group + 1) * wide):
            rise += min(inputs[BANDS + band], np.float32(1))
            level += inputs[band]
            after[FEATURES + band] = before[FEATURES + band] + inputs[band]
        after[group] = before[group] + rise / wide
        after[GROUPS + group] = before[GROUPS + group] + level / wide
    after[FELT] = before[FELT] + felt[0]
    after[FELT + 1] = before[FELT + 1] + felt[0] * felt[1]
    state.heard[0] = now + 1


@kernel
def _until(state, at, column):
    """Sum of a column until a place between frames."""
    low = int(np.floor(at))
    before, after = state.sums[low % SPAN, column], state.sums[(low + 1) % SPAN, column]
    return before + (at - low) * (after - before)


@kernel
def _cut(state, end, length, first):
    """Cut what was heard until a beat into pieces of half a beat, into ``state.pieces``; how many."""
    half, pieces = 0.5 * length, state.pieces
    count = min(PIECES, int((end - first) / half), int(CHANGES * RATE / FRAME / half))
    for band in range(BANDS):
        before = _until(state, end - count * half, FEATURES + band)
        for k in range(count):
            after = _until(state, end - (count - 1 - k) * half, FEATURES + band)
            pieces[k, band] = np.float32((after - before) / half)
            before = after
    for k in range(count):
        mean = np.float32(0)
        for band in range(BANDS):
            mean += pieces[k, band] / np.float32(BANDS)
        for band in range(BANDS):
            pieces[k, band] -= mean
    return count


@kernel
def fold_lay(state, end, length):
    """Lay out what was heard until a beat, into ``state.laid``.

    Parameters
    ----------
    state : FoldState
    end : float
        Where the newest beat is [frames since the start].
    length : float
        From beat to beat [frames].

    Returns
    -------
    bool
        Whether enough was heard.
    """
    laid, heard = state.laid, state.heard[0]
    end += 0.5
    part = length / PARTS
    turns = max(1, int(SECONDS * RATE / FRAME / (BEATS * length) + 0.5))
    first = max(0, heard - SPAN + 2)
    while turns > 1 and end - (turns * BINS - 0.5) * part < first:
        turns -= 1
    if end - (turns * BINS - 0.5) * part < first or end + LAG + 0.5 * part > heard - 1:
        return False
    count = _cut(state, end, length, first)
    if count < FEWEST:
        return False
    recur(state.pieces, count, laid[LAID + 1 :])
    laid[:LAID] = np.float32(0)
    for feature in range(FEATURES):
        newest = end + LAG if feature >= FELT else end
        before = _until(state, newest - (turns * BINS - 0.5) * part, feature)
        for k in range(turns * BINS):
            after = _until(state, newest - (turns * BINS - 1.5 - k) * part, feature)
            laid[(k + 1) % BINS * FEATURES + feature] += np.float32((after - before) / (part * turns))
            before = after
    mean = np.float32(0)
    for k in range(BINS):
        for group in range(GROUPS):
            mean += laid[k * FEATURES + group]
    scale = np.float32(1) / (mean / np.float32(BINS * GROUPS) + np.float32(1e-3))
    for group in range(GROUPS):
        level = np.float32(0)
        for k in range(BINS):
            laid[k * FEATURES + group] *= scale
            level += laid[k * FEATURES + GROUPS + group]
        for k in range(BINS):
            laid[k * FEATURES + GROUPS + group] -= level / np.float32(BINS)
    laid[LAID] = np.log2(length / MIDDLE)
    return True


@kernel
def fold_look(state):
    """What the beats are that were laid out, into ``state.readings`` and ``state.places``.

    Notes
    -----
    Realtime: O(1), no allocation; asked once a beat.
    """
    w, layers = state.weights, state.layers
    dense(state.laid, w.low, w.low_bias, layers[0])
    rectify(layers[0])
    dense(layers[0], w.high, w.high_bias, layers[1])
    rectify(layers[1])
    dense(layers[1], w.head[:, :READINGS], w.head_bias[:READINGS], state.readings)
    dense(layers[1], w.head[:, READINGS:], w.head_bias[READINGS:], state.places)
    shares(state.readings)
    shares(state.places)


assert INPUTS == 2 * BANDS and BANDS % GROUPS == 0
