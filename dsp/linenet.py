# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a note of one line has just begun: what the ear for many notes knows of a pitch, and what repeats.

The net of `dsp.notenet` hears early that something began, and may mistake its semitone or
its octave for another while its windows still fill; the period of one voice (`dsp.pitch`)
tells those apart as soon as it has come twice. A small net with one hidden layer weighs both.
"""

from typing import NamedTuple

import numpy as np

from dsp.hindsight import PAST
from dsp.kernel import kernel
from dsp.net import dense, rectify, sigmoid
from dsp.notenet import embed
from dsp.pitch import SLOW
from dsp.tones import LOWEST, PITCHES

OCTAVE, TWELFTH = 12, 19
# Semitones by which a period is too high where it is mistaken.
KIN = (0, OCTAVE, -OCTAVE, TWELFTH, 2 * OCTAVE)
SAID = 5  # rows of the net's word that count: onsets and sounding
OTHERS = 6  # what is said of other pitches
STEADY = np.float32(0.3)  # semitones that a period may wander in a frame and stay
AGO = (1, 3, 6)  # frames ago that the level is compared with
BEL = np.float32(0.1)  # a decibel
STILL = np.float32(0.5)  # semitones that a pitch may wander that has settled
CERTAIN = np.float32(0.9)  # likeness of its period
BEFORE = 4  # frames ago that a pitch is asked whether it sounded already
POSSIBLE = np.float32(-3.5)  # least logit that is weighed
HELPED = np.float32(-6)  # the same where the period agrees
AGREES = np.float32(0.7)  # likeness of such a period
ASIDE = 2 ** (0.5 / 12)  # half a semitone
SILENT = np.float32(-120)  # level of nothing [dB]


class LineWeights(NamedTuple):
    hidden: np.ndarray  # (features, hidden)
    hidden_bias: np.ndarray
    out: np.ndarray  # (hidden,)
    out_bias: np.ndarray  # (1,)
    asked: np.ndarray  # (1,) likelihood from which a beginning is believed


class LineNetState(NamedTuple):
    weights: LineWeights
    said: np.ndarray  # (lags + 2, PITCHES) logits of the newest frame
    sounded: np.ndarray  # (PAST, PITCHES) likelihood of sounding of the newest frames
    rumour: np.ndarray  # (PAST, PITCHES) likelihood of an onset by the earliest head
    period: np.ndarray  # (3,) of the newest frame: MIDI number, 0 for none; likeness; frames it has stayed
    still: np.ndarray  # (3,) frames for which it has been sure and still; its least and greatest since [MIDI]
    level: np.ndarray  # (PAST,) of the newest frames [dB]
    x: np.ndarray  # (features,) work
    hidden: np.ndarray  # (hidden,) work


def features_of(embedding: int) -> int:
    """How many numbers are weighed for a pitch, of an ear with so large an embedding of each."""
    return embedding + SAID + 3 + OTHERS + len(KIN) + 4 + 2 + len(AGO) + 1


def linenet_state(weights: LineWeights, rows: int) -> LineNetState:
    """What is remembered for `rows` of the net's word, of nothing heard."""

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    features, hidden = weights.hidden.shape
    past = (PAST, PITCHES)
    return LineNetState(
        weights, zeros(rows, PITCHES), zeros(*past), zeros(*past), zeros(3), zeros(3), np.full(PAST, SILENT),
        zeros(features), zeros(hidden),
    )  # fmt: skip


@kernel
def linenet_hear(state, midi, likeness, level, frame):
    """Take in one more frame of the net's word, ``state.said``, and the period and level that are heard with it."""
    state.level[frame % PAST] = level
    sounding, period = state.said[SAID - 1], state.period
    for pitch in range(PITCHES):
        state.sounded[frame % PAST, pitch] = sigmoid(sounding[pitch])
        state.rumour[frame % PAST, pitch] = sigmoid(state.said[0, pitch])
    stays = midi > 0 and abs(midi - period[0]) < STEADY
    period[2] = period[2] + 1 if stays else np.float32(0)
    period[0], period[1] = midi, likeness if midi > 0 else np.float32(0)
    still = state.still
    low, high = min(still[1], midi), max(still[2], midi)
    if still[0] == 0 or high - low > STILL:
        still[0], low, high = 0, midi, midi
    still[0], still[1], still[2] = still[0] + 1 if period[1] > CERTAIN else np.float32(0), low, high


@kernel
def possible(state, pitch):
    """Whether a pitch is worth weighing at all."""
    most = state.said[0, pitch]
    for row in range(1, SAID - 1):
        most = max(most, state.said[row, pitch])
    if most > POSSIBLE:
        return True
    agrees = abs(state.period[0] - (pitch + LOWEST)) < 0.5 and state.period[1] > AGREES
    return agrees and most > HELPED


@kernel
def _rumoured(said, pitch):
    """The louder of the two earliest heads' words about a pitch; far from any where there is none such."""
    return max(said[0, pitch], said[1, pitch]) if 0 <= pitch < PITCHES else np.float32(-9)


@kernel
def hertz(pitch):
    """Frequency of a pitch [semitones above A0]."""
    return 440.0 * 2.0 ** ((pitch + LOWEST - 69) / 12)


@kernel
def repeats(lags, pitch, octaves):
    """Likeness of the newest stretch and the one before at the period of a pitch, or of octaves above it."""
    first, longest = lags.params[0].shortest, lags.params[0].longest
    middle = SLOW / hertz(pitch + OCTAVE * octaves)
    most = np.float32(0)
    for lag in range(max(first, int(middle / ASIDE)), min(longest, int(middle * ASIDE) + 1) + 1):
        most = max(most, np.float32(lags.likeness[lag]))
    return most


@kernel
def judged(weights, x, hidden):
    """Likelihood of what is weighed, x (features,), through a layer of `hidden`, (hidden,)."""
    dense(x, weights.hidden, weights.hidden_bias, hidden)
    rectify(hidden)
    total = weights.out_bias[0]
    for k in range(len(hidden)):
        total += hidden[k] * weights.out[k]
    return sigmoid(total)


@kernel
def weigh(state, net, lags, pitch, frame):
    """How likely a note of this pitch has begun within the last frames.

    Parameters
    ----------
    state : LineNetState
        After `linenet_hear`.
    net : NoteNetState
        After `dsp.notenet.notenet_frame`.
    lags : LagState
        After `dsp.pitch.lag_step`.
    pitch : int
        Semitones above A0.
    frame : int

    Notes
    -----
    Realtime: O(1), no allocation.
    """
    x, said, period = state.x, state.said, state.period
    n = embed(net, pitch, x)
    for row in range(SAID):
        x[n] = said[row, pitch]
        n += 1
    x[n], x[n + 1] = state.rumour[(frame - 1) % PAST, pitch], state.rumour[(frame - 2) % PAST, pitch]
    x[n + 2] = state.sounded[(frame - BEFORE) % PAST, pitch]
    n += 3
    loudest = np.float32(-9)
    for other in range(PITCHES):
        loudest = max(loudest, _rumoured(said, other))
    x[n] = max(_rumoured(said, pitch - 1), _rumoured(said, pitch + 1))
    x[n + 1], x[n + 2], x[n + 3] = _rumoured(said, pitch + OCTAVE), _rumoured(said, pitch - OCTAVE), loudest
    at = frame % PAST
    x[n + 4] = state.sounded[at, pitch + OCTAVE] if pitch + OCTAVE < PITCHES else np.float32(0)
    x[n + 5] = state.sounded[at, pitch - OCTAVE] if pitch >= OCTAVE else np.float32(0)
    n += OTHERS
    above, sure = period[0] - np.float32(pitch + LOWEST), period[1]
    for kin in KIN:
        x[n] = sure if abs(above - kin) < 0.5 else np.float32(0)
        n += 1
    here = abs(above) < 0.5
    x[n] = sure if not here and abs(above) < 2.5 else np.float32(0)
    x[n + 1] = sure
    x[n + 2] = sure if here and period[2] >= 1 else np.float32(0)
    x[n + 3] = sure if here and period[2] >= 2 else np.float32(0)
    n += 4
    x[n], x[n + 1] = repeats(lags, pitch, 0), repeats(lags, pitch, 1)
    n += 2
    for ago in AGO:
        x[n] = BEL * (state.level[frame % PAST] - state.level[(frame - ago) % PAST])
        n += 1
    x[n] = np.float32(pitch) / np.float32(PITCHES)
    return judged(state.weights, x, state.hidden)


@kernel
def linenet_forget(state):
    """As if nothing had been heard."""
    for row in range(PAST):
        state.level[row] = SILENT
        for pitch in range(PITCHES):
            state.sounded[row, pitch] = state.rumour[row, pitch] = np.float32(0)
    for i in range(len(state.period)):
        state.period[i] = state.still[i] = np.float32(0)
