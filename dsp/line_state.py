# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ear for one line knows: its numbers, what it heard, the note that sounds, the attack that is open."""

from typing import NamedTuple

import numpy as np

from dsp.melody import MelodyState, melody_state
from dsp.notes import NoteSettings
from dsp.pitch import LagState, SlowState, lag_state, pitch_params, slow_state
from dsp.scale import scale_mask
from dsp.units import samples

PAST = 128  # hops of history: 171 ms
HIGHEST = 96  # note of one line


PARAMS = np.dtype(
    [
        ("enabled", "i8"),
        ("bend", "i8"),
        ("expression", "i8"),
        ("repitch", "i8"),  # 1: a note may be taken back
        ("anew", "f8"),  # hops that another pitch must have stayed for that
        ("pitch", "i8"),
        ("shortest", "i8"),  # period [slow samples]
        ("longest", "i8"),
        ("decision", "i8"),  # [samples]
        ("gate", "f8"),  # softest level that is heard [dB]
        ("clear", "f8"),  # likeness of a note
        ("low_clear", "f8"),  # less in an attack for each slow sample of its period
        ("keen", "f8"),  # how good the first peak must be against the best
        ("rise", "f8"),  # of the sound, that opens an attack [dB]
        ("news", "f8"),  # of the news, that opens one
        ("again", "f8"),  # of the sound, that opens anew one still open [dB]
        ("same_rise", "f8"),  # of the sound, that strikes the same note again [dB]
        ("same_news", "f8"),  # of the news, that does
        ("news_floor", "f8"),  # news below this is no news [dB over the sound]
        ("news_loud", "f8"),  # news above this has a pitch of its own [dB over the sound]
        ("wait", "f8"),  # periods of an attack to hear before its pitch is believed
        ("same_wait", "f8"),  # the same where the note that sounds is struck again
        ("wait_ms", "f8"),  # and at least so long
        ("stay", "f8"),  # hops that pitch must have stayed
        ("low_stay", "f8"),  # and for each slow sample of its period
        ("settle", "f8"),  # hops a pitch must be still to be a note without an attack
        ("settle_swell", "f8"),  # the same while the sound swells
        ("swelling", "f8"),  # rise within 32 ms that is a swell [dB]
        ("narrow", "f8"),  # semitones that a pitch may wander to count so, or to settle in a swell
        ("trust", "f8"),  # how many hops more one counts whose period is certain
        ("settle_shadow", "f8"),  # hops a multiple of the period that sounds must stay
        ("width", "f8"),  # semitones that a pitch may wander and be still
        ("leave", "f8"),  # semitones from a note that are another note
        ("leave_still", "f8"),  # the same without an attack
        ("between", "f8"),  # semitones from a number that are between two
        ("dither", "f8"),  # hops to wait for a pitch between two numbers
        ("shade", "f8"),  # part of a period by which a multiple of it may miss
        ("swell", "f8"),  # rise that lets a note come back after its end [dB]
        ("ring", "f8"),  # hops that the note before may ring on
        ("refractory", "f8"),  # hops between two attacks
        ("patience", "f8"),  # hops an attack waits for a pitch
        ("fall", "f8"),  # of level within `fall_hops`, that ends a note [dB]
        ("fall_hops", "i8"),
        ("scale", "i8"),  # bits, as `dsp.scale` has them
    ],
    align=True,
)

HEARD = np.dtype(
    [
        ("lag", "f8"),  # period [slow samples], 0 for none
        ("sure", "f8"),  # its likeness
        ("midi", "f8"),
        ("loud", "f8"),  # level over a period [dB]
        ("voiced", "i8"),
        ("shadow", "i8"),  # a multiple of the period that sounds, so perhaps no note at all
    ],
    align=True,
)

NOTE = np.dtype(
    [
        ("id", "i8"),  # of the note that sounds, 0 for none
        ("played", "f8"),  # the note of the scale that is played for it
        ("midi", "f8"),  # its number; after its end, the number of its tail
        ("start", "i8"),  # when it began [samples]
        ("struck", "f8"),  # level of its attack [dB]
        ("before", "f8"),  # number of the note before it, which may still ring
        ("since", "i8"),  # when it was emitted [samples]
        ("ended", "i8"),  # hops since its end
        ("smooth", "f8"),  # pitch, smoothed [MIDI]
        ("period", "f8"),  # subtracted from the sound [slow samples], 0 for none
        ("low", "f8"),  # lowest level since its end [dB]
        ("lost", "i8"),  # hops without a period
        ("bend", "f8"),  # last sent [cents]
        ("bent", "i8"),  # when [samples]
        ("pressed", "f8"),  # pressure last sent
        ("reported", "i8"),  # pitch events so far
    ],
    align=True,
)

ATTACK = np.dtype(
    [
        ("open", "i8"),  # 1 while it waits for a pitch
        ("time", "i8"),  # [samples]
        ("struck", "i8"),  # hop of it
        ("rise", "f8"),  # strongest of the sound since [dB]
        ("news", "f8"),  # strongest of the news since [dB]
        ("loud", "f8"),  # highest level since [dB]
        ("midi", "f8"),  # pitch that is being watched
        ("stay", "f8"),  # hops it has stayed
        ("came", "i8"),  # sample at which it came
        ("low", "f8"),  # least and greatest of it while it is still [MIDI]
        ("high", "f8"),
        ("still", "f8"),  # hops it has been still
    ],
    align=True,
)


class LineState(NamedTuple):
    params: np.ndarray  # (1,) PARAMS
    ids: np.ndarray  # (1,) last event id, shared with the other detectors
    slow: SlowState
    sound: LagState  # the sound itself
    news: LagState  # the sound less the note that sounds
    melody: MelodyState  # the pitch itself, where it is reported
    clock: np.ndarray  # (1,) samples heard
    power: np.ndarray  # (3, PAST) power of each hop: the sound, its difference, the news
    level: np.ndarray  # (PAST,) level over a period [dB]
    last: np.ndarray  # (1,) newest sample, for the difference
    heard: np.ndarray  # (1,) HEARD
    note: np.ndarray  # (1,) NOTE
    attack: np.ndarray  # (1,) ATTACK


def line_params(notes: NoteSettings) -> np.ndarray:
    """The settings as the kernel reads them, shape (1,); assign to ``state.params[...]`` to change them live."""
    params = np.zeros(1, PARAMS)
    search = pitch_params(notes.low, min(notes.high, HIGHEST))
    daring = notes.sensitivity - 0.5
    params["enabled"] = notes.enabled and notes.lines == "one"
    params["bend"], params["pitch"], params["expression"] = notes.bend, notes.pitch, notes.expression
    params["repitch"], params["anew"] = notes.repitch, 4
    params["shortest"], params["longest"] = search["shortest"], search["longest"]
    params["decision"] = samples(notes.decision_ms)
    params["gate"] = -66 - 20 * daring
    params["clear"] = 0.84 - 0.16 * daring
    params["low_clear"] = 0.0006
    params["keen"] = 0.8
    params["rise"] = 5 - 4 * daring
    params["news"] = 5 - 4 * daring
    params["again"] = 8
    params["same_rise"] = 3 - 2 * daring
    params["same_news"] = 14 - 4 * daring
    params["news_floor"] = -26
    params["news_loud"] = -7.8
    params["wait"] = 1.6
    params["same_wait"] = 2
    params["wait_ms"] = 7
    params["stay"] = 1
    params["low_stay"] = 0.005
    params["settle"] = 10
    params["settle_swell"] = 4
    params["swelling"] = 4
    params["narrow"] = 0.02
    params["trust"] = 2
    params["settle_shadow"] = 40
    params["width"] = 0.29
    params["leave"] = 0.55
    params["leave_still"] = 0.7
    params["between"] = 0.38
    params["dither"] = 36
    params["shade"] = 0.02
    params["swell"] = 4
    params["ring"] = 200
    params["refractory"] = 30
    params["patience"] = 80
    params["fall"] = 7
    params["fall_hops"] = 38
    params["scale"] = scale_mask(notes.scale)
    return params


def line_state(notes: NoteSettings, ids: np.ndarray) -> LineState:
    """All that the notes of one line remember; `ids` (1,) counts the events of all detectors."""
    attack = np.zeros(1, ATTACK)
    attack["struck"] = -1000
    search = pitch_params(notes.low, min(notes.high, HIGHEST))
    return LineState(
        params=line_params(notes),
        ids=ids,
        slow=slow_state(),
        sound=lag_state(search),
        news=lag_state(search.copy()),
        melody=melody_state(),
        clock=np.zeros(1, np.int64),
        power=np.full((3, PAST), 1e-12),
        level=np.full(PAST, -120.0),
        last=np.zeros(1, np.float32),
        heard=np.zeros(1, HEARD),
        note=np.zeros(1, NOTE),
        attack=attack,
    )
