# SPDX-License-Identifier: GPL-3.0-or-later
"""MIDI clock: ticks that sequencers follow, computed ahead of the beats that are foretold."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bridge.midi.outbox import FRAMES, MESSAGE, send
from dsp.events import BEAT
from dsp.kernel import kernel
from dsp.settings import number, switch
from dsp.units import RATE, samples

TICK, START, CONTINUE, STOP, POSITION = 0xF8, 0xFA, 0xFB, 0xFC, 0xF2
TICKS = 24  # in a beat
SIXTEENTH = 6  # ticks that song positions count in
BAR = 4 * TICKS  # songs go on at a multiple of this
AHEAD = samples(30)  # a tick is sent at least this long before it is due
BEFORE = samples(1.5)  # start and continue come this much before their tick
NEAR, FAR = samples(6), samples(40)  # errors that are put right gently, soon, at once
GENTLE, SOON, NOW = 48.0, 24.0, 12.0  # ticks that this takes
STRETCH = 0.2  # most that a tick is longer or shorter for that
SLEW = 0.08  # most that a tick differs from the one before
STEADY, FOLLOW = 0.01, 0.3  # a tempo this near the last is taken over by this part
GONE = 2.5  # beats: longer without one, and the clock stops
WAIT = 9  # beats without a bar, after which a song begins at any
SURE = 0.4  # a beat less likely starts nothing


@dataclass(frozen=True, slots=True)
class ClockSettings:
    enabled: bool = switch(
        False, "send MIDI clock, 24 ticks a beat, that follows the beat; turns beat.enabled on"
    )
    transport: bool = switch(True, "send start, stop, continue and song position too")
    link: bool = switch(
        False, "lead an Ableton Link session too, on its own or with the clock; needs earwire[link]"
    )
    offset_ms: float = number(
        0, -200, 200, "ms", "ticks this much later; below 0 earlier, for a slow follower"
    )


CLOCK_PARAMS = np.dtype([("enabled", "i8"), ("transport", "i8"), ("offset", "i8")], align=True)
RUNNING, PLAYING, INDEX, ANCHOR, BEATS, SONG, BEGIN = range(7)  # words of `counts`
LINE, TARGET, NEXT, INTERVAL = range(4)  # words of `course`


class ClockState(NamedTuple):
    params: np.ndarray  # (1,) CLOCK_PARAMS
    # 1 while ticking, 1 while a song plays, next tick, the tick of the last beat, beats since ticking began,
    # ticks of the song when it stopped, the tick that a song begins with or -1
    counts: np.ndarray  # (7,) int64
    # last beat, length of a tick by it, next tick, length of the last one [samples]
    course: np.ndarray  # (4,) float64
    scratch: np.ndarray  # (1,) MESSAGE


def clock_params(settings: ClockSettings) -> np.ndarray:
    """What the kernel reads of the settings, shape (1,)."""
    return np.array([(settings.enabled, settings.transport, samples(settings.offset_ms))], CLOCK_PARAMS)


def clock_state(settings: ClockSettings) -> ClockState:
    return ClockState(clock_params(settings), np.zeros(7, np.int64), np.zeros(4), np.zeros(1, MESSAGE))


@kernel
def _put(state, clock, at, status, data1, data2, prompt, box):
    """Hand a message over for sample `at`."""
    at += state.params[0].offset
    if clock.kind == FRAMES:
        due = clock.offset + (at if clock.rate == RATE else at * clock.rate // RATE)
    else:
        due = clock.offset + at * 1_000_000_000 // RATE
    return send(box, state.scratch, due, clock.kind, prompt, status, data1, data2, 0)


@kernel
def _stop(state, clock, heard, box):
    """No beat for too long: the song stops, and goes on at the next bar."""
    counts, n = state.counts, 0
    if counts[PLAYING] and state.params[0].transport:
        n += _put(state, clock, heard, STOP, 0, 0, 1, box)
    if counts[PLAYING]:
        counts[SONG] = (counts[INDEX] + BAR // 2) // BAR * BAR
    counts[RUNNING] = 0
    counts[PLAYING] = 0
    return n


@kernel
def _play(state, clock, box):
    """A song starts, or goes on, with the next tick."""
    counts, n = state.counts, 0
    counts[ANCHOR] += counts[SONG] - counts[INDEX]
    counts[INDEX] = counts[SONG]
    counts[PLAYING] = 1
    if state.params[0].transport:
        at = int(state.course[NEXT]) - BEFORE
        if counts[SONG] == 0:
            n += _put(state, clock, at, START, 0, 0, 0, box)
        else:
            place = (counts[SONG] // SIXTEENTH) & 0x3FFF
            n += _put(state, clock, at, POSITION, place & 0x7F, place >> 7, 0, box)
            n += _put(state, clock, at, CONTINUE, 0, 0, 0, box)
    return n


@kernel
def _follow(state, beat, heard):
    """Draw the line that ticks are led to: through the beat, at its tempo."""
    counts, course = state.counts, state.course
    time, length = 1.0 * beat.time, 60.0 * RATE / beat.number / TICKS
    if not counts[RUNNING]:
        course[LINE], course[TARGET], course[NEXT], course[INTERVAL] = time, length, time, length
        while course[NEXT] < heard:
            course[NEXT] += length * TICKS
        course[LINE] = course[NEXT]
        counts[RUNNING], counts[INDEX], counts[ANCHOR], counts[BEATS], counts[BEGIN] = 1, 0, 0, 0, -1
        return
    place = counts[INDEX] + (time - course[NEXT]) / course[INTERVAL]
    counts[ANCHOR] = int(np.floor(place / TICKS + 0.5)) * TICKS
    course[LINE] = time
    if abs(length / course[TARGET] - 1) < STEADY:
        course[TARGET] += FOLLOW * (length - course[TARGET])
    else:
        course[TARGET] = length


@kernel
def clock_step(state, clock, events, heard, box):
    """Hand over the ticks that are due soon.

    Parameters
    ----------
    state : ClockState
    clock : CLOCK
        From samples to the time of the port.
    events : (n,) EVENT
        The newest, of which the beats count.
    heard : int
        Samples heard so far.
    box : Outbox

    Returns
    -------
    int
        Messages handed over.

    Notes
    -----
    A phase-locked loop: every tick is as long as the tempo says, and so much
    longer or shorter that the error is gone within two beats, one, or half of
    one; never by more than STRETCH, and never unlike the tick before by more
    than SLEW.  Realtime: O(ticks), no allocation.
    """
    counts, course, n = state.counts, state.course, 0
    if state.params[0].enabled == 0:
        return _stop(state, clock, heard, box) if counts[RUNNING] else 0
    for k in range(len(events)):
        e = events[k]
        if e.kind != BEAT or e.number <= 0 or (counts[RUNNING] == 0 and e.confidence < SURE):
            continue
        _follow(state, e, heard)
        counts[BEATS] += 1
        if counts[PLAYING] == 0 and counts[BEGIN] < 0 and (int(e.value) == 1 or counts[BEATS] >= WAIT):
            counts[BEGIN] = counts[ANCHOR] + max(int(e.label), 1) * TICKS  # so that all can be told in time
    if counts[RUNNING] and heard - course[LINE] > GONE * TICKS * course[TARGET]:
        n += _stop(state, clock, heard, box)
    ahead = max(AHEAD, 2 * clock.path * RATE // clock.rate if clock.kind == FRAMES else AHEAD)
    while counts[RUNNING] and course[NEXT] < heard + ahead:
        if counts[PLAYING] == 0 and counts[INDEX] == counts[BEGIN]:
            n += _play(state, clock, box)
        n += _put(state, clock, int(np.floor(course[NEXT] + 0.5)), TICK, 0, 0, 0, box)
        target, last = course[TARGET], course[INTERVAL]
        error = counts[INDEX] - counts[ANCHOR] - (course[NEXT] - course[LINE]) / target
        size = abs(error) * target
        within = GENTLE if size < NEAR else SOON if size < FAR else NOW
        wanted = target * (1 + min(max(error / within, -STRETCH), STRETCH))
        course[INTERVAL] = min(max(wanted, last * (1 - SLEW)), last * (1 + SLEW))
        course[NEXT] += course[INTERVAL]
        counts[INDEX] += 1
    return n
