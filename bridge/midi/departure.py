# SPDX-License-Identifier: GPL-3.0-or-later
"""From events to MIDI messages with a due time."""

from typing import NamedTuple

import numpy as np

from bridge.kit.pages import FREE_NOTE
from bridge.messages import labels_of
from bridge.midi.clock import ClockState, clock_params, clock_state
from bridge.midi.outbox import CONTROL, FRAMES, MESSAGE, SUSTAIN, TAKE_BACK, send
from bridge.midi.voicing import CHORD_VELOCITY, VOICES, voicings
from bridge.midi.zone import CONFIGURATION, Zone, zone, zone_free, zone_of, zone_take
from bridge.preset import Preset
from dsp.events import BEND, CHORD, DRUM, LABELS, NOTE_OFF, NOTE_ON, PEDAL, PRESSURE
from dsp.hits import REFINE_MS
from dsp.kernel import kernel
from dsp.pads import PADS
from dsp.units import RATE, ms, samples

SHORTEST = samples(1)  # a note sounds at least this long [samples]
AFTERTOUCH, PITCH_WHEEL = 0xD0, 0xE0
ID, CHANNEL = VOICES, VOICES + 1  # words of `chord`

DEPARTURE = np.dtype(
    [
        ("constant", "i8"),  # 1: every kind leaves at time + its constant; 0: at once
        ("drum_decision", "i8"),  # [samples]
        ("note_decision", "i8"),
        ("drum_channel", "i8"),  # 0..15, as on the wire
        ("note_channel", "i8"),
        ("chord_channel", "i8"),  # likewise, or -1
        ("low_channel", "i8"),
        ("split", "i8"),  # note below which notes are low
        ("bend_range", "f8"),  # [semitones]
        ("alone", "i8"),  # 1: what bends or swells is the newest note; 0: each on its own channel, or none
        ("gate", "i8"),  # from a hit to its note-off [samples]
        ("curve", "f8"),
        ("low", "f8"),
        ("high", "f8"),
    ],
    align=True,
)

CLOCK = np.dtype(
    [
        ("kind", "i8"),  # FRAMES or NANOSECONDS
        ("rate", "i8"),  # of the source [Hz]
        ("offset", "i8"),  # clock of source sample 0
        ("path", "i8"),  # from decision to departure: the period, or what the host needs [ticks]
        ("beyond", "i8"),  # what the source's own stages add to every constant [samples at 48 kHz]
    ],
    align=True,
)


class Departure(NamedTuple):
    params: np.ndarray  # (1,) DEPARTURE
    clock: np.ndarray  # (1,) CLOCK, kept by the listening loop
    notes: np.ndarray  # (len(LABELS) + PADS,) int64, MIDI note of each label, then of the kit's pads
    started: np.ndarray  # (128,) int64, when each key was last struck [samples]
    channel: np.ndarray  # (128,) int64, and on which channel
    newest: np.ndarray  # (1,) int64, the key that was struck last
    bent: np.ndarray  # (16,) int64, whether a channel's wheel is off its centre
    pressed: np.ndarray  # (16,) int64, a channel's pressure
    zone: Zone
    scratch: np.ndarray  # (1,) MESSAGE
    ticks: ClockState
    voicings: np.ndarray  # (len(CHORDS), 12, VOICES) int64, notes of each chord over each bass, or -1
    chord: np.ndarray  # (VOICES + 2,) int64, notes of the chord that is played, or -1; its id and channel


def departure_params(preset: Preset) -> tuple[np.ndarray, np.ndarray]:
    """A preset's numbers: DEPARTURE and the notes of the labels."""
    p = np.zeros(1, DEPARTURE)
    p["constant"] = preset.mode == "constant"
    decisions = decision(preset)
    p["drum_decision"], p["note_decision"] = decisions["drum"], decisions["note_on"]
    p["drum_channel"], p["note_channel"] = preset.midi.drum_channel - 1, preset.midi.note_channel - 1
    p["chord_channel"] = preset.midi.chord_channel - 1
    p["low_channel"], p["split"] = preset.midi.low_channel - 1, preset.midi.split
    p["bend_range"], p["gate"] = preset.bend_reach, samples(preset.midi.gate_ms)
    p["alone"] = preset.notes.lines == "one"
    p["curve"], p["low"], p["high"] = preset.velocity.curve, preset.velocity.low, preset.velocity.high
    notes = np.full(len(LABELS) + PADS, FREE_NOTE, np.int64)
    labels = labels_of(preset.drum_notes)
    notes[: len(labels)] = [label.note for label in labels]
    return p, notes


def departure(preset: Preset) -> Departure:
    params, notes = departure_params(preset)
    return Departure(
        params,
        np.zeros(1, CLOCK),
        notes,
        np.zeros(128, np.int64),
        np.full(128, preset.midi.note_channel - 1),
        np.zeros(1, np.int64),
        np.zeros(16, np.int64),
        np.zeros(16, np.int64),
        zone(preset.zone_size),
        np.zeros(1, MESSAGE),
        clock_state(preset.clock),
        voicings(),
        np.full(VOICES + 2, -1, np.int64),
    )


def departure_adopt(state: Departure, preset: Preset) -> None:
    """Take a preset's numbers over while messages go on leaving."""
    params, notes = departure_params(preset)
    state.params[...] = params
    state.notes[...] = notes
    state.zone.size[0] = preset.zone_size
    state.ticks.params[...] = clock_params(preset.clock)


def decision(preset: Preset) -> dict[str, int]:
    """The decision each kind promises [samples]: no event of it has a longer ``emitted - time``."""
    onset, drum, note = preset.onset, preset.drums, preset.notes
    first = min(onset.decision_ms, drum.decision_ms) if drum.enabled else onset.decision_ms
    return {
        "onset": samples(first),
        "drum": samples(drum.decision_ms),
        "refine": samples(REFINE_MS),
        "note_on": samples(note.decision_ms),
        "note_off": samples(note.decision_ms),
        "bend": samples(note.decision_ms),
        "pressure": samples(note.decision_ms),
        "pedal": samples(note.decision_ms),
    }


def declared(preset: Preset, path_ms: float = 0.0, beyond: int = 0) -> dict[str, float]:
    """The constant of each kind that a preset can say: from sound to departure [s]."""
    drums = preset.drums
    refines = drums.enabled and drums.refine and not preset.kit
    wanted = {"onset": preset.onset.enabled or drums.enabled, "drum": drums.enabled, "refine": refines}
    wanted["pressure"] = preset.notes.enabled and preset.notes.expression
    wanted["pedal"] = preset.pedals
    foretold = {"beat": 0.0} if preset.beat.enabled else {}
    return foretold | {
        kind: round((ms(n + beyond) + path_ms) / 1000, 6)
        for kind, n in decision(preset).items()
        if wanted.get(kind, preset.notes.enabled)
    }


@kernel
def velocity_byte(p, velocity):
    """1..127 from 0..1, by the preset's curve."""
    shaped = p.low + (p.high - p.low) * min(max(velocity, 0.0), 1.0) ** p.curve
    return max(1, int(round(127 * shaped)))


@kernel
def _due(state, event_time, emitted, decision):
    """When something leaves, in the clock of the source."""
    p, clock = state.params[0], state.clock[0]
    if p.constant:
        at = event_time + decision + clock.beyond
    else:
        at = emitted
    if clock.kind == FRAMES:
        tick = at if clock.rate == RATE else at * clock.rate // RATE
        return clock.offset + tick + (clock.path if p.constant else 0)
    return clock.offset + at * 1_000_000_000 // RATE + (clock.path if p.constant else 0)


@kernel
def _play_chord(state, e, box):
    """A chord in the place of the one before, at once: it is known late enough."""
    p, n = state.params[0], 0
    kind, due, chord = state.clock[0].kind, _due(state, e.time, e.emitted, 0), state.chord
    for k in range(VOICES):
        if chord[k] >= 0:
            n += send(box, state.scratch, due, kind, 1, 0x80 | chord[CHANNEL], chord[k], 0, chord[ID])
        chord[k] = state.voicings[int(e.number), max(e.label, 0), k] if p.chord_channel >= 0 else -1
    chord[ID], chord[CHANNEL] = e.id, p.chord_channel
    for k in range(VOICES):
        if chord[k] >= 0:
            n += send(
                box, state.scratch, due, kind, 1, 0x90 | p.chord_channel, chord[k], CHORD_VELOCITY, e.id
            )
    return n


@kernel
def _channel_of(state, id):
    """Channel on which a note may bend and swell; -1 where it shares one with other notes."""
    if state.zone.size[0]:
        return zone_of(state.zone, id)
    return state.channel[state.newest[0]] if state.params[0].alone else -1


@kernel
def _shape(state, e, channel, box):
    """A bend or a swell of what sounds on a channel."""
    p = state.params[0]
    kind, prompt, due = state.clock[0].kind, 1 - p.constant, _due(state, e.time, e.emitted, p.note_decision)
    if e.kind == PRESSURE:
        state.pressed[channel] = int(round(127 * min(max(e.value, 0.0), 1.0)))
        return send(box, state.scratch, due, kind, prompt, AFTERTOUCH | channel, state.pressed[channel], 0, 0)
    wheel = int(round(8192 + 8192 * e.number / (100 * p.bend_range)))
    wheel = min(max(wheel, 0), 16383)
    state.bent[channel] = wheel != 8192
    return send(box, state.scratch, due, kind, prompt, PITCH_WHEEL | channel, wheel & 127, wheel >> 7, 0)


@kernel
def _pedal(state, e, box):
    """The pedal goes down or up on every channel that has notes; in a zone its master speaks for all."""
    p, channel = state.params[0], state.params[0].note_channel
    kind, prompt, due = state.clock[0].kind, 1 - p.constant, _due(state, e.time, e.emitted, p.note_decision)
    value, n = int(round(127 * min(max(e.value, 0.0), 1.0))), 0
    if state.zone.size[0]:
        channel = 0
    elif p.split > 0 and p.low_channel != channel:
        n += send(box, state.scratch, due, kind, prompt, CONTROL | p.low_channel, SUSTAIN, value, 0)
    return n + send(box, state.scratch, due, kind, prompt, CONTROL | channel, SUSTAIN, value, 0)


@kernel
def _taken_back(events, k):
    """Whether the note that ends was wrong, and the next one corrects it."""
    if k + 1 == len(events):
        return False
    after = events[k + 1]
    return after.kind == NOTE_ON and after.ref == events[k].ref


@kernel
def depart_step(state, events, box):
    """Hand over the MIDI of `events`, in order.

    Parameters
    ----------
    state : Departure
    events : (n,) EVENT
    box : Outbox

    Returns
    -------
    int
        Messages handed over.

    Notes
    -----
    A hit's note-off is sent with it, a gate later; the outbox drops it if the
    pad is struck again before.  Realtime: O(n), no allocation.
    """
    p = state.params[0]
    kind, prompt = state.clock[0].kind, 1 - p.constant
    n = 0
    for k in range(len(events)):
        e = events[k]
        if e.kind == DRUM:
            channel, note = p.drum_channel, state.notes[e.label]
            due = _due(state, e.time, e.emitted, p.drum_decision)
            off = _due(state, e.time + p.gate, e.emitted + p.gate, p.drum_decision)
            velocity = velocity_byte(p, e.value)
            n += send(box, state.scratch, due, kind, prompt, 0x90 | channel, note, velocity, e.id)
            n += send(box, state.scratch, off, kind, prompt, 0x80 | channel, note, 0, e.id)
        elif e.kind == NOTE_ON:
            note = int(e.number)
            if state.zone.size[0]:
                channel = zone_take(state.zone, e.id)
            else:
                channel = p.low_channel if note < p.split else p.note_channel
            due = _due(state, e.time, e.emitted, p.note_decision)
            if state.bent[channel]:
                n += send(box, state.scratch, due, kind, prompt, PITCH_WHEEL | channel, 0, 64, 0)
                state.bent[channel] = 0
            if state.pressed[channel]:
                n += send(box, state.scratch, due, kind, prompt, AFTERTOUCH | channel, 0, 0, 0)
                state.pressed[channel] = 0
            velocity = velocity_byte(p, e.value)
            n += send(box, state.scratch, due, kind, prompt, 0x90 | channel, note, velocity, e.id)
            state.started[note] = e.time if p.constant else e.emitted
            state.channel[note] = channel
            state.newest[0] = note
        elif e.kind == NOTE_OFF:
            note = int(e.number)
            channel, earliest = state.channel[note], state.started[note] + SHORTEST
            due = _due(state, max(e.time, earliest), max(e.emitted, earliest), p.note_decision)
            back = TAKE_BACK if _taken_back(events, k) else 0
            n += send(box, state.scratch, due, kind, prompt | back, 0x80 | channel, note, 0, e.ref)
            zone_free(state.zone, e.ref)
        elif e.kind == BEND or e.kind == PRESSURE:
            channel = _channel_of(state, e.ref)
            if channel >= 0:
                n += _shape(state, e, channel, box)
        elif e.kind == PEDAL:
            n += _pedal(state, e, box)
        elif e.kind == CHORD:
            n += _play_chord(state, e, box)
    return n


@kernel
def _register(state, box, now, channel, register, value):
    """Set a registered parameter of a channel."""
    kind = state.clock[0].kind
    for control, data in ((101, 0), (100, register), (6, value), (38, 0), (101, 127), (100, 127)):
        send(box, state.scratch, now, kind, 1, CONTROL | channel, control, data, 0)


@kernel
def announce_range(state, box, now):
    """Tell the synthesiser how far a bend reaches, and of the zone: RPN 0 on the channels of notes, RPN 6."""
    p = state.params[0]
    if state.zone.size[0] or state.zone.told[0]:  # a zone of none ends it
        _register(state, box, now, 0, CONFIGURATION, state.zone.size[0])
    state.zone.told[0] = state.zone.size[0]
    if state.zone.size[0]:
        for channel in range(1, state.zone.size[0] + 1):
            _register(state, box, now, channel, 0, int(p.bend_range))
        return
    _register(state, box, now, p.note_channel, 0, int(p.bend_range))
    if p.split > 0 and p.low_channel != p.note_channel:
        _register(state, box, now, p.low_channel, 0, int(p.bend_range))
