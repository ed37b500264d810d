# SPDX-License-Identifier: GPL-3.0-or-later
"""What was struck: when to believe the drum net, and what to call what it hears."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dsp.bands import BANDS, FRAME, BandsState, bands_hop, bands_look, bands_state, relate
from dsp.drumnet import (
    FAMILIES,
    METAL,
    NAMES,
    OUTPUTS,
    VOICES,
    DrumNetState,
    DrumWeights,
    drumnet_forget,
    drumnet_look,
    drumnet_remember,
    drumnet_say,
    drumnet_state,
)
from dsp.events import DRUM, LABELS, ONSET, REFINE
from dsp.hitnet import HitNetState, HitWeights, hitnet_forget, hitnet_look, hitnet_state
from dsp.kernel import kernel
from dsp.net import sigmoid
from dsp.pads import pads_keep, pads_kit, pads_look, pads_name, pads_rename
from dsp.settings import number, switch
from dsp.strokes import (
    CLOSED,
    StrokesState,
    strokes_add,
    strokes_audible,
    strokes_broke_silence,
    strokes_closed,
    strokes_due,
    strokes_fit,
    strokes_state,
)
from dsp.units import HOP, samples
from dsp.write import write_event


@dataclass(frozen=True, slots=True)
class DrumSettings:
    enabled: bool = switch(True, "name the strokes of drums")
    decision_ms: float = number(12, 3, 60, "ms", "how long after the stroke its name is decided")
    sensitivity: float = number(0.5, 0, 1, "", "0 names only clear strokes, 1 names everything")
    refractory_ms: float = number(48, 10, 500, "ms", "shortest time between two hits of one drum")
    refine: bool = switch(True, "correct name and velocity where 60 ms tell more")


HAT, CYMBAL = FAMILIES.index("hat"), FAMILIES.index("cymbal")
REARM = np.float32(0.7)  # times its threshold: a voice that fell below may speak again
LATE = 2 * FRAME  # how long after its decision a stroke may still be given another name
REFINE_MS = 60  # how long after a stroke its name and velocity may still be corrected
REFINED = samples(REFINE_MS - 1)  # what a resampler waits for is within
NEWS = np.float32(0.1)  # difference of velocity that is worth correcting
SOFTEST = np.float32(0.01)
CHANNEL = 10  # where General MIDI plays drums
SLOTS = 32  # hits that may wait to be refined

HITS_PARAMS = np.dtype(
    [
        ("enabled", "i8"),
        ("decision", "i8"),  # [samples]
        ("refractory", "i8"),  # [samples]
        ("refine", "i8"),
        ("reluctance", "f4"),  # times the odds that a threshold asks for
    ],
    align=True,
)
PENDING = np.dtype(
    [
        ("id", "i8"),  # of the hit, 0 where none waits
        ("time", "i8"),  # of the hit [samples]
        ("struck", "i8"),  # time of its stroke [samples]
        ("family", "i8"),
        ("label", "i8"),
        ("value", "f4"),
        ("first", "i8"),  # row of the head that named it
        ("next", "i8"),  # and of the one whose time comes next
    ],
    align=True,
)


class HitsState(NamedTuple):
    params: np.ndarray  # (1,) HITS_PARAMS
    asleep: np.ndarray  # (1,) 1 after hops that were not heard
    family: np.ndarray  # (labels,) row of FAMILIES of each label
    notes: np.ndarray  # (labels,)
    bands: BandsState
    aside: np.ndarray  # (2 + BANDS,) follower and means, for a look between two frames
    net: DrumNetState
    strokes: StrokesState
    looked: np.ndarray  # (1,) time of the newest look [samples]
    said: np.ndarray  # (lags, OUTPUTS) of it, by the net
    judge: HitNetState  # of what the net says
    likely: np.ndarray  # (VOICES,)
    threshold: np.ndarray  # (VOICES,)
    armed: np.ndarray  # (VOICES,) 1 where a voice may speak
    last: np.ndarray  # (VOICES,) time of the newest hit of each [samples]
    pending: np.ndarray  # (SLOTS,) PENDING
    named: np.ndarray  # (SLOTS, OUTPUTS) sums of what heads said of each


def hits_params(settings: DrumSettings) -> np.ndarray:
    """What the kernel reads of the settings, shape (1,)."""
    params = np.zeros(1, HITS_PARAMS)
    params[0] = (
        settings.enabled,
        samples(settings.decision_ms),
        samples(settings.refractory_ms),
        settings.refine,
        np.exp(5 * (0.5 - settings.sensitivity)),
    )
    return params


def hits_state(settings: DrumSettings, weights: DrumWeights, judge: HitWeights) -> HitsState:
    return HitsState(
        hits_params(settings),
        np.zeros(1, np.int64),
        np.array([FAMILIES.index(label.family) for label in LABELS]),
        np.array([label.note for label in LABELS], np.float32),
        bands_state(),
        np.zeros(2 + BANDS, np.float32),
        drumnet_state(weights),
        strokes_state(),
        np.zeros(1, np.int64),
        np.full((len(weights.lags), OUTPUTS), -100, np.float32),
        hitnet_state(judge),
        np.zeros(VOICES, np.float32),
        np.ones(VOICES, np.float32),
        np.ones(VOICES, np.int64),
        np.full(VOICES, -(1 << 40)),
        np.zeros(SLOTS, PENDING),
        np.zeros((SLOTS, OUTPUTS), np.float32),
    )


@kernel
def _lag(lags, time):
    """Row of the longest lag that `time` [samples] after a stroke is enough for, however the hops fall."""
    row = 0
    for other in range(len(lags)):
        if lags[other] * FRAME + HOP <= time:
            row = other
    return row


def hits_spare(state: HitsState) -> int:
    """Samples left of the decision when a hit is named whose stroke nobody told."""
    lags, decision = state.net.weights.lags, int(state.params[0]["decision"])
    return decision - int(lags[_lag(lags, decision)]) * FRAME - FRAME // 2


def hits_settled(state: HitsState) -> int:
    """So long after a stroke it gets no more names [samples]; a refinement may come, which no MIDI waits for."""
    return int(state.params[0]["decision"]) + LATE + FRAME + 2 * HOP


@kernel
def _look(bands, aside, net, framed):
    """Have the net look at what was heard so far; remember it if a frame is complete."""
    if framed:
        relate(bands.power, bands.follower, bands.mean, bands.inputs)
        drumnet_look(net, bands.inputs)
        drumnet_remember(net)
        return
    bands_look(bands)
    follower, mean = aside[:2], aside[2:]
    for i in range(2):
        follower[i] = bands.follower[i]
    for i in range(BANDS):
        mean[i] = bands.mean[i]
    relate(bands.power, follower, mean, bands.inputs)
    drumnet_look(net, bands.inputs)


@kernel
def _listen(state, framed):
    """Have all heads say what they think of a look, and the judge weigh it."""
    _look(state.bands, state.aside, state.net, framed)
    for lag in range(len(state.said)):
        drumnet_say(state.net, lag, state.said[lag])
    hitnet_look(state.judge, state.said, state.bands.inputs, framed)


@kernel
def _odds(likely, threshold, voice):
    """How far a voice is beyond its threshold, as a ratio of odds."""
    p, t = likely[voice], threshold[voice]
    return p * (np.float32(1) - t) / (t * (np.float32(1) - p) + np.float32(1e-9))


@kernel
def _believe(judge, lag, reluctance, likely, threshold):
    """Likelihood of each voice, and what it must reach; the metal's voice is that of its likelier family."""
    for voice in range(METAL):
        learned = judge.weights.threshold[lag, voice]
        asked = reluctance * learned
        threshold[voice] = asked / (np.float32(1) - learned + asked)
        likely[voice] = sigmoid(judge.judged[lag, voice])
    odds = max(_odds(likely, threshold, HAT), _odds(likely, threshold, CYMBAL))
    threshold[METAL] = np.float32(0.5)
    likely[METAL] = odds / (np.float32(1) + odds)


@kernel
def _family(likely, threshold, voice):
    if voice != METAL:
        return voice
    return HAT if _odds(likely, threshold, HAT) >= _odds(likely, threshold, CYMBAL) else CYMBAL


@kernel
def _label(families, said, family):
    """Likeliest label of a family."""
    best = -1
    for row in range(len(families)):
        if families[row] == family and (best < 0 or said[VOICES + row] > said[VOICES + best]):
            best = row
    return best


@kernel
def _velocity(said, family):
    return min(max(said[NAMES + family], SOFTEST), np.float32(1))


@kernel
def stroke_event(event, ids, time, now, velocity, confidence):
    """Write a stroke as an event and return its id, which counts even where the event is not told."""
    return write_event(event, ids, 0, time, now, ONSET, 0, -1, 0.0, velocity, confidence)


@kernel
def _note(notes, label):
    return notes[label] if label < len(notes) else np.float32(0)


@kernel
def _hit(state, pads, row, voice, lag, now, ids, out, n):
    """Name the stroke in `row` by the head of row `lag`, a later one if it is older; the number of events then."""
    params, strokes = state.params[0], state.strokes
    lag = max(lag, _lag(state.net.weights.lags, now - strokes.time[row]))
    said = state.said[lag]
    family = _family(state.likely, state.threshold, voice)
    time = max(strokes.time[row], now - params.decision)
    embedding = state.net.embedding
    label = pads_rename(pads, embedding, _label(state.family, said, family))
    value = _velocity(said, family)
    id = write_event(
        out[n], ids, strokes.id[row], time, now, DRUM, CHANNEL,
        label, _note(state.notes, label), value, state.likely[family],
    )  # fmt: skip
    pads_keep(pads, id, label, embedding)
    strokes.families[row] |= 1 << family
    state.armed[voice] = 0
    state.last[voice] = time
    if params.refine and params.decision + FRAME <= REFINED:
        for slot in range(SLOTS):
            wait = state.pending[slot]
            if wait.id == 0:
                wait.id = id
                wait.time = time
                wait.struck = strokes.time[row]
                wait.family = family
                wait.label = label
                wait.value = value
                wait.first, wait.next = lag, lag + 1
                for k in range(len(said)):
                    state.named[slot, k] = said[k]
                break
    return n + 1


@kernel
def _pad(state, pads, onset, row, now, ids, out, n):
    """Name the stroke in `row` as a pad of the kit."""
    strokes, embedding = state.strokes, state.net.embedding
    pads_look(pads, onset.recent, now - strokes.time[row], state.params[0].decision)
    label, confidence = pads_name(pads, embedding)
    if label < 0:
        return n
    id = write_event(
        out[n], ids, strokes.id[row], strokes.time[row], now, DRUM, CHANNEL,
        label, _note(state.notes, label), onset.found[0], confidence,
    )  # fmt: skip
    pads_keep(pads, id, label, embedding)
    return n + 1


@kernel
def _refine(state, pads, now, ids, out, n):
    """What 60 ms tell more of the hits that have waited that long: what all heads said, each when its time came."""
    lags = state.net.weights.lags
    for slot in range(SLOTS):
        wait, named = state.pending[slot], state.named[slot]
        if wait.id == 0:
            continue
        last = now + FRAME - wait.struck > REFINED
        while wait.next < len(lags) and (last or now - wait.struck > lags[wait.next] * FRAME):
            for k in range(OUTPUTS):
                named[k] += state.said[wait.next, k]
            wait.next += 1
        if not last:
            continue
        ref = wait.id
        wait.id = 0
        if now - wait.struck > REFINED:
            continue
        label = pads_rename(pads, state.net.embedding, _label(state.family, named, wait.family))
        for k in range(NAMES, OUTPUTS):
            named[k] /= np.float32(wait.next - wait.first)
        value = _velocity(named, wait.family)
        if label != wait.label or abs(value - wait.value) > NEWS:
            write_event(
                out[n], ids, ref, wait.time, now, REFINE, CHANNEL,
                label, _note(state.notes, label), value, sigmoid(state.judge.judged[-1, wait.family]),
            )  # fmt: skip
            n += 1
    return n


@kernel
def hits_wake(state):
    """Hops were not heard: what was before them counts no more."""
    state.asleep[0] = 0
    bands = state.bands
    bands.hops[0] = 0
    bands.follower[1] = np.float32(0)
    for i in range(len(bands.recent)):
        bands.recent[i] = np.float32(0)
    drumnet_forget(state.net)
    hitnet_forget(state.judge)
    for lag in range(len(state.said)):
        for i in range(OUTPUTS):
            state.said[lag, i] = np.float32(-100)
    for slot in range(SLOTS):
        state.pending[slot].id = 0


@kernel
def hits_hop(state, pads, onset, x, now, ids, out, n):
    """Hear one more hop and name what was struck; the number of events in `out` then.

    Parameters
    ----------
    state : HitsState
        Its strokes are told before.
    pads : PadsState
    onset : OnsetState
        Told of strokes that only the net has heard.
    x : array, shape (HOP,)
    now : int
        Clock at the end of the hop [samples].
    ids : array, shape (1,)
    out : array of EVENT
        Holds `n` already.

    Notes
    -----
    Adds no delay: a hit is out within its decision. Realtime: O(1), no allocation.

    The net looks at every frame, and once more at the last hop that a stroke's
    decision leaves. A voice speaks when its likelihood first exceeds its
    threshold, and again once it fell well below.
    """
    params, strokes = state.params[0], state.strokes
    lag = _lag(state.net.weights.lags, params.decision)
    framed = bands_hop(state.bands, x)
    due = strokes_due(strokes, now, params.decision)
    if framed or due >= 0:
        _listen(state, framed)
        state.looked[0] = now
    if pads_kit(pads):
        return _pad(state, pads, onset, due, now, ids, out, n) if due >= 0 else n
    likely, threshold = state.likely, state.threshold
    _believe(state.judge, lag, params.reluctance, likely, threshold)
    looked, frames = state.looked[0], state.net.weights.lags[lag]
    earliest, expected = now - params.decision - LATE, looked - frames * FRAME - FRAME // 2
    for voice in range(VOICES):
        if voice in (HAT, CYMBAL):
            continue  # one hand plays the metal
        if likely[voice] < REARM * threshold[voice]:
            state.armed[voice] = 1
        if likely[voice] < threshold[voice] or not state.armed[voice]:
            continue
        families = 1 << voice if voice != METAL else 1 << HAT | 1 << CYMBAL
        row = strokes_fit(strokes, earliest, looked, expected, families)
        if strokes_closed(strokes, row, earliest, now - params.decision):
            state.armed[voice] = 0
            continue
        if row < 0:
            soon = onset.counter[3] or now + HOP - expected <= onset.params[0].decision
            if soon or expected < 0 or not strokes_audible(strokes, now - expected):
                continue  # its stroke may still be told, or there can be none
        time = expected if row < 0 else max(strokes.time[row], now - params.decision)
        if time - state.last[voice] < params.refractory:
            state.armed[voice] = 0
            continue
        if row < 0:
            family = _family(likely, threshold, voice)
            told = max(time, now - onset.params[0].decision)  # an onset has a decision of its own
            id = stroke_event(out[n], ids, told, now, _velocity(state.said[lag], family), likely[family])
            row = strokes_add(strokes, time, id, 0)
            onset.counter[2] = max(onset.counter[2], told)
            n += onset.params[0].enabled
        n = _hit(state, pads, row, voice, lag, now, ids, out, n)
    silent = due >= 0 and strokes_broke_silence(strokes, due, now)
    if silent and strokes.families[due] == 0:
        best = -1
        for voice in range(VOICES):
            free = strokes.time[due] - state.last[voice] >= params.refractory
            if voice in (HAT, CYMBAL) or not free:
                continue
            if best < 0 or _odds(likely, threshold, voice) > _odds(likely, threshold, best):
                best = voice
        if best >= 0:
            n = _hit(state, pads, due, best, lag, now, ids, out, n)
    if silent and params.decision <= LATE:
        strokes.families[due] |= CLOSED  # alone, and decided early: what the net adds later is the same sound
    if framed:
        n = _refine(state, pads, now, ids, out, n)
    return n
