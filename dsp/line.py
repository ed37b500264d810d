# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of one line: a voice, a bass, a flute.

The learned ear says what began and what sounds, the period of the one voice says how
high; `dsp.linenet` weighs both, and the likeliest pitch is the note. A note ends where
its pitch is no longer likely to sound, or where another begins. While it sounds its bend
follows the period, until that settles elsewhere, which is another note.
"""

from typing import NamedTuple

import numpy as np

from dsp.events import BEND, NOTE_OFF, NOTE_ON, PITCH, PRESSURE
from dsp.hindsight import LET_GO, PAST, started, watched
from dsp.kernel import kernel
from dsp.linenet import (
    LineNetState,
    LineWeights,
    hertz,
    linenet_forget,
    linenet_hear,
    linenet_state,
    possible,
    weigh,
)
from dsp.melody import EVERY, MELODY_DELAY, MelodyState, melody_look, melody_state
from dsp.notenet import SOUNDING_LAG, NoteNetState, NoteWeights, notenet_forget, notenet_frame, notenet_state
from dsp.notes import REPITCH, NoteSettings, asked_of, gate_of
from dsp.pitch import (
    CHUNK,
    FLOOR,
    SLOW,
    LagState,
    SlowState,
    lag_search,
    lag_state,
    lag_step,
    pitch_params,
    slow_state,
    slow_step,
    tape_room,
)
from dsp.scale import drawn, scale_mask
from dsp.stage import KernelStage, Spec
from dsp.tones import FRAME, LOWEST, PITCHES, TonesState, relate, tones_forget, tones_hop, tones_state
from dsp.units import HOP, RATE, samples
from dsp.write import write_event

ROOM = 8  # most events one hop can bring, with much to spare
HIGHEST = 96  # note of one line
KEEN = 0.8  # how good the first peak of the likeness must be against the best
REARM = np.float32(0.7)  # times what is asked for: a pitch that fell below may begin again
SHARE = np.float32(0.65)  # of all that is likely, that the likeliest must have
REFRACTORY = samples(48)  # shortest time between two notes of one pitch
TWICE = 2  # frames that the last note's pitch must be the likeliest: it may ring on into another's attack
PLAIN = np.float32(0.9)  # but where it is so likely
NEWEST, OLDEST = 2, 9  # frames ago that a note may have begun
HESITANT = samples(64)  # after which a note that was never likely to sound is over
SETTLED, SETTLED_ELSEWHERE = 4, 6  # frames after which a pitch is a note that nothing announced
RISES = 6  # above what is left of the last note, that is no tail of it [dB]
LEAVES, FARTHEST = 0.7, 11.5  # semitones from the note that sounds where it is another
FALLING, FALL = 6, 6  # frames in which a note that goes on falls by less [dB]
SURE = 0.85  # likeness of a period that holds a note
CLEAR = 0.7  # likeness of a period that may bend a note
NEAR = 0.8  # semitones that it may glide in a frame
FOLLOW = 0.8  # of a bend, a frame
BENDS = 2  # frames that the period must have stayed, for one that has just begun to settle
BEND_LEAST = 6  # cents that are worth a bend
SWELL_LEAST = 0.03  # of 0..1 that is worth a swell
PITCH_EVERY = samples(10)

PARAMS = np.dtype(
    [
        ("enabled", "i8"),
        ("bend", "i8"),  # 1: follow the period
        ("expression", "i8"),  # 1: say how the note swells
        ("repitch", "i8"),  # 1: a note may be taken back
        ("pitch", "i8"),  # 1: report the pitch itself
        ("decision", "i8"),  # [samples]
        ("lowest", "i8"),  # first and last row of the pitches that are listened for
        ("highest", "i8"),
        ("shortest", "i8"),  # period [slow samples]
        ("longest", "i8"),
        ("scale", "i8"),  # bits, as `dsp.scale` has them
        ("reluctance", "f4"),  # times the odds that the threshold asks for
        ("gate", "f4"),  # softest level that begins a note [dB]
    ],
    align=True,
)

NOTE = np.dtype(
    [
        ("id", "i8"),  # of the note that sounds, 0 for none
        ("pitch", "i8"),  # its row
        ("played", "i8"),  # the MIDI note that sounds for it
        ("began", "i8"),  # [samples]
        ("since", "i8"),  # when it was emitted [samples]
        ("ended", "i8"),  # [samples]
        ("sang", "i8"),  # 1 once it was likely to sound
        ("quiet", "i8"),  # frames for which it has not been
        ("again", "i8"),  # frames for which it was the likeliest to have begun anew
        ("smooth", "f8"),  # its pitch, followed [MIDI]
        ("bend", "f8"),  # last sent [cents]
        ("pressed", "f8"),  # pressure last sent
        ("low", "f8"),  # lowest level since its end [dB]
        ("reported", "i8"),  # pitch events so far
    ],
    align=True,
)


class LineState(NamedTuple):
    params: np.ndarray  # (1,) PARAMS
    ids: np.ndarray  # (1,) last event id, shared with the other detectors
    clock: np.ndarray  # (2,) samples and frames heard
    asleep: np.ndarray  # (1,) 1 after hops that were not heard
    slow: SlowState
    sound: LagState
    melody: MelodyState  # the pitch itself, where it is reported
    tones: TonesState
    ear: NoteNetState
    net: LineNetState
    over: np.ndarray  # (1,) likelihood of sounding below which a note is over
    likely: np.ndarray  # (PITCHES,) that a note of this pitch has begun
    armed: np.ndarray  # (PITCHES,) 1 where a pitch may begin
    began: np.ndarray  # (PITCHES,) when its newest note began [samples]
    note: np.ndarray  # (1,) NOTE


def line_params(notes: NoteSettings) -> np.ndarray:
    """The settings as the kernel reads them, shape (1,)."""
    params, high = np.zeros(1, PARAMS), min(notes.high, HIGHEST)
    search = pitch_params(notes.low, high)
    params["enabled"] = notes.enabled and notes.lines == "one"
    params["bend"], params["pitch"], params["expression"] = notes.bend, notes.pitch, notes.expression
    params["repitch"] = notes.repitch
    params["decision"] = samples(notes.decision_ms)
    params["lowest"], params["highest"] = max(0, int(np.ceil(notes.low)) - LOWEST), int(high) - LOWEST
    params["shortest"], params["longest"] = search["shortest"], search["longest"]
    params["scale"] = scale_mask(notes.scale)
    params["reluctance"], params["gate"] = asked_of(notes), gate_of(notes)
    return params


def line_state(notes: NoteSettings, weights: NoteWeights, judge: LineWeights, ids: np.ndarray) -> LineState:
    """An ear for one line that has heard nothing; `ids` (1,) counts the events of all detectors."""
    return LineState(
        params=line_params(notes),
        ids=ids,
        clock=np.zeros(2, np.int64),
        asleep=np.zeros(1, np.int64),
        slow=slow_state(),
        sound=lag_state(pitch_params(notes.low, min(notes.high, HIGHEST))),
        melody=melody_state(),
        tones=tones_state(),
        ear=notenet_state(weights),
        net=linenet_state(judge, len(weights.lags) + 2),
        over=weights.over.copy(),
        likely=np.zeros(PITCHES, np.float32),
        armed=np.ones(PITCHES, np.int64),
        began=np.full(PITCHES, -(1 << 40)),
        note=np.zeros(1, NOTE),
    )


@kernel
def _say(state, ref, time, now, kind, number, value, out, n):
    """Write one event of the line and return its id."""
    sure = state.net.period[1]
    time = min(max(time, 0), now)
    return write_event(out[n], state.ids, ref, time, now, kind, 1, -1, number, value, sure)


@kernel
def loudness(sound, lag):
    """Level of the newest stretch, as long as a period [dB]."""
    width = CHUNK * max(FLOOR, int(lag / CHUNK) + 1)
    return 10 * np.log10(sound.energy[width] / width + 1e-12)


@kernel
def _pressure(level):
    """0..1 of a level: -60 to -6 dBFS."""
    return min(1.0, max(0.01, (level + 60) / 54))


@kernel
def line_hear(state, x):
    """Take in one hop, shape (HOP,); whether it completes a frame of the learned ear."""
    sound, tones, p = state.sound, state.tones, state.params[0]
    sound.params[0].shortest, sound.params[0].longest = p.shortest, p.longest
    state.clock[0] += HOP
    slow_step(state.slow, x, sound.tape, tape_room(sound))
    lag_step(sound)
    if not tones_hop(tones, x):
        return False
    relate(tones.power, tones.follower, tones.past, tones.inputs)
    notenet_frame(state.ear, tones.inputs, state.net.said)
    lag, sure = lag_search(sound, 0.0, KEEN, 0.0)
    midi = 69 + 12 * np.log2(SLOW / lag / 440) if lag > 0 else 0.0
    linenet_hear(state.net, midi, sure, loudness(sound, lag), state.clock[1])
    return True


@kernel
def _end(state, time, now, out, n):
    """End the note that sounds."""
    note = state.note[0]
    _say(state, note.id, time, now, NOTE_OFF, note.played, 0.0, out, n)
    note.ended = time
    note.id, note.low = 0, state.net.level[state.clock[1] % PAST]
    return n + 1


@kernel
def _likeliest(state):
    """The pitch that is believed to have begun, -1 for none; what speaks for another speaks against it."""
    p, frame, likely, best, total = state.params[0], state.clock[1], state.likely, -1, np.float32(0)
    odds = p.reluctance * state.net.weights.asked[0] / (1 - state.net.weights.asked[0])
    asked = odds / (1 + odds)
    for pitch in range(p.lowest, p.highest + 1):
        likely[pitch] = np.float32(0)
        if possible(state.net, pitch):
            likely[pitch] = weigh(state.net, state.ear, state.sound, pitch, frame)
        total += likely[pitch]
        if likely[pitch] < REARM * asked:
            state.armed[pitch] = 1
        if likely[pitch] >= asked and state.armed[pitch] and (best < 0 or likely[pitch] > likely[best]):
            best = pitch
    note = state.note[0]
    ringing = best >= 0 and best == note.pitch
    note.again = note.again + 1 if ringing else 0
    if best < 0 or likely[best] < SHARE * total or (ringing and note.again < TWICE and likely[best] < PLAIN):
        return -1
    state.armed[best] = 0
    return best


@kernel
def _attack(level, frame, since):
    """Highest level since a note began [dB]."""
    high = level[frame % PAST]
    for back in range(1, min(since, PAST - 1)):
        high = max(high, level[(frame - back) % PAST])
    return high


@kernel
def _begin(state, pitch, start, now, out, n):
    """End the note that sounds, or take it back, and begin another."""
    p, note = state.params[0], state.note[0]
    wrong = 0
    if p.repitch and note.id > 0 and pitch != note.pitch and now - note.since <= REPITCH:
        start, wrong = note.began, note.id
    # The estimates of two starts, or of an end and a start, may lie in the wrong order.
    elif note.id > 0:
        start = max(start, note.began + HOP)
    else:
        start = max(start, note.ended)
    start = max(start, now - p.decision)
    if note.id > 0:
        n = _end(state, start, now, out, n)
    note.pitch, note.played = pitch, drawn(p.scale, pitch + LOWEST)
    note.began = state.began[pitch] = start
    velocity = _pressure(_attack(state.net.level, state.clock[1], (now - start) // FRAME))
    note.id = _say(state, wrong, start, now, NOTE_ON, note.played, velocity, out, n)
    if not wrong:
        note.since = now
    note.sang = note.quiet = 0
    note.smooth = pitch + LOWEST
    note.bend = note.pressed = 0.0
    return n + 1


@kernel
def _sings(state, repeats):
    """Whether the note sounds: by the learned ear, or by its period, which `repeats`, unless the level falls."""
    net, frame = state.net, state.clock[1]
    if net.sounded[frame % PAST, state.note[0].pitch] >= state.over[0]:
        return True
    return repeats and net.level[frame % PAST] > max(
        net.level[(frame - FALLING) % PAST] - FALL, state.params[0].gate
    )


@kernel
def _follow(state, now, out, n):
    """Follow the note that sounds: its end, its bend and its swell."""
    p, note, net = state.params[0], state.note[0], state.net
    midi, sure = net.period[0], net.period[1]
    near = sure > CLEAR and abs(midi - note.smooth) < NEAR
    if near:
        note.smooth += FOLLOW * (midi - note.smooth)
    if _sings(state, near and sure > SURE):
        note.quiet, note.sang = 0, 1
    else:
        note.quiet += 1
    if (note.sang or now - note.since > HESITANT) and note.quiet >= watched(p.decision // FRAME):
        time = now - (note.quiet - 1 + SOUNDING_LAG + LET_GO) * FRAME - FRAME // 2
        return _end(state, max(time, note.began + HOP, now - p.decision), now, out, n)
    cents = 100 * (note.smooth - LOWEST - note.pitch)
    if p.bend and near and net.period[2] >= BENDS and abs(cents - note.bend) > BEND_LEAST:
        _say(state, note.id, now - HOP, now, BEND, cents, 0.0, out, n)
        note.bend = cents
        n += 1
    pressure = _pressure(net.level[state.clock[1] % PAST])
    if p.expression and abs(pressure - note.pressed) > SWELL_LEAST:
        _say(state, note.id, now - HOP, now, PRESSURE, 0.0, pressure, out, n)
        note.pressed = pressure
        n += 1
    return n


@kernel
def _settled(state):
    """The pitch at which the period has settled while no note, or another, was said to sound there, or -1."""
    still, note = state.net.still, state.note[0]
    middle = 0.5 * (still[1] + still[2])
    if note.id and (
        still[0] < SETTLED_ELSEWHERE or not LEAVES < abs(middle - note.pitch - LOWEST) < FARTHEST
    ):
        return -1
    if not note.id and state.net.level[state.clock[1] % PAST] < note.low + RISES:
        return -1
    pitch = int(np.floor(middle + 0.5)) - LOWEST
    inside = state.params[0].lowest <= pitch <= state.params[0].highest
    return pitch if inside and still[0] >= SETTLED else -1


@kernel
def line_frame(state, now, out, n):
    """Decide on one more frame; the number of events in `out` then."""
    pitch = _likeliest(state)
    if pitch >= 0 and state.net.level[state.clock[1] % PAST] > state.params[0].gate:
        first = state.ear.weights.lags[0]
        heard = int(2 * RATE / hertz(pitch) / FRAME + 0.5)  # it takes two periods to be known
        since = started(state.net.rumour, first, pitch, NEWEST, OLDEST, max(heard, NEWEST), state.clock[1])
        start = now - since * FRAME - FRAME // 2
        if start - state.began[pitch] >= REFRACTORY:
            n = _begin(state, pitch, start, now, out, n)
    elif pitch < 0 and state.net.level[state.clock[1] % PAST] > state.params[0].gate:
        pitch = _settled(state)
        if pitch >= 0:
            n = _begin(state, pitch, now - int(state.net.still[0] + 2) * FRAME, now, out, n)
    note = state.note[0]
    if note.id:
        n = _follow(state, now, out, n)
    else:
        note.low = min(note.low, state.net.level[state.clock[1] % PAST])
    state.clock[1] += 1
    return n


@kernel
def _report(state, now, out, n):
    """The pitch itself, every 10 ms."""
    note, found = state.note[0], state.melody.found
    if now // HOP % EVERY == 0:
        melody_look(state.melody, state.sound, state.params[0].gate)
    grid = (now - MELODY_DELAY) // PITCH_EVERY
    if grid <= note.reported:
        return n
    note.reported = grid
    f0 = SLOW / found[0] if found[0] > 0 else 0.0
    time = min(max(grid * PITCH_EVERY, 0), now)
    write_event(out[n], state.ids, 0, time, now, PITCH, 1, -1, f0, 0.0, found[1])
    return n + 1


@kernel
def _wake(state):
    """Hops were not heard: what was before them counts no more."""
    state.asleep[0] = 0
    tones_forget(state.tones)
    notenet_forget(state.ear)
    linenet_forget(state.net)
    for pitch in range(PITCHES):
        state.armed[pitch] = 1


@kernel
def line_step(state, x, out):
    """Notes of each hop, x (n, HOP) -> events in `out`, at most ROOM a hop; returns how many.

    Notes
    -----
    Realtime: O(longest period) a hop, a frame of the net every 8 ms, no allocation.
    """
    p = state.params[0]
    n = np.int64(0)  # a literal would have all it passes through compiled twice
    for k in range(len(x)):
        if not p.enabled:
            state.clock[0] += HOP
            now = state.clock[0]
            if state.note[0].id:
                n = _end(state, now, now, out, n)
            state.asleep[0] = 1
            continue
        if state.asleep[0]:
            _wake(state)
        heard, now = line_hear(state, x[k]), state.clock[0]
        if heard:
            n = line_frame(state, now, out, n)
        if p.pitch:
            n = _report(state, now, out, n)
    return n


class Line(KernelStage):
    """Notes of one line: hops of audio -> events.

    Notes
    -----
    Every note begins at most `decision_ms` before it is emitted: a start that was
    longer ago is moved up. Realtime: see `line_step`.
    """

    step = staticmethod(line_step)

    def __init__(self, weights: NoteWeights, judge: LineWeights, settings: NoteSettings) -> None:
        self.weights, self.judge, self.settings = weights, judge, settings

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        state = line_state(self.settings, self.weights, self.judge, np.zeros(1, np.int64))
        return self._detects(spec, state, ROOM)
