# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of all that sounds together: when to believe the learned ear, and when a note is over.

Each head of the net speaks of what began a fixed while ago; the decision chooses the
head, and `dsp.polynet` corrects its word. A pitch whose likelihood climbs through its
threshold begins a note, and may begin another once it fell well below. Where earlier
heads are sure they need not wait. `dsp.endnet` tells when a note was over, as long ago
as the decision leaves time for.
"""

from typing import NamedTuple

import numpy as np

from dsp.endnet import EndNetState, EndWeights, endnet_begin, endnet_hear, endnet_look, endnet_state
from dsp.events import BEND, NOTE_OFF, NOTE_ON, PEDAL, PRESSURE
from dsp.expression import detuned, swell
from dsp.hindsight import PAST, started
from dsp.kernel import kernel
from dsp.net import sigmoid
from dsp.notenet import NoteNetState, NoteWeights, notenet_forget, notenet_frame, notenet_state
from dsp.notes import NoteSettings, asked_of, gate_of
from dsp.pedal import PedalState, PedalWeights, pedal_forget, pedal_look, pedal_state, unlearned
from dsp.polynet import PolyNetState, PolyWeights, polynet_forget, polynet_frame, polynet_state
from dsp.scale import drawn, scale_mask
from dsp.stage import KernelStage, Spec
from dsp.tones import (
    BINS,
    FRAME,
    LOWEST,
    PITCHES,
    TonesState,
    relate,
    tones_forget,
    tones_hop,
    tones_state,
)
from dsp.touch import touch
from dsp.units import HOP, samples
from dsp.write import write_event

STARTS, SHAPES = 32, 16  # most starts and ends that a hop can bring, most bends and swells
ROOM = STARTS + SHAPES + 1  # and the pedal
REARM = np.float32(0.7)  # times its threshold: a pitch that fell below may begin again
REFRACTORY = samples(48)  # shortest time between two notes of one pitch
OLDEST = 13  # frames ago that a note may have begun

SETTLED = samples(50)  # after its start a note has a pitch of its own
BEHIND = 4 * FRAME  # how long ago a bend or a swell sounded
FOLLOW = np.float32(0.6)  # of a bend, a frame
BEND_LEAST = np.float32(5)  # cents that are worth a bend
SWELL_LEAST = np.float32(0.03)

POLY_PARAMS = np.dtype(
    [
        ("enabled", "i8"),
        ("decision", "i8"),  # [samples]
        ("lowest", "i8"),  # first and last row of the pitches that are listened for
        ("highest", "i8"),
        ("scale", "i8"),  # bits, as `dsp.scale` has them
        ("expression", "i8"),  # 1: say how notes swell
        ("bend", "i8"),  # 1: and how they bend
        ("pedal", "i8"),  # 1: say when the sustain pedal is down
        ("early", "i8"),  # 1 where a head that is sure need not wait
        ("reluctance", "f4"),  # times the odds that a threshold asks for
        ("gate", "f4"),  # least power of what sounds
    ],
    align=True,
)


class PolyState(NamedTuple):
    params: np.ndarray  # (1,) POLY_PARAMS
    ids: np.ndarray  # (1,) last event id, shared with the other detectors
    clock: np.ndarray  # (2,) samples and frames heard
    asleep: np.ndarray  # (1,) 1 after hops that were not heard
    tones: TonesState
    net: NoteNetState
    said: np.ndarray  # (lags + 2, PITCHES) logits of the newest frame
    judge: PolyNetState
    ends: EndNetState
    armed: np.ndarray  # (lags, PITCHES) 1 where a head may speak
    id: np.ndarray  # (PITCHES,) of the note that sounds, 0 for none
    played: np.ndarray  # (PITCHES,) the MIDI note that sounds for it
    began: np.ndarray  # (PITCHES,) when the newest note began [samples]
    cents: np.ndarray  # (PITCHES,) how each is bent, smoothed
    bent: np.ndarray  # (PITCHES,) and as it was said
    pressed: np.ndarray  # (PITCHES,) how loud each was said to be
    sounded: np.ndarray  # (PAST, PITCHES) likelihood of sounding of the newest frames
    rumour: np.ndarray  # (PAST, PITCHES) likelihood of an onset by the earliest head
    pedal: PedalState


def poly_params(notes: NoteSettings) -> np.ndarray:
    """What the kernel reads of the settings, shape (1,)."""
    params = np.zeros(1, POLY_PARAMS)
    params["enabled"] = notes.enabled and notes.lines == "many"
    params["decision"] = samples(notes.decision_ms)
    params["lowest"] = max(0, int(np.ceil(notes.low)) - LOWEST)
    params["highest"] = min(PITCHES - 1, int(notes.high) - LOWEST)
    params["scale"] = scale_mask(notes.scale)
    params["early"], params["expression"], params["bend"] = notes.early, notes.expression, notes.bend
    params["pedal"] = notes.pedal
    params["reluctance"] = asked_of(notes)
    params["gate"] = 10 ** (gate_of(notes) / 10)
    return params


def poly_state(
    notes: NoteSettings,
    weights: NoteWeights,
    judge: PolyWeights,
    ends: EndWeights,
    ids: np.ndarray,
    pedal: PedalWeights | None = None,
) -> PolyState:
    """An ear for many notes that has heard nothing; `ids` (1,) counts the events of all detectors.

    Without weights for the pedal nothing is said of it.
    """
    lags, tones = len(weights.lags), tones_state()
    return PolyState(
        poly_params(notes),
        ids,
        np.zeros(2, np.int64),
        np.zeros(1, np.int64),
        tones,
        notenet_state(weights),
        np.zeros((lags + 2, PITCHES), np.float32),
        polynet_state(judge),
        endnet_state(ends, weights.lags),
        np.ones((lags, PITCHES), np.int64),
        np.zeros(PITCHES, np.int64),
        np.arange(PITCHES) + LOWEST,
        np.full(PITCHES, -(1 << 40)),
        np.zeros(PITCHES, np.float32),
        np.zeros(PITCHES, np.float32),
        np.zeros(PITCHES, np.float32),
        np.zeros((PAST, PITCHES), np.float32),
        np.zeros((PAST, PITCHES), np.float32),
        pedal_state(unlearned() if pedal is None else pedal),
    )


@kernel
def _head(lags, decision):
    """Row of the longest lag that the decision leaves time for, however the frames fall."""
    row = 0
    for other in range(len(lags)):
        if (lags[other] + 1) * FRAME <= decision + FRAME // 2:
            row = other
    return row


@kernel
def _asked(learned, reluctance):
    """A threshold, with its odds made longer."""
    odds = reluctance * learned
    return odds / (np.float32(1) - learned + odds)


@kernel
def _end(state, pitch, time, now, confidence, out, n):
    """End the note of a pitch."""
    note = state.played[pitch]
    write_event(out[n], state.ids, state.id[pitch], time, now, NOTE_OFF, 1, -1, note, 0.0, confidence)
    state.id[pitch] = 0
    return n + 1


@kernel
def _hold(state, row, now, frame, out, n):
    """End the notes that no longer sounded as long ago as the lag of a row."""
    ends, decision = state.ends, state.params[0].decision
    most, ago = n + STARTS // 2, ends.lags[row] * FRAME + FRAME // 2
    for pitch in range(PITCHES):
        if state.id[pitch] == 0:
            continue
        sounds = sigmoid(endnet_look(ends, state.judge, state.net, pitch, row, frame))
        sounded = now - state.began[pitch]
        # So long ago it may not have begun: early heads know of it sooner.
        if sounds < ends.weights.over[row] and sounded > ago + HOP and n < most:
            n = _end(state, pitch, now - min(ago, decision), now, np.float32(1) - sounds, out, n)
    return n


@kernel
def _begin(state, pitch, time, now, velocity, confidence, out, n):
    """Begin a note, and end what it strikes anew: its own, and one that was drawn to the same note."""
    note = drawn(state.params[0].scale, pitch + LOWEST)
    for other in range(PITCHES):
        if state.id[other] and (other == pitch or state.played[other] == note):
            if time - state.began[other] < REFRACTORY:  # drawn together, they are one
                return n
            n = _end(state, other, time, now, confidence, out, n)
    state.played[pitch] = note
    state.id[pitch] = write_event(out[n], state.ids, 0, time, now, NOTE_ON, 1, -1, note, velocity, confidence)
    state.began[pitch] = time
    state.cents[pitch] = state.bent[pitch] = state.pressed[pitch] = np.float32(0)
    return n + 1


@kernel
def _express(state, power, now, out, n):
    """How the notes that sound bend and swell."""
    most, frame = n + SHAPES, state.clock[1]
    for pitch in range(PITCHES):
        if state.id[pitch] == 0 or now - state.began[pitch] < SETTLED or n + 2 > most:
            continue
        time = max(state.began[pitch], now - min(BEHIND, state.params[0].decision))
        sure = state.sounded[(frame - 1) % PAST, pitch]
        cents, clear = detuned(power, pitch)
        if clear > 0 and state.params[0].bend:
            state.cents[pitch] += FOLLOW * (cents - state.cents[pitch])
        if abs(state.cents[pitch] - state.bent[pitch]) > BEND_LEAST:
            cents = state.bent[pitch] = state.cents[pitch]
            write_event(out[n], state.ids, state.id[pitch], time, now, BEND, 1, -1, cents, 0.0, sure)
            n += 1
        pressure = swell(power, pitch)
        if abs(pressure - state.pressed[pitch]) > SWELL_LEAST:
            state.pressed[pitch] = pressure
            write_event(out[n], state.ids, state.id[pitch], time, now, PRESSURE, 1, -1, 0.0, pressure, sure)
            n += 1
    return n


@kernel
def _say_pedal(state, now, down, out, n):
    """Say that the pedal went down or up."""
    time, sure = max(now - state.params[0].decision, 0), state.pedal.likely[0]
    value = np.float32(1) if down else np.float32(0)
    write_event(out[n], state.ids, 0, time, now, PEDAL, 1, -1, 0.0, value, sure if down else 1 - sure)
    return n + 1


@kernel
def _pedal(state, power, now, out, n):
    """Follow the pedal, where that is wanted; one that is down comes up where it no longer is."""
    pedal = state.pedal
    if state.params[0].pedal:
        moved = pedal_look(pedal, power, state.id, state.sounded[(state.clock[1] - 1) % PAST])
        return _say_pedal(state, now, moved > 0, out, n) if moved else n
    if pedal.down[0]:
        n = _say_pedal(state, now, False, out, n)
    pedal_forget(pedal)
    return n


@kernel
def poly_frame(state, power, now, out, n):
    """Decide on what the net said of one more frame, ``state.said``; the number of events in `out` then.

    Parameters
    ----------
    state : PolyState
    power : array, shape (WINDOWS, BINS)
        Of that frame.
    now : int
        Clock at the end of the frame [samples].
    out : array of EVENT
        Holds `n` already.

    Notes
    -----
    The ear's inputs of that frame are read from ``state.tones``. Realtime:
    O(pitches * lags), no allocation.
    """
    p, said, weights, judge = state.params[0], state.said, state.net.weights, state.judge
    lags, frame = weights.lags, state.clock[1]
    state.clock[1] += 1
    polynet_frame(judge, state.net, said, state.tones.inputs, frame)
    endnet_hear(state.ends, state.tones.inputs, frame)
    sounding, loud = said[len(lags)], np.float32(0)
    for k in range(BINS):
        loud += power[1, k]
    for pitch in range(PITCHES):
        state.sounded[frame % PAST, pitch] = sigmoid(sounding[pitch])
        state.rumour[frame % PAST, pitch] = sigmoid(said[0, pitch])
    last, most = _head(lags, p.decision), n + STARTS - 3
    n = _hold(state, last, now, frame, out, n)
    for row in range(last, -1, -1):
        if row < last and not p.early:
            break
        learned = judge.weights.threshold[row] if row == last else judge.weights.sure[row]
        asked = _asked(learned, p.reluctance)
        for pitch in range(p.lowest, p.highest + 1):
            likely = sigmoid(judge.judged[row, pitch])
            if likely < REARM * asked:
                state.armed[row, pitch] = 1
            if likely < asked or not state.armed[row, pitch] or n > most:
                continue
            state.armed[row, pitch] = 0
            # A head may speak sooner or later than it should.
            lag = lags[row]
            since = started(state.rumour, lags[0], pitch, lag - 2, OLDEST, lag, frame)
            expected = now - since * FRAME - FRAME // 2
            if expected - state.began[pitch] < REFRACTORY or loud < p.gate:
                continue
            time = max(expected, now - p.decision, 0)
            told = said[len(lags) + 1, pitch]
            velocity = touch(power, pitch, told, weights.touch[row], weights.touch_bias[row])
            n = _begin(state, pitch, time, now, velocity, likely, out, n)
            endnet_begin(state.ends, pitch, since)
    if p.expression:
        n = _express(state, power, now, out, n)
    return _pedal(state, power, now, out, n)


@kernel
def _silence(state, now, out, n):
    """End what sounds, and sleep once all has ended; the number of events in `out` then."""
    most = n + ROOM
    for pitch in range(PITCHES):
        if state.id[pitch]:
            if n == most:
                return n
            n = _end(state, pitch, now, now, np.float32(1), out, n)
    if state.pedal.down[0]:
        if n == most:
            return n
        n = _say_pedal(state, now, False, out, n)
    pedal_forget(state.pedal)
    state.asleep[0] = 1
    return n


@kernel
def poly_wake(state):
    """Hops were not heard: what was before them counts no more."""
    state.asleep[0] = 0
    tones_forget(state.tones)
    notenet_forget(state.net)
    polynet_forget(state.judge)
    pedal_forget(state.pedal)
    for pitch in range(PITCHES):
        for row in range(len(state.armed)):
            state.armed[row, pitch] = 1
        for frame in range(PAST):
            state.sounded[frame, pitch] = np.float32(0)
            state.rumour[frame, pitch] = np.float32(0)


@kernel
def poly_step(state, x, out):
    """Notes of each hop, x (n, HOP) -> events in `out`, at most ROOM a hop; returns how many.

    Notes
    -----
    Adds no delay of its own: a note is out within its decision. Realtime: O(n),
    a frame of the net every 8 ms, no allocation.
    """
    p, tones = state.params[0], state.tones
    n = np.int64(0)  # a literal would have all it passes through compiled twice
    for k in range(len(x)):
        state.clock[0] += HOP
        now = state.clock[0]
        if not p.enabled:
            if not state.asleep[0]:
                n = _silence(state, now, out, n)
            continue
        if state.asleep[0]:
            poly_wake(state)
        if not tones_hop(tones, x[k]):
            continue
        relate(tones.power, tones.follower, tones.past, tones.inputs)
        notenet_frame(state.net, tones.inputs, state.said)
        n = poly_frame(state, tones.power, now, out, n)
    return n


class Poly(KernelStage):
    """Hops of audio in, notes of all that sounds together out."""

    step = staticmethod(poly_step)

    def __init__(
        self,
        weights: NoteWeights,
        judge: PolyWeights,
        ends: EndWeights,
        settings: NoteSettings,
        pedal: PedalWeights | None = None,
    ) -> None:
        self.weights, self.judge, self.ends, self.settings, self.pedal = weights, judge, ends, settings, pedal

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        ids = np.zeros(1, np.int64)
        state = poly_state(self.settings, self.weights, self.judge, self.ends, ids, self.pedal)
        return self._detects(spec, state, ROOM)
