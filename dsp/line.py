# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of one line: a voice, a bass, a flute.

The note that sounds is subtracted from what follows, by comparing the sound with
itself one period ago; what remains is news. Energy that rises, in the sound or in
the news, opens an attack; it becomes a note as soon as enough of its period has come
again. Without an attack a pitch must stay elsewhere for a while to be a new note.
A fall much faster than any string decays ends a note.
"""

import numpy as np

from dsp.events import BEND, NOTE_OFF, NOTE_ON, PITCH, PRESSURE
from dsp.kernel import kernel
from dsp.line_state import PAST, line_state
from dsp.melody import EVERY, MELODY_DELAY, melody_look
from dsp.notes import REPITCH, NoteSettings
from dsp.pitch import (
    CHUNK,
    DECIMATION_DELAY,
    FACTOR,
    FLOOR,
    SLOW,
    lag_search,
    lag_step,
    slow_step,
    tape_room,
)
from dsp.scale import drawn
from dsp.stage import KernelStage, Spec
from dsp.units import HOP, samples
from dsp.write import write_event

ROOM = 16  # most events one hop can bring, with much to spare
PITCH_EVERY = samples(10)
BEND_LEAST = 6  # cents that are worth a bend
SWELL_EVERY = 6  # hops
SWELL_LEAST = 0.03  # of 0..1 that is worth a swell


@kernel
def _say(out, n, ids, ref, time, emitted, kind, number, value, confidence):
    """Write one event of the line and return its id."""
    time = min(max(time, 0), emitted)
    return write_event(out[n], ids, ref, time, emitted, kind, 1, -1, number, value, confidence)


@kernel
def _rise(power, now):
    """Rise of the newest two hops above all of the 27 ms before [dB]."""
    fresh = power[now % PAST] + power[(now - 1) % PAST]
    old = 1e-12
    for back in range(3, 23):
        old = max(old, power[(now - back) % PAST] + power[(now - back - 1) % PAST])
    return 10 * np.log10((fresh + 1e-11) / (old + 1e-11))


@kernel
def _velocity(level):
    """0..1 of the level of an attack: -60 to -6 dBFS."""
    return min(1.0, max(0.01, (level + 60) / 54))


@kernel
def _midi(lag):
    return 69 + 12 * np.log2(SLOW / lag / 440) if lag > 0 else 0.0


@kernel
def _listen(state, x, now):
    """Take in one hop: its powers, and the likeness of every lag."""
    whole, edge, last = 1e-14, 1e-14, state.last[0]
    for i in range(HOP):
        whole += x[i] * x[i]
        edge += (x[i] - last) * (x[i] - last)
        last = x[i]
    state.last[0] = last
    state.power[0, now % PAST] = whole / HOP
    state.power[1, now % PAST] = edge / HOP
    slow_step(state.slow, x, state.sound.tape, tape_room(state.sound))
    lag_step(state.sound)


@kernel
def _subtract(sound, news, period):
    """Write the newest chunk less itself one period ago, or as it is; returns its mean power."""
    tape, start, to = sound.tape, sound.head[0], tape_room(news)
    whole = int(period)
    f = period - whole
    # Lagrange's cubic through four samples around the point one period ago.
    a = -f * (f - 1) * (f - 2) / 6
    b = (f + 1) * (f - 1) * (f - 2) / 2
    c = -(f + 1) * f * (f - 2) / 2
    d = (f + 1) * f * (f - 1) / 6
    power = 0.0
    for i in range(CHUNK):
        y = float(tape[start + i])
        if period > 0:
            at = start + i + whole
            y -= a * tape[at - 1] + b * tape[at] + c * tape[at + 1] + d * tape[at + 2]
        news.tape[to + i] = y
        power += y * y
    return power / CHUNK


@kernel
def _follow(state, now, young):
    """The pitch of this hop: of the sound, or of the news where the sound says nothing new."""
    p, heard, note, power = state.params[0], state.heard[0], state.note[0], state.power
    sound, news = state.sound, state.news
    # The first period of a low string is never quite like its second.
    slack = p.low_clear if state.attack[0].open else 0.0
    lag, sure = lag_search(sound, note.period if note.id > 0 else 0.0, p.keen, 0.0)
    width = CHUNK * max(FLOOR, int(lag / CHUNK) + 1)
    loud = 10 * np.log10(sound.energy[width] / width + 1e-12)
    state.level[now % PAST] = loud
    # What has just stopped still fills the stretch that is compared.
    alive = power[0, now % PAST] + power[0, (now - 1) % PAST] > 10 ** ((loud - 25) / 10)
    heard.lag, heard.sure, heard.midi, heard.loud = lag, sure, _midi(lag), loud
    heard.voiced = alive and lag > 0 and sure > p.clear - slack * lag and loud > p.gate
    # The note that sounds and the one before have a common multiple, which is no note.
    times = np.floor(lag / note.period + 0.5) if note.period > 0 else 0.0
    heard.shadow = times >= 2 and abs(lag - times * note.period) < p.shade * lag

    power[2, now % PAST] = _subtract(sound, news, note.period) + 10 ** ((loud + p.news_floor) / 10)
    lag_step(news)
    ringing = young < p.ring
    new = heard.voiced and not heard.shadow and abs(heard.midi - note.midi) > p.leave
    if new and not (ringing and abs(heard.midi - note.before) < p.leave):
        return
    lag, sure = lag_search(news, 0.0, p.keen, 0.0)
    fresh = 10 * np.log10(news.energy[FLOOR * CHUNK] / (FLOOR * CHUNK) + 1e-12)
    told = alive and note.period > 0 and lag > 0 and sure > p.clear - slack * lag
    if told and fresh > loud + p.news_loud and fresh > p.gate:
        midi = _midi(lag)
        if abs(midi - note.midi) > p.leave and not (ringing and abs(midi - note.before) < p.leave):
            heard.lag, heard.sure, heard.midi = lag, sure, midi
            heard.voiced, heard.shadow = 1, 0


@kernel
def _strike(state, now, emitted, young):
    """Open an attack where the sound or the news rises."""
    p, attack, loud = state.params[0], state.attack[0], state.heard[0].loud
    rise = max(_rise(state.power[0], now), _rise(state.power[1], now))
    # Just after a note began, what is subtracted has changed and the news with it.
    novel = _rise(state.power[2], now) if state.note[0].period > 0 and young >= 24 else 0.0
    rests = not attack.open and now - attack.struck > p.refractory
    again = attack.open and rise > p.again and rise > attack.rise and now - attack.struck > 4
    if (again or (rests and (rise > p.rise or novel > p.news))) and loud > p.gate - 12:
        attack.open = 1
        attack.time = emitted - 2 * HOP
        attack.struck = now
        attack.rise = attack.news = 0.0
        attack.loud = -120.0
        attack.stay = 0
    attack.rise = max(attack.rise, rise)
    attack.news = max(attack.news, novel)
    attack.loud = max(attack.loud, loud)
    if now - attack.struck > p.patience:
        attack.open = 0


@kernel
def _watch(p, attack, heard, emitted):
    """How long the pitch has stayed where it is, and how long it has been quite still."""
    if not heard.voiced:
        attack.stay = max(0.0, attack.stay - 0.5)
        attack.still = max(0.0, attack.still - 0.5)
        return
    midi = heard.midi
    if abs(midi - attack.midi) >= 0.5:
        attack.midi = attack.low = attack.high = midi
        attack.stay = attack.still = 0
        attack.came = emitted - HOP
        return
    attack.low, attack.high = min(attack.low, midi), max(attack.high, midi)
    certain = max(0.0, heard.sure - 0.9) * 10 if attack.high - attack.low < p.narrow else 0.0
    attack.still += 1 + p.trust * certain
    if attack.high - attack.low >= p.width:
        attack.low = attack.high = midi
        attack.still = 0
    attack.stay += 1
    attack.midi += (midi - attack.midi) / min(attack.stay + 1, 6)


@kernel
def _begins(p, note, attack, heard, level, now, emitted):
    """When a note began that is now believed [samples], -1 for none."""
    if not heard.voiced:
        return -1
    if attack.stay < (p.settle_shadow if heard.shadow else max(p.stay, p.low_stay * heard.lag)):
        return -1
    away = abs(attack.midi - note.midi)
    same = note.ended < 300 and away < p.leave
    if attack.open:
        seen = (emitted - DECIMATION_DELAY - attack.time) / FACTOR
        if seen < max((p.same_wait if same else p.wait) * heard.lag, p.wait_ms * SLOW / 1000):
            return -1
        if abs(attack.midi - np.floor(attack.midi + 0.5)) > p.between and now - attack.struck < p.dither:
            return -1
        if same and attack.rise < p.same_rise and (attack.news < p.same_news or heard.sure < p.clear):
            return -1
        return attack.time
    # A voice drifts, an instrument does not: only what stands quite still is believed sooner.
    swelling = heard.loud - level[(now - 24) % PAST] > p.swelling and attack.high - attack.low < p.narrow
    if attack.still < (p.settle_swell if swelling else p.settle):
        return -1
    if same and (note.id > 0 or heard.loud < note.low + p.swell):
        return -1
    if note.id > 0 and away < p.leave_still:
        return -1
    return max(0, attack.came - int(heard.lag * FACTOR))


@kernel
def _mistaken(p, note, attack, heard, emitted):
    """Whether the note that has just begun turns out to be another."""
    if not p.repitch or note.id == 0 or emitted - note.since > REPITCH or attack.open:
        return False
    settled = heard.voiced and not heard.shadow and attack.stay >= p.anew
    return settled and abs(attack.midi - note.midi) > p.leave_still


@kernel
def _begin(state, start, emitted, out, n):
    """End the note that sounds, or take it back, and begin the one that is watched."""
    note, attack, sure, ids = state.note[0], state.attack[0], state.heard[0].sure, state.ids
    wrong = 0
    if state.params[0].repitch and note.id > 0 and emitted - note.since <= REPITCH and not attack.open:
        start, attack.loud, wrong = note.start, max(note.struck, attack.loud), note.id
    start = max(start, emitted - state.params[0].decision)
    if note.id > 0:
        _say(out, n, ids, note.id, start, emitted, NOTE_OFF, note.played, 0.0, sure)
        n += 1
    if not wrong:
        note.before = note.midi
    note.midi = np.floor(attack.midi + 0.5)
    note.played = drawn(state.params[0].scale, int(note.midi))
    note.id = _say(out, n, ids, wrong, start, emitted, NOTE_ON, note.played, _velocity(attack.loud), sure)
    note.start, note.struck = start, attack.loud
    if not wrong:
        note.since = emitted
    note.bent = emitted
    note.smooth = attack.midi
    note.period = SLOW / (440.0 * 2 ** ((note.smooth - 69) / 12))
    note.bend = note.pressed = 0.0
    note.lost = note.ended = 0
    attack.open = 0
    attack.loud = state.heard[0].loud
    return n + 1


@kernel
def _hold(state, now, emitted, out, n):
    """Follow the note that sounds: its bend and its end."""
    p, note, attack, heard, level = (
        state.params[0],
        state.note[0],
        state.attack[0],
        state.heard[0],
        state.level,
    )
    if heard.voiced and abs(heard.midi - note.smooth) < 0.8:
        note.smooth += 0.25 * (heard.midi - note.smooth)
        note.period = heard.lag
        note.lost = 0
    elif not heard.voiced:
        note.lost += 1
    high = level[(now - p.fall_hops) % PAST]
    fallen = high - heard.loud > p.fall and emitted - note.since > p.fall_hops * HOP // 2
    if fallen or heard.loud < p.gate - 6 or note.lost > 40:
        back = 1
        while back < PAST - 2 and level[(now - back) % PAST] < high - 3:
            back += 1
        end = max(emitted - back * HOP, emitted - p.decision)
        _say(out, n, state.ids, note.id, end, emitted, NOTE_OFF, note.played, 0.0, heard.sure)
        note.id = note.ended = 0
        note.low = heard.loud
        attack.stay = attack.still = 0
        return n + 1
    cents = 100 * (note.smooth - note.midi)
    due = p.bend and heard.voiced and emitted - note.bent >= PITCH_EVERY
    if due and abs(cents - note.bend) > BEND_LEAST:
        _say(out, n, state.ids, note.id, emitted - HOP, emitted, BEND, cents, 0.0, heard.sure)
        note.bend = cents
        note.bent = emitted
        n += 1
    pressure = _velocity(heard.loud)
    if p.expression and abs(pressure - note.pressed) > SWELL_LEAST and now % SWELL_EVERY == 0:
        _say(out, n, state.ids, note.id, emitted - HOP, emitted, PRESSURE, 0.0, pressure, heard.sure)
        note.pressed = pressure
        n += 1
    return n


@kernel
def line_step(state, x, out):
    """Notes of each hop, x (n, HOP) -> events in `out`, at most ROOM a hop; returns how many."""
    p, note, attack, heard = state.params[0], state.note[0], state.attack[0], state.heard[0]
    if p.enabled == 0:
        state.clock[0] += HOP * x.shape[0]
        return 0
    for lags in (state.sound, state.news):
        lags.params[0].shortest = p.shortest
        lags.params[0].longest = p.longest
    n = np.int64(0)  # a literal would have all it passes through compiled twice
    for hop in range(x.shape[0]):
        now = state.clock[0] // HOP
        state.clock[0] += HOP
        emitted = state.clock[0]
        young = (emitted - note.since) // HOP
        _listen(state, x[hop], now)
        _follow(state, now, young)
        _strike(state, now, emitted, young)
        _watch(p, attack, heard, emitted)
        start = _begins(p, note, attack, heard, state.level, now, emitted)
        if start >= 0 or _mistaken(p, note, attack, heard, emitted):
            n = _begin(state, start, emitted, out, n)
        elif note.id > 0:
            n = _hold(state, now, emitted, out, n)
        else:
            note.ended += 1
            note.low = min(note.low, heard.loud)
            if note.ended > 300 or heard.loud < p.gate:
                note.period = 0.0
        if p.pitch:
            if now % EVERY == 0:
                melody_look(state.melody, state.sound, p.gate)
            grid, found = (emitted - MELODY_DELAY) // PITCH_EVERY, state.melody.found
            if grid > note.reported:
                note.reported = grid
                f0 = SLOW / found[0] if found[0] > 0 else 0.0
                _say(out, n, state.ids, 0, grid * PITCH_EVERY, emitted, PITCH, f0, 0.0, found[1])
                n += 1
    return n


class Line(KernelStage):
    """Notes of one line: hops of audio -> events.

    Notes
    -----
    Every note begins at most `decision_ms` before it is emitted: a start that was
    longer ago is moved up. Realtime: O(longest period) a hop, no allocation.
    """

    step = staticmethod(line_step)

    def __init__(self, settings: NoteSettings) -> None:
        self.settings = settings

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        return self._detects(spec, line_state(self.settings, np.zeros(1, np.int64)), ROOM)
