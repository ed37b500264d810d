# SPDX-License-Identifier: GPL-3.0-or-later
"""What was struck: kick, snare, hat, tom or cymbal."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dsp.events import DRUM, LABEL_ROW, LABELS
from dsp.kernel import kernel
from dsp.onset import velocity_of
from dsp.settings import number, switch
from dsp.spectrum import BANDS
from dsp.units import HOP, samples


@dataclass(frozen=True, slots=True)
class DrumSettings:
    enabled: bool = switch(True, "name every stroke as a drum")
    decision_ms: float = number(12, 3, 60, "ms", "how long after the stroke its name is decided")
    sensitivity: float = number(0.5, 0, 1, "", "0 names only clear strokes, 1 names everything")
    refractory_ms: float = number(48, 10, 500, "ms", "shortest time between two hits of one drum")


HITS_PARAMS = np.dtype([("enabled", "i8"), ("decision", "i8"), ("refractory", "i8"), ("threshold", "f4")], align=True)

NAMES = ("kick", "snare", "hat-closed", "hat-open", "tom-mid", "crash")
ROWS = np.array([LABEL_ROW[name] for name in NAMES])
NOTES = np.array([LABELS[row].note for row in ROWS], np.float32)
SLOTS = 8  # strokes that may wait for their name at once: 60 ms of decision, 10 ms apart
CHANNEL = 10


class HitsState(NamedTuple):
    params: np.ndarray  # (1,) HITS_PARAMS
    rows: np.ndarray  # (names,) of LABELS
    notes: np.ndarray  # (names,)
    time: np.ndarray  # (SLOTS,) of strokes without a name, -1 where none waits [samples]
    id: np.ndarray  # (SLOTS,) of their onset
    velocity: np.ndarray  # (SLOTS,) as the onset had it
    before: np.ndarray  # (SLOTS, BANDS) background they rose from [dB]
    most: np.ndarray  # (SLOTS, BANDS) highest level since [dB]
    last: np.ndarray  # (names,) time of the last hit of each name
    score: np.ndarray  # (names,) work


def hits_params(settings: DrumSettings) -> np.ndarray:
    """What the kernel reads of the settings, shape (1,)."""
    params = np.zeros(1, HITS_PARAMS)
    params[0] = (
        settings.enabled,
        samples(settings.decision_ms),
        samples(settings.refractory_ms),
        1.0 - settings.sensitivity,
    )
    return params


def hits_state(settings: DrumSettings) -> HitsState:
    names = len(NAMES)
    return HitsState(
        hits_params(settings),
        ROWS.copy(),
        NOTES.copy(),
        np.full(SLOTS, -1),
        np.zeros(SLOTS, np.int64),
        np.zeros(SLOTS, np.float32),
        np.zeros((SLOTS, BANDS), np.float32),
        np.zeros((SLOTS, BANDS), np.float32),
        np.full(names, -(1 << 40)),
        np.zeros(names, np.float32),
    )


@kernel
def hits_await(state, time, ref, velocity, background):
    """A stroke was decided; its name will follow."""
    for slot in range(SLOTS):
        if state.time[slot] < 0:
            state.time[slot] = time
            state.id[slot] = ref
            state.velocity[slot] = velocity
            for band in range(BANDS):
                state.before[slot, band] = background[band]
                state.most[slot, band] = background[band]
            return


@kernel
def _judge(before, most, levels, score):
    """Likelihood of each name, 0..1."""
    low, high = np.float32(0), np.float32(0)
    for band in range(3):
        low += most[band] - before[band]
    for band in range(20, 30):
        high += most[band] - before[band]
    score[0] = min(low / np.float32(40), np.float32(1))
    score[1] = np.float32(0)
    score[2] = min(high / np.float32(150), np.float32(1))
    score[3] = score[4] = score[5] = np.float32(0)


@kernel
def hits_hop(state, levels, now, ids, out, n):
    """Name the strokes that can wait no longer; the number of events in `out` then.

    Parameters
    ----------
    state : HitsState
    levels : array, shape (BANDS,)
        Newest levels above the mask [dB].
    now : int
        Clock at the end of the hop [samples].
    ids : array, shape (1,)
    out : array of EVENT
        Holds `n` already.
    """
    params = state.params[0]
    for slot in range(SLOTS):
        time = state.time[slot]
        if time < 0:
            continue
        most = state.most[slot]
        for band in range(BANDS):
            most[band] = max(most[band], levels[band])
        if now + HOP - time <= params.decision:
            continue
        state.time[slot] = -1
        score = state.score
        _judge(state.before[slot], most, levels, score)
        best = 0
        for name in range(len(score)):
            if score[name] > score[best]:
                best = name
        for name in range(len(score)):
            fresh = time - state.last[name] >= params.refractory
            if name == best or (fresh and score[name] >= params.threshold):
                state.last[name] = time
                ids[0] += 1
                event = out[n]
                event.id = ids[0]
                event.ref = state.id[slot]
                event.time = time
                event.emitted = now
                event.kind = DRUM
                event.channel = CHANNEL
                event.label = state.rows[name]
                event.number = state.notes[name]
                event.value = state.velocity[slot]
                event.confidence = score[name]
                n += 1
    return n
