# SPDX-License-Identifier: GPL-3.0-or-later
"""Strokes lately heard, and whether they came out of silence."""

from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel
from dsp.units import HOP

STROKES = 16  # kept; none is asked for after 80 ms
MEMORY = 64  # hops whose level is kept
FORGET = np.float32(1)  # a sound counts as there this much less for each hop since [dB]
CLOSED = 1 << 30  # among the families of a stroke: it takes no further name once its decision is over
WHISPER = np.float32(-71)  # softer is silence, whatever it is beside [dBFS]
SILENCE = np.float32(30)  # what lies this far below a stroke is silence beside it [dB]


class StrokesState(NamedTuple):
    time: np.ndarray  # (STROKES,) [samples]
    id: np.ndarray  # (STROKES,) of its onset
    families: np.ndarray  # (STROKES,) a bit for each it was named so far
    open: np.ndarray  # (STROKES,) 1 until its decision is over
    next: np.ndarray  # (1,) row that is written next
    level: np.ndarray  # (MEMORY,) of each hop, newest first [dBFS]


def strokes_state() -> StrokesState:
    return StrokesState(
        np.full(STROKES, -(1 << 40)),
        np.zeros(STROKES, np.int64),
        np.zeros(STROKES, np.int64),
        np.zeros(STROKES, np.int64),
        np.zeros(1, np.int64),
        np.full(MEMORY, -100, np.float32),
    )


@kernel
def strokes_hop(state, level):
    """One more hop has the level `level` [dBFS]."""
    for i in range(MEMORY - 1, 0, -1):
        state.level[i] = state.level[i - 1]
    state.level[0] = level


@kernel
def strokes_add(state, time, id, undecided):
    """Keep a stroke; the row it is kept in."""
    row = state.next[0]
    state.time[row] = time
    state.id[row] = id
    state.families[row] = 0
    state.open[row] = undecided
    state.next[0] = (row + 1) % STROKES
    return row


@kernel
def strokes_due(state, now, decision):
    """Row of a stroke that cannot wait for another hop, -1 where all can; it is then decided."""
    for row in range(STROKES):
        if state.open[row] and now + HOP - state.time[row] > decision:
            state.open[row] = 0
            if now - state.time[row] <= decision:
                return row
    return -1


@kernel
def strokes_fit(state, earliest, latest, expected, families):
    """Row of the stroke nearest to `expected` that has none of the `families` yet, -1 where there is none."""
    best = -1
    for row in range(STROKES):
        time = state.time[row]
        if not earliest <= time <= latest or state.families[row] & families:
            continue
        if best < 0 or abs(time - expected) < abs(state.time[best] - expected):
            best = row
    return best


@kernel
def strokes_closed(state, row, earliest, latest):
    """Whether the stroke in `row`, or where that is -1 any between these times, takes no further name."""
    closed = False
    for other in range(STROKES):
        near = other == row or (row < 0 and earliest <= state.time[other])
        closed |= near and state.time[other] < latest and state.families[other] & CLOSED != 0
    return closed


@kernel
def strokes_audible(state, age):
    """Whether anything sounded in the newest `age` samples."""
    loudest = np.float32(-100)
    for i in range(min(age // HOP + 1, MEMORY)):
        loudest = max(loudest, state.level[i])
    return loudest > WHISPER


@kernel
def strokes_broke_silence(state, row, now):
    """Whether nothing sounded when this stroke came.

    What sounded before fades from memory rather than ending, so that the
    pauses between the strokes of a roll are none.
    """
    first = min((now - state.time[row] - 1) // HOP, MEMORY - 2)
    stroke, before = np.float32(-100), np.float32(-100)
    for i in range(MEMORY):
        if i <= first:
            stroke = max(stroke, state.level[i])
        else:
            before = max(before, state.level[i] - FORGET * np.float32(i - first))
    return stroke - before >= SILENCE
