# SPDX-License-Identifier: GPL-3.0-or-later
"""The beat: announced before it sounds, with its tempo and its place in the bar."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dsp.beatnet import LAG, BeatNetState, BeatWeights, beatnet_look, beatnet_state
from dsp.events import BEAT, TEMPO
from dsp.fold import (
    BEATS,
    COMMON,
    READINGS,
    FoldState,
    FoldWeights,
    fold_hop,
    fold_lay,
    fold_look,
    fold_state,
)
from dsp.kernel import kernel
from dsp.pointer import (
    LONGEST,
    METRES,
    ROWS,
    SHORTEST,
    TEMPOS,
    PointerState,
    pointer_believe,
    pointer_hop,
    pointer_read,
    pointer_state,
    pointer_weigh,
)
from dsp.pulse import BANDS, FRAME, PulseState, pulse_hop, pulse_state
from dsp.settings import number, switch
from dsp.stage import KernelStage, Spec
from dsp.units import HOP, RATE
from dsp.write import write_event

LEAD = 2.5  # frames: a beat is announced between this and one less before it sounds
SURE = 0.2  # what is less likely is kept to itself
STEADY = 0.05  # a beat this part of its length or more off the others is a new tempo
FOLLOW = 0.5  # how much of a smaller error a beat takes over,
DRIFT = 0.1  # and the length of the next
NEW = 0.02  # a tempo is said again when it has changed by this part
SURE_TEMPO = 0.4  # and is this likely
PULL, OCTAVE = 1.2, 0.25  # how far from the usual tempo it may be, and from one asked for [octaves]
TRUST = 0.6  # how far the net is believed: it is sure too soon
FOLDED, BARRED = 2.0, 2.0  # how far the fold is believed, of beats and of bars, at every beat
REACH = 4  # frames around a beat within which its stroke lies
HEARS = 1.2  # frames until a stroke shows
ALIGNS = 0.25  # how fast that is learned, once some beats are known
STROKE = 0.25  # what stands out this much shows that music plays

TAP, HALF, DOUBLE, NUDGE, LOCK = range(1, 6)  # what may be asked for
COUNT, WHAT, FIRST, SECOND = range(4)  # words of `asked`
CLOCK, DONE, LOCKED = range(3)  # words of `clock`
LAST, LENGTH, SHIFT, WANTED, SAID, HEARD, ALIGN = range(7)  # words of `course`


@dataclass(frozen=True, slots=True)
class BeatSettings:
    enabled: bool = switch(False, "follow the beat, and announce each before it sounds")
    low: float = number(55, 50, 220, "bpm", "slowest tempo that is followed")
    high: float = number(215, 50, 220, "bpm", "fastest tempo that is followed")
    usual: float = number(
        105, 50, 220, "bpm", "of a tempo, its half and its double, the one nearest to this is likelier"
    )
    metre: int = number(
        0, 0, 4, "beats", "in a bar, where that is known beforehand; 0 where it is to be found"
    )
    hold_s: float = number(4, 1, 60, "s", "how long it counts on where no stroke is heard")


BEAT_PARAMS = np.dtype(
    [("enabled", "i8"), ("low", "f8"), ("high", "f8"), ("usual", "f8"), ("metre", "i8"), ("hold", "i8")],
    align=True,
)


class BeatState(NamedTuple):
    params: np.ndarray  # (1,) BEAT_PARAMS
    asked: np.ndarray  # (4,) float64, written by whoever asks: how often, what, and two numbers
    clock: np.ndarray  # (3,) int64: samples heard, how often was answered, 1 while locked
    course: np.ndarray  # (7,) float64: last beat [samples], its length [samples], nudge [samples],
    # length asked for [frames], tempo said last [bpm], last stroke [samples],
    # how far strokes lie from where the net feels beats [samples]
    strength: np.ndarray  # (2,) mean rise, and its peak
    strokes: np.ndarray  # (3,) weight of those around the newest beat, how far they lie; beats so far
    pulse: PulseState
    net: BeatNetState
    pointer: PointerState
    fold: FoldState
    said: np.ndarray  # (READINGS + BEATS,) work
    ids: np.ndarray  # (1,) newest event id, shared with the other detectors


def beat_params(settings: BeatSettings) -> np.ndarray:
    """What the kernel reads of the settings, shape (1,)."""
    metre = settings.metre if settings.metre in METRES else 0
    low, high = min(settings.low, settings.high), max(settings.low, settings.high)
    return np.array(
        [(settings.enabled, low, high, settings.usual, metre, round(settings.hold_s * RATE))], BEAT_PARAMS
    )


class BeatNets(NamedTuple):
    """What was learned."""

    feel: BeatWeights
    fold: FoldWeights


def beat_state(settings: BeatSettings, nets: BeatNets, ids: np.ndarray) -> BeatState:
    return BeatState(
        beat_params(settings),
        np.zeros(4),
        np.zeros(3, np.int64),
        np.array([-1e18, 0, 0, 0, 0, -1e18, 0]),
        np.array([0, 0.05], np.float32),
        np.zeros(3),
        pulse_state(),
        beatnet_state(nets.feel),
        pointer_state(),
        fold_state(nets.fold),
        np.zeros(READINGS + BEATS, np.float32),
        ids,
    )


@kernel
def _align(state, stroke):
    """Learn how far from the strokes around a beat the net feels it: a frame or so, whatever is played."""
    course, strokes, now = state.course, state.strokes, state.clock[CLOCK]
    if stroke > STROKE:
        course[HEARD] = now
    away = now - HEARS * FRAME - (course[LAST] - course[SHIFT])
    if abs(away) < REACH * FRAME:
        strokes[0] += stroke * stroke
        strokes[1] += stroke * stroke * away
    elif strokes[0] > 0 and away > 0:
        if strokes[0] > STROKE:
            strokes[2] += 1.0
            rate = max(ALIGNS, 1.0 / (strokes[2] + 2.0))
            course[ALIGN] += rate * (strokes[1] / strokes[0] - course[ALIGN])
        strokes[0] = 0.0
        strokes[1] = 0.0


@kernel
def _felt(state):
    """How likely a beat sounds in the newest frame, and that it begins a bar; notes strokes down, too."""
    beatnet_look(state.net, state.pulse.inputs)
    rises, strength = state.pulse.inputs[BANDS:], state.strength
    rise = np.float32(0)
    for band in range(BANDS):
        rise += min(rises[band], np.float32(1)) / np.float32(BANDS)
    strength[0] += np.float32(0.01) * (rise - strength[0])
    beyond = max(rise - strength[0], np.float32(0))
    strength[1] = max(strength[1] * np.float32(0.998), beyond, np.float32(0.05))
    _align(state, np.float64(beyond / strength[1]))
    return np.float32(TRUST) * state.net.said[0], state.net.said[1]


@kernel
def _allow(state):
    """Which tempi there may be, and which of an octave is meant."""
    p, allowed = state.params[0], state.pointer.allowed
    wanted = state.course[WANTED]
    for i in range(TEMPOS):
        bpm = 60.0 * RATE / FRAME / (SHORTEST + i)
        if wanted > 0:
            away = np.log2((SHORTEST + i) / wanted) / OCTAVE
        else:
            away = np.log2(bpm / p.usual) / PULL
        inside = wanted > 0 or p.low * 0.985 <= bpm <= p.high * 1.015
        allowed[i] = np.float32(np.exp(-0.5 * away * away)) if inside else np.float32(0)


@kernel
def _judge(state):
    """See whether the beats that are followed look like beats, and where bars begin."""
    found, fold, said = state.pointer.found, state.fold, state.said
    if not fold_lay(fold, fold.heard[0] + found[0] - 0.5 - LAG - found[1], found[1]):
        return
    fold_look(fold)
    trust = np.float32(0) if state.course[WANTED] > 0 else np.float32(FOLDED)
    for k in range(READINGS):
        said[k] = (fold.readings[k] / np.float32(COMMON[k])) ** trust
    for k in range(BEATS):
        said[READINGS + k] = (np.float32(BEATS) * fold.places[k]) ** np.float32(BARRED)
    pointer_weigh(state.pointer, found[1], found[0], said[:READINGS], said[READINGS:])


@kernel
def _obey(state, now):
    """Do what was asked for since the last frame."""
    asked, clock, course = state.asked, state.clock, state.course
    what, first, second = int(asked[WHAT]), asked[FIRST], asked[SECOND]
    clock[DONE] = int(asked[COUNT])
    ahead = course[LAST] + course[LENGTH] - now
    if what == NUDGE:
        course[SHIFT] += first
        course[LAST] += first
    elif what == LOCK:
        if clock[LOCKED]:
            clock[LOCKED] = 0
            pointer_believe(
                state.pointer, course[LENGTH] / FRAME, (ahead - course[SHIFT]) / FRAME + LAG + 0.5
            )
        elif course[LENGTH] > 0:
            clock[LOCKED] = 1
    elif what == TAP or (what in (HALF, DOUBLE) and course[LENGTH] > 0):
        if what == TAP:
            length, ahead = first, (second - now) % first
        elif what == HALF:
            length = 2 * course[LENGTH]
        else:
            length = 0.5 * course[LENGTH]
            ahead = ahead % length
        length = min(max(length, 1.0 * SHORTEST * FRAME), 1.0 * LONGEST * FRAME)
        course[WANTED] = length / FRAME
        course[LENGTH] = length
        course[LAST] = now + ahead - length - course[ALIGN]
        pointer_believe(state.pointer, length / FRAME, (ahead - course[SHIFT]) / FRAME + LAG + 0.5)


@kernel
def _announce(state, now, out, n):
    """The next beat, if it is due to be announced."""
    course, found = state.course, state.pointer.found
    locked = state.clock[LOCKED] != 0
    if locked:
        time, length, sure = course[LAST] + course[LENGTH], course[LENGTH], 1.0
    else:
        time = now + (found[0] - 0.5 - LAG) * FRAME + course[SHIFT]
        length, sure = found[1] * FRAME, found[2]
    if not locked and now - course[HEARD] > state.params[0].hold:
        course[SAID] = 0.0
        return n
    if sure < SURE or time + course[ALIGN] - now > LEAD * FRAME or time - course[LAST] < 0.5 * length:
        return n
    if not locked:
        steady = abs(length / max(course[LENGTH], 1.0) - 1) < STEADY
        since = time - course[LAST]
        error = since - course[LENGTH]
        if steady and abs(error) < 2 * STEADY * length:
            time = course[LAST] + course[LENGTH] + FOLLOW * error
            course[LENGTH] += DRIFT * error
        else:
            course[LENGTH] = length
        _judge(state)
    course[LAST] = time
    bpm = 60 * RATE / course[LENGTH]
    if sure >= SURE_TEMPO and abs(bpm - course[SAID]) > NEW * course[SAID]:
        course[SAID] = bpm
        write_event(out[n], state.ids, 0, now, now, TEMPO, 0, -1, bpm, 0.0, sure)
        n += 1
    if locked:
        found[3] = state.pointer.next[int(found[3])]
    place, metre = int(found[3]), 0
    for k in range(len(METRES)):
        if metre == 0:
            if place < METRES[k]:
                metre = METRES[k]
            else:
                place -= METRES[k]
    lands = int(round(time + course[ALIGN]))
    write_event(out[n], state.ids, 0, lands, now, BEAT, 0, metre, bpm, place + 1, min(sure, 1.0))
    return n + 1


@kernel
def beat_step(state, x, out):
    """Beats announced, and tempi found, within hops of audio.

    Parameters
    ----------
    state : BeatState
    x : array, shape (n, HOP)
    out : array of EVENT
        Room for two a hop.

    Notes
    -----
    A beat is announced some 20 ms before it sounds, so `emitted` is before
    `time`; what is heard of it is used for the next.  Realtime: O(n), no
    allocation; the work is done every FRAME samples.
    """
    n = np.int64(0)  # a literal would have all it passes through compiled twice
    for k in range(len(x)):
        state.clock[CLOCK] += HOP
        if state.params[0].enabled == 0:
            continue
        if pulse_hop(state.pulse, x[k]):
            now = state.clock[CLOCK]
            if state.asked[COUNT] != state.clock[DONE]:
                _obey(state, now)
            if state.clock[LOCKED] == 0:
                beat, down = _felt(state)
                _allow(state)
                pointer_hop(state.pointer, beat, down, state.params[0].metre)
                pointer_read(state.pointer)
            fold_hop(state.fold, state.pulse.inputs, state.net.said)
            n = _announce(state, now, out, n)
    return n


class Beat(KernelStage):
    """Hops of audio in, beat and tempo events out."""

    step = staticmethod(beat_step)

    def __init__(self, nets: BeatNets, settings: BeatSettings | None = None) -> None:
        self.nets = nets
        self.settings = settings or BeatSettings(enabled=True)

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        return self._detects(spec, beat_state(self.settings, self.nets, np.zeros(1, np.int64)), 2)


assert sum(METRES) == ROWS
