# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of one line: a voice, a bass, a flute.

The note that sounds is subtracted from what follows, by comparing the sound with
itself one period ago; what remains is news. Energy that rises, in the sound or in
the news, opens an attack; it becomes a note as soon as its period has been seen
twice. Without an attack a pitch must stay elsewhere for a while to be a new note.
A fall much faster than any string decays ends a note.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dsp.events import BEND, EVENT, NOTE_OFF, NOTE_ON, PITCH
from dsp.kernel import kernel
from dsp.pitch import (
    CHUNK,
    DECIMATION_DELAY,
    DELAY,
    FACTOR,
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
from dsp.settings import number, switch
from dsp.stage import KernelStage, Spec
from dsp.units import HOP, samples

ROOM = 16  # most events one hop can bring, with much to spare
PAST = 128  # hops of history: 171 ms
PITCH_EVERY = samples(10)


@dataclass(frozen=True, slots=True)
class NoteSettings:
    enabled: bool = switch(True, "play back the melody that is heard")
    low: float = number(28, 21, 96, "MIDI note", "lowest note to listen for; a higher one decides sooner")
    high: float = number(84, 21, 96, "MIDI note", "highest note to listen for")
    decision_ms: float = number(45, 10, 120, "ms", "how long after its start a note is decided at the latest")
    sensitivity: float = number(0.5, 0, 1, "", "0 hears only clear notes, 1 hears everything")
    bend: bool = switch(True, "follow vibrato and glides with pitch bend")
    pitch: bool = switch(False, "report the pitch itself every 10 ms")


PARAMS = np.dtype(
    [
        ("enabled", "i8"),
        ("bend", "i8"),
        ("pitch", "i8"),
        ("shortest", "i8"),  # period [slow samples]
        ("longest", "i8"),
        ("decision", "i8"),  # [samples]
        ("gate", "f8"),  # softest level that is heard [dB]
        ("clear", "f8"),  # likeness of a note
        ("rise", "f8"),  # of energy, that opens an attack [dB]
        ("rerise", "f8"),  # the same soon after an attack
        ("news", "f8"),  # rise of the news that opens an attack [dB]
        ("news_floor", "f8"),  # news below this is no news [dB below the sound]
        ("news_loud", "f8"),  # news above this has a pitch of its own [dB below the sound]
        ("same_rise", "f8"),  # rise that strikes the same note again [dB]
        ("same_news", "f8"),  # or news that does
        ("keen", "f8"),  # how good the first peak must be against the best
        ("wait", "f8"),  # periods to see before a note is believed
        ("wait_ms", "f8"),  # and at least so long
        ("same_wait_ms", "f8"),  # the same for the note that sounds already
        ("stay", "f8"),  # hops a pitch must stay to be a note with an attack
        ("low_stay", "f8"),  # and for each slow sample of its period
        ("settle", "f8"),  # hops a pitch must stay to be a note without one
        ("leave", "f8"),  # semitones from the note that are another note
        ("broke", "f8"),  # share of news in the sound that opens an attack [dB]
        ("breaks", "f8"),  # when it has risen so much within 64 ms [dB]
        ("settle_news", "f8"),
        ("ring", "f8"),  # hops that the note before may ring on
        ("settle_back", "f8"),  # hops its pitch must stay to be a note again
        ("keen_low", "f8"),
        ("keen_high", "f8"),
        ("doubt_ms", "f8"),
        ("steady", "f8"),
        ("between", "f8"),
        ("dither", "f8"),
        ("width", "f8"),  # semitones that a pitch may wander and be still
        ("leave_soft", "f8"),  # semitones from the note that are another note without an attack
        ("shade", "f8"),
        ("settle_shadow", "f8"),
        ("swell", "f8"),  # rise that lets a note come back after its end [dB]
        ("refractory", "f8"),  # hops between two attacks
        ("patience", "f8"),  # hops an attack waits for a pitch
        ("fall", "f8"),  # of level within `fall_hops`, that ends a note [dB]
        ("fall_hops", "i8"),
    ],
    align=True,
)

NOTE = np.dtype(
    [
        ("id", "i8"),  # of the note that sounds, 0 for none
        ("midi", "f8"),  # its number; after its end, the number of its tail
        ("before", "f8"),  # number of the note before it, which may still ring
        ("since", "i8"),  # when it was emitted [samples]
        ("ended", "i8"),  # hops since its end
        ("smooth", "f8"),  # pitch, smoothed [MIDI]
        ("period", "f8"),  # subtracted from the sound [slow samples], 0 for none
        ("low", "f8"),  # lowest level since its end [dB]
        ("lost", "i8"),  # hops without a period
        ("bend", "f8"),  # last sent [cents]
        ("bent", "i8"),  # when [samples]
        ("reported", "i8"),  # pitch events so far
    ],
    align=True,
)

ATTACK = np.dtype(
    [
        ("open", "i8"),  # 1 while it waits for a pitch
        ("time", "i8"),  # [samples]
        ("struck", "i8"),  # hop of it
        ("rise", "f8"),  # strongest rise of the sound [dB]
        ("news", "f8"),  # strongest rise of the news [dB]
        ("midi", "f8"),  # pitch that is being watched
        ("stay", "f8"),  # hops it has stayed
        ("low", "f8"),  # least and greatest of it while it is still [MIDI]
        ("high", "f8"),
        ("still", "f8"),  # hops it has been still
        ("came", "i8"),  # sample at which it came
        ("loud", "f8"),  # highest level since [dB]
    ],
    align=True,
)


class LineState(NamedTuple):
    params: np.ndarray  # (1,) PARAMS
    ids: np.ndarray  # (1,) last event id, shared with the other detectors
    slow: SlowState
    sound: LagState  # the sound itself
    news: LagState  # the sound less the note that sounds
    clock: np.ndarray  # (1,) samples heard
    power: np.ndarray  # (3, PAST) power of each hop: the sound, its difference, the news
    share: np.ndarray  # (PAST,) of the news in the sound [dB]
    level: np.ndarray  # (PAST,) level over a period [dB]
    last: np.ndarray  # (1,) newest sample, for the difference
    note: np.ndarray  # (1,) NOTE
    attack: np.ndarray  # (1,) ATTACK


def line_params(notes: NoteSettings) -> np.ndarray:
    """The settings as the kernel reads them, shape (1,); assign to ``state.params[...]`` to change them live."""
    params = np.zeros(1, PARAMS)
    search = pitch_params(notes.low, notes.high)
    daring = notes.sensitivity - 0.5
    params["enabled"], params["bend"], params["pitch"] = notes.enabled, notes.bend, notes.pitch
    params["shortest"], params["longest"] = search["shortest"], search["longest"]
    params["decision"] = samples(notes.decision_ms)
    params["gate"] = -66 - 20 * daring
    params["clear"] = 0.8505 - 0.16 * daring
    params["rise"] = 6 - 4 * daring
    params["rerise"] = 9 - 4 * daring
    params["news"] = 6 - 4 * daring
    params["news_floor"] = -26
    params["news_loud"] = -8.491
    params["same_rise"] = 3 - 4 * daring
    params["same_news"] = 15.71 - 4 * daring
    params["keen"] = 0.7276
    params["wait"] = 2.22
    params["wait_ms"] = 9
    params["same_wait_ms"] = 12.13
    params["stay"] = 1
    params["low_stay"] = 0.015
    params["settle"] = 13.26
    params["leave"] = 0.5522
    params["broke"] = 3
    params["breaks"] = 7.026
    params["settle_news"] = 13.63
    params["ring"] = 238.7
    params["settle_back"] = 29.35
    params["keen_low"] = 0.6791
    params["keen_high"] = 0.914
    params["doubt_ms"] = 4.605
    params["steady"] = 0.2125
    params["between"] = 0.3862
    params["dither"] = 36.88
    params["width"] = 0.25
    params["leave_soft"] = 0.7
    params["shade"] = 0.02
    params["settle_shadow"] = 40
    params["swell"] = 4.043
    params["refractory"] = 30
    params["patience"] = 63.65
    params["fall"] = 7.143
    params["fall_hops"] = 36
    return params


def line_state(notes: NoteSettings, ids: np.ndarray) -> LineState:
    """All that the notes of one line remember; `ids` (1,) counts the events of all detectors."""
    note, attack = np.zeros(1, NOTE), np.zeros(1, ATTACK)
    attack["struck"] = -1000
    search = pitch_params(notes.low, notes.high)
    return LineState(
        params=line_params(notes),
        ids=ids,
        slow=slow_state(),
        sound=lag_state(search),
        news=lag_state(search.copy()),
        clock=np.zeros(1, np.int64),
        power=np.full((3, PAST), 1e-12),
        share=np.zeros(PAST),
        level=np.full(PAST, -120.0),
        last=np.zeros(1, np.float32),
        note=note,
        attack=attack,
    )


@kernel
def _say(out, n, ids, ref, time, emitted, kind, number, value, confidence):
    """Write one event and give it the next id, which is returned."""
    ids[0] += 1
    event = out[n]
    event.id = ids[0]
    event.ref = ref
    event.time = min(max(time, 0), emitted)
    event.emitted = emitted
    event.kind = kind
    event.channel = 1
    event.label = -1
    event.number = number
    event.value = value
    event.confidence = confidence
    return ids[0]


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
def _fell(level, now, depth):
    """Samples back to where the level fell below `depth` for good."""
    back = 1
    while back < PAST - 2 and level[(now - back) % PAST] < depth:
        back += 1
    return back * HOP


@kernel
def _subtract(sound, news, period):
    """Write the newest chunk less itself one period ago; returns its mean power."""
    tape, start, to = sound.tape, sound.head[0], tape_room(news)
    gain = 0.0
    whole = int(period)
    f = period - whole
    if period > 0:
        width = CHUNK * max(FLOOR, whole // CHUNK + 1)
        past = sound.energy[width + whole] - sound.energy[whole]
        gain = min(1.0, max(0.5, sound.sums[whole] / (past + 1e-12)))
        gain = 1.0
    # Lagrange's cubic through four samples around the point one period ago.
    a = -f * (f - 1) * (f - 2) / 6
    b = (f + 1) * (f - 1) * (f - 2) / 2
    c = -(f + 1) * f * (f - 2) / 2
    d = (f + 1) * f * (f - 1) / 6
    power = 0.0
    for i in range(CHUNK):
        at = start + i + whole
        y = float(tape[start + i])
        if gain > 0:
            y -= gain * (a * tape[at - 1] + b * tape[at] + c * tape[at + 1] + d * tape[at + 2])
        news.tape[to + i] = y
        power += y * y
    return power / CHUNK


@kernel
def _midi(lag):
    return 69 + 12 * np.log2(SLOW / lag / 440) if lag > 0 else 0.0


@kernel
def line_step(state, x, out):
    """Notes of each hop, x (n, HOP) -> events in `out`, at most ROOM a hop; returns how many."""
    p, ids = state.params[0], state.ids
    if p.enabled == 0:
        state.clock[0] += HOP * x.shape[0]
        return 0
    sound, news, power, level = state.sound, state.news, state.power, state.level
    share = state.share
    note, attack = state.note[0], state.attack[0]
    for lags in (sound, news):
        lags.params[0].shortest = p.shortest
        lags.params[0].longest = p.longest
    n = 0
    for hop in range(x.shape[0]):
        now = state.clock[0] // HOP
        state.clock[0] += HOP
        emitted = state.clock[0]
        oldest = emitted - p.decision

        whole, edge, last = 1e-14, 1e-14, state.last[0]
        for i in range(HOP):
            whole += x[hop, i] * x[hop, i]
            edge += (x[hop, i] - last) * (x[hop, i] - last)
            last = x[hop, i]
        state.last[0] = last
        power[0, now % PAST] = whole / HOP
        power[1, now % PAST] = edge / HOP

        slow_step(state.slow, x[hop], sound.tape, tape_room(sound))
        lag_step(sound)
        expected = note.period if note.id > 0 else 0.0
        lag, sure = lag_search(sound, expected, p.keen, 0.0)
        width = CHUNK * max(FLOOR, int(lag / CHUNK) + 1)
        loud = 10 * np.log10(sound.energy[width] / width + 1e-12)
        level[now % PAST] = loud
        # What has just stopped still fills the stretch that is compared.
        alive = power[0, now % PAST] + power[0, (now - 1) % PAST] > 10 ** ((loud - 25) / 10)
        voiced = alive and lag > 0 and sure > p.clear and loud > p.gate
        midi = _midi(lag)

        # What the note that sounds does not explain.
        floor = 10 ** ((loud + p.news_floor) / 10)
        power[2, now % PAST] = _subtract(sound, news, note.period) + floor
        lag_step(news)
        fresh_lag, fresh_sure = lag_search(news, 0.0, p.keen, 0.0)
        fresh = 10 * np.log10(news.energy[FLOOR * CHUNK] / (FLOOR * CHUNK) + 1e-12)
        young = (emitted - note.since) / HOP
        told = alive and note.period > 0 and fresh_lag > 0 and fresh_sure > p.clear and fresh > loud + p.news_loud and fresh > p.gate
        fromnews = False
        doubt = abs(lag_search(sound, expected, p.keen_low, 0.0)[0] - lag_search(sound, expected, p.keen_high, 0.0)[0]) > 1.0
        times = np.floor(lag / note.period + 0.5) if note.period > 0 else 0.0
        shadow = times >= 2 and abs(lag - times * note.period) < p.shade * lag
        new = voiced and not shadow and abs(midi - note.midi) > p.leave
        new = new and not (young < p.ring and abs(midi - note.before) < p.leave)
        if told and not new:  # (the note before is news too, but no new note)
            fresh_midi = _midi(fresh_lag)
            echo = young < p.ring and abs(fresh_midi - note.before) < p.leave
            if abs(fresh_midi - note.midi) > p.leave and not echo:
                midi, lag, sure, voiced, fromnews = fresh_midi, fresh_lag, fresh_sure, True, True
                shadow = False

        # An attack opens.
        rise, novel = max(_rise(power[0], now), _rise(power[1], now)), _rise(power[2], now)
        if note.period == 0 or young < 24:
            novel = 0.0
        soon = now - attack.struck < 2 * p.refractory
        share[now % PAST] = ratio = 10 * np.log10((power[2, now % PAST] + power[2, (now - 1) % PAST]) / 2 + 1e-14) - loud
        calm = ratio
        for back in range(1, 48):
            calm = min(calm, share[(now - back) % PAST])
        broke = ratio > p.broke and ratio - calm > p.breaks and note.period > 0 and young > 48
        if (rise > (p.rerise if soon else p.rise) or novel > p.news or broke) and loud > p.gate - 12:
            if now - attack.struck > p.refractory and not attack.open:
                attack.open = 1
                attack.time = emitted - 2 * HOP
                attack.loud = -120.0
                attack.stay = 0
                attack.struck = now
                attack.rise = 0.0
                attack.news = 0.0
        attack.loud = max(attack.loud, loud)
        attack.rise = max(attack.rise, rise)
        attack.news = max(attack.news, novel)
        if attack.open and now - attack.struck > p.patience:
            attack.open = 0

        # A pitch is watched.
        if voiced and abs(midi - attack.midi) < 0.5:
            attack.low, attack.high = min(attack.low, midi), max(attack.high, midi)
            if attack.high - attack.low < p.width:
                attack.still += 1
            else:
                attack.low = attack.high = midi
                attack.still = 0
            attack.stay += 1
            attack.midi += (midi - attack.midi) / min(attack.stay + 1, 6)
        elif voiced:
            attack.midi = attack.low = attack.high = midi
            attack.stay = attack.still = 0
            attack.came = emitted - HOP
        else:
            attack.stay = max(0.0, attack.stay - 0.5)
            attack.still = max(0.0, attack.still - 0.5)

        begun = False
        start = emitted
        if voiced and attack.stay >= (p.settle_shadow if shadow else max(p.stay, p.low_stay * lag)):
            same = note.ended < 300 and abs(attack.midi - note.midi) < p.leave
            if attack.open:
                seen = (emitted - DECIMATION_DELAY - attack.time) / FACTOR
                least = (p.same_wait_ms if same else p.wait_ms) * SLOW / 1000
                if doubt:
                    least += p.doubt_ms * SLOW / 1000
                begun = seen >= max(p.wait * lag, least)
                middle = abs(attack.midi - np.floor(attack.midi + 0.5))
                if (abs(midi - attack.midi) > p.steady or middle > p.between) and now - attack.struck < p.dither:
                    begun = False
                if same:
                    begun = begun and (attack.rise > p.same_rise or attack.news > p.same_news)
                start = attack.time
            elif attack.still >= (p.settle_back if abs(attack.midi - note.before) < p.leave and young < p.ring else p.settle_news if fromnews else p.settle):
                begun = not same or (note.id == 0 and loud > note.low + p.swell)
                begun = begun and (note.id == 0 or abs(attack.midi - note.midi) > p.leave_soft)
                start = attack.came - int(lag * FACTOR)
        if begun:
            number = np.floor(attack.midi + 0.5)
            start = max(start, oldest)
            if note.id > 0:
                _say(out, n, ids, note.id, start, emitted, NOTE_OFF, note.midi, 0.0, sure)
                n += 1
            note.id = _say(out, n, ids, 0, start, emitted, NOTE_ON, number, _velocity(attack.loud), sure)
            n += 1
            note.before = note.midi
            note.midi = number
            note.smooth = attack.midi
            note.period = SLOW / (440.0 * 2 ** ((note.smooth - 69) / 12))
            note.since = emitted
            note.ended = 0
            note.bend = 0.0
            note.bent = emitted
            note.lost = 0
            attack.open = 0
            attack.loud = loud
        elif note.id > 0:
            if voiced and abs(midi - note.smooth) < 0.8:
                note.smooth += 0.25 * (midi - note.smooth)
                note.period = lag
                note.lost = 0
            elif not voiced:
                note.lost += 1
            high = level[(now - p.fall_hops) % PAST]
            fallen = high - loud > p.fall and emitted - note.since > p.fall_hops * HOP // 2
            if fallen or loud < p.gate - 6 or note.lost > 40:
                off = max(emitted - _fell(level, now, high - 3), oldest)
                _say(out, n, ids, note.id, off, emitted, NOTE_OFF, note.midi, 0.0, sure)
                n += 1
                note.id = 0
                note.ended = 0
                note.low = loud
                attack.stay = 0.0
            elif p.bend and voiced and emitted - note.bent >= PITCH_EVERY:
                cents = 100 * (note.smooth - note.midi)
                if abs(cents - note.bend) > 6:
                    _say(out, n, ids, note.id, emitted - HOP, emitted, BEND, cents, 0.0, sure)
                    n += 1
                    note.bend = cents
                    note.bent = emitted
        else:
            note.ended += 1
            note.low = min(note.low, loud)
            if note.ended > 300 or loud < p.gate:
                note.period = 0.0

        if p.pitch and (emitted - DELAY) // PITCH_EVERY > note.reported:
            note.reported = (emitted - DELAY) // PITCH_EVERY
            f0 = SLOW / lag if voiced else 0.0
            _say(out, n, ids, 0, note.reported * PITCH_EVERY, emitted, PITCH, f0, 0.0, sure)
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
        out = Spec(spec.rate, 1, (), EVENT, ROOM * spec.capacity)
        self._ready(
            line_state(self.settings, np.zeros(1, np.int64)), np.zeros((0, HOP), np.float32), np.zeros(ROOM, EVENT)
        )
        return out
