# SPDX-License-Identifier: GPL-3.0-or-later
"""The sustain pedal of a piano, from how notes overlap and end.

Fingers hold what they play; a pedal holds what fingers have left. Where notes go on
sounding while the hand that played them plays on, and none is damped, the pedal is
likely down; where several are damped at once it has come up. Counts of such things,
frame by frame, go into one gated recurrent unit.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel
from dsp.net import dense, gru, sigmoid
from dsp.tones import BINS, BINS_A_PITCH, PITCHES

SEEN = 2  # windows, short and middle
PAST = 16  # frames of which powers are remembered
STRUCK = 8  # frames for which what is struck together is a chord
REACH, BESIDE = 9, 2  # semitones that a hand moves on by; and a finger, on the very next keys
CROWDED = (12, 25, 60)  # frames since a hand moved on that are told apart
HAND, FINGERS = 13, 5  # semitones that a hand spans, keys that it holds
FALLS = ((6, -1.2, -0.5), (10, -1.0, -0.4))  # by window: over how many frames; a fast and a slow fall [bels]
LONG = 60  # frames from which a note has sounded for long
QUIET = np.float32(10**-9.5)  # power that counts as nothing

(COUNT, CROWD, NEXT, FALLING, DOUBT, ENDED, DROP, LEFT, LATE, AGAIN, HANDS, BEGUN, RISE, FEATURES) = (
    0, 1, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20,
)  # fmt: skip

REST = 60  # frames without a note after which there is nothing to hold
DOWN, UP = np.float32(0.6), np.float32(0.4)  # likelihoods from which the pedal is believed down, and up


class PedalWeights(NamedTuple):
    """As the kernels read them: inputs by outputs."""

    input: np.ndarray  # (FEATURES, 3 * memory)
    input_bias: np.ndarray
    state: np.ndarray  # (memory, 3 * memory)
    state_bias: np.ndarray
    head: np.ndarray  # (memory, 1)
    head_bias: np.ndarray


class PedalState(NamedTuple):
    weights: PedalWeights
    frames: np.ndarray  # (1,) int64, heard
    id: np.ndarray  # (PITCHES,) int64, note that sounded in the newest frame, 0 for none
    began: np.ndarray  # (PITCHES,) int64, frame in which it was known
    crowded: np.ndarray  # (PITCHES,) int64, frame in which its hand moved on, -1 before that
    beside: np.ndarray  # (PITCHES,) int64, frame in which a key beside it was struck, -1 before that
    past: np.ndarray  # (PAST, SEEN, PITCHES + 1) powers of the newest frames, of all together last
    x: np.ndarray  # (FEATURES,)
    gates: np.ndarray  # (2, 3 * memory) work
    memory: np.ndarray  # (memory,)
    likely: np.ndarray  # (1,) that the pedal is down
    down: np.ndarray  # (1,) int64, 1 where it was said to be
    rested: np.ndarray  # (1,) int64, frames without a note


def shapes(memory: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of the weights, as exported from training."""
    gates = 3 * memory
    return {
        "w_ih": (gates, FEATURES), "b_ih": (gates,), "w_hh": (gates, memory), "b_hh": (gates,),
        "head.w": (1, memory), "head.b": (1,),
    }  # fmt: skip


def pedal_weights(arrays: Mapping[str, np.ndarray]) -> PedalWeights:
    """Exported arrays, of `shapes`, turned to how the kernels read them."""
    names = ("w_ih", "b_ih", "w_hh", "b_hh", "head.w", "head.b")
    return PedalWeights._make(np.ascontiguousarray(np.asarray(arrays[name], np.float32).T) for name in names)


def unlearned(memory: int = 4) -> PedalWeights:
    """Weights that never say anything."""
    return pedal_weights({name: np.zeros(shape) for name, shape in shapes(memory).items()})


def pedal_state(weights: PedalWeights) -> PedalState:
    """All that is remembered of notes and pedal."""
    memory = len(weights.state)
    return PedalState(
        weights,
        np.zeros(1, np.int64),
        np.zeros(PITCHES, np.int64),
        np.zeros(PITCHES, np.int64),
        np.zeros(PITCHES, np.int64),
        np.zeros(PITCHES, np.int64),
        np.zeros((PAST, SEEN, PITCHES + 1), np.float32),
        np.zeros(FEATURES, np.float32),
        np.zeros((2, 3 * memory), np.float32),
        np.zeros(memory, np.float32),
        np.full(1, 0.5, np.float32),
        np.zeros(1, np.int64),
        np.full(1, REST),
    )


@kernel
def pedal_forget(state):
    """Nothing sounds, and what was before counts no more."""
    for pitch in range(PITCHES):
        state.id[pitch] = 0
    for i in range(len(state.memory)):
        state.memory[i] = np.float32(0)
    state.down[0] = 0
    state.rested[0] = REST


@kernel
def _remember(state, power, frame):
    """Keep the powers of this frame."""
    now = state.past[frame % PAST]
    for window in range(SEEN):
        whole = np.float32(0)
        for k in range(BINS):
            whole += power[window, k]
        for pitch in range(PITCHES):
            now[window, pitch] = max(power[window, BINS_A_PITCH * pitch + 1], QUIET)
        now[window, PITCHES] = max(whole, QUIET)


@kernel
def _rose(state, frame, window, column, back):
    """By how much a power has risen within some frames [bels]."""
    before = max(state.past[max(frame - back, 0) % PAST, window, column], QUIET)
    return np.log10(state.past[frame % PAST, window, column] / before)


@kernel
def _sounds(state, pitch, frame, sounded):
    """Count one note that has sounded so far."""
    x, age = state.x, frame - state.began[pitch]
    x[COUNT] += 1
    if state.crowded[pitch] >= 0:
        row, since = 0, frame - state.crowded[pitch]
        while row < len(CROWDED) and since >= CROWDED[row]:
            row += 1
        x[CROWD + row] += 1
    if state.beside[pitch] >= 0 and frame - state.beside[pitch] >= CROWDED[0]:
        x[NEXT] += 1
    if age > STRUCK:
        for window in range(SEEN):
            back, fast, slow = FALLS[window]
            rise = _rose(state, frame, window, pitch, back)
            if rise < fast:
                x[FALLING + 2 * window] += 1
            elif rise < slow:
                x[FALLING + 2 * window + 1] += 1
    x[DOUBT] += 1 - sounded


@kernel
def _ends(state, pitch, frame):
    """Count one note that has ended in this frame."""
    x, crowded = state.x, state.crowded[pitch]
    x[ENDED] += 1
    x[DROP] += min(max(-_rose(state, frame, 0, pitch, 12), np.float32(0)), np.float32(3))
    if crowded >= 0 and frame - crowded >= CROWDED[0]:
        x[LEFT] += 1
    if frame - state.began[pitch] > LONG:
        x[LATE] += 1


@kernel
def _hands(state, id):
    """How many hands it takes to hold what goes on sounding."""
    hands, first, held = 0, -HAND - 1, 0
    for pitch in range(PITCHES):
        if state.id[pitch] and id[pitch] == state.id[pitch]:
            if pitch - first > HAND or held == FINGERS:
                hands, first, held = hands + 1, pitch, 0
            held += 1
    return hands


@kernel
def _begins(state, pitch, frame):
    """A key is struck: those near it that were struck before have been left by their hand, or held by a pedal."""
    state.x[BEGUN] += 1
    for other in range(max(0, pitch - REACH), min(PITCHES, pitch + REACH + 1)):
        if other == pitch or state.id[other] == 0 or frame - state.began[other] <= STRUCK:
            continue
        if state.crowded[other] < 0:
            state.crowded[other] = frame
        if abs(other - pitch) <= BESIDE and state.beside[other] < 0:
            state.beside[other] = frame


@kernel
def pedal_notice(state, power, id, sounded):
    """What one more frame shows, into ``state.x``.

    Parameters
    ----------
    state : PedalState
    power : array, shape (WINDOWS, BINS)
        Of that frame.
    id : array, shape (PITCHES,)
        Notes that sound after it, 0 for none.
    sounded : array, shape (PITCHES,)
        How likely each pitch sounds.
    """
    frame, x = state.frames[0], state.x
    state.frames[0] += 1
    _remember(state, power, frame)
    for i in range(FEATURES):
        x[i] = np.float32(0)
    for pitch in range(PITCHES):
        if state.id[pitch] == 0:
            continue
        _sounds(state, pitch, frame, sounded[pitch])
        if id[pitch] == 0:
            _ends(state, pitch, frame)
        elif id[pitch] != state.id[pitch]:
            x[AGAIN] += 1
    x[HANDS] = max(_hands(state, id) - 2, 0)
    x[RISE] = _rose(state, frame, 0, PITCHES, 6)
    x[RISE + 1] = _rose(state, frame, 1, PITCHES, 12)
    for pitch in range(PITCHES):
        if id[pitch] == 0:
            state.id[pitch] = 0
        elif id[pitch] != state.id[pitch]:
            state.id[pitch] = 0
            _begins(state, pitch, frame)
    for pitch in range(PITCHES):
        if id[pitch] and state.id[pitch] == 0:
            state.id[pitch] = id[pitch]
            state.began[pitch] = frame
            state.crowded[pitch] = state.beside[pitch] = -1


@kernel
def pedal_believe(state):
    """How likely the pedal is down by what ``state.x`` shows, into ``state.likely``."""
    w = state.weights
    dense(state.x, w.input, w.input_bias, state.gates[0])
    dense(state.memory, w.state, w.state_bias, state.gates[1])
    gru(state.gates[0], state.gates[1], state.memory)
    total = w.head_bias[0]
    for i in range(len(state.memory)):
        total += state.memory[i] * w.head[i, 0]
    state.likely[0] = sigmoid(total)


@kernel
def pedal_look(state, power, id, sounded):
    """Whether the pedal was pressed or let go: 1, -1, or 0; arguments as of `pedal_notice`.

    Notes
    -----
    Speaks of some 60 ms ago.  Realtime: O(pitches), no allocation.
    """
    pedal_notice(state, power, id, sounded)
    state.rested[0] = 0 if state.x[COUNT] + state.x[BEGUN] > 0 else state.rested[0] + 1
    if state.rested[0] >= REST:
        for i in range(len(state.memory)):
            state.memory[i] = np.float32(0)
        state.likely[0] = np.float32(0)
    else:
        pedal_believe(state)
    if state.likely[0] >= DOWN and not state.down[0]:
        state.down[0] = 1
        return 1
    if state.likely[0] <= UP and state.down[0]:
        state.down[0] = 0
        return -1
    return 0
