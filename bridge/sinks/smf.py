# SPDX-License-Identifier: GPL-3.0-or-later
"""A standard MIDI file that carries when things sounded."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import mido
import numpy as np

from bridge.errors import MidiError
from bridge.messages import labels_of, number, velocity_byte
from bridge.midi.outbox import SUSTAIN
from bridge.midi.voicing import CHORD_VELOCITY, voicing
from bridge.midi.zone import CONFIGURATION, zone, zone_free, zone_take
from bridge.preset import Preset
from bridge.sinks import Say, say_on_stderr
from dsp.events import BEND, CHORD, DRUM, NOTE_OFF, NOTE_ON, PEDAL, PRESSURE
from dsp.units import RATE, samples

PPQN = 960
TEMPO = 500_000  # [us a quarter], 120 bpm
TICKS = PPQN * 1_000_000 / TEMPO  # a second
CENTRE = 8192  # of the pitch wheel
FIRST_SAVE = 10.0  # a file being recorded is saved after this long [s], then ever more rarely
GROWTH = 1.25


class Sounding(NamedTuple):
    """One press of one key, in ticks."""

    start: int
    stop: int
    channel: int  # 0..15
    note: int
    velocity: int


class SmfSink:
    """Standard MIDI File, type 1: tempo, notes, drums; 960 ticks a quarter, 120 bpm.

    It carries `time`, when things sounded, not when MIDI left. It is on disk
    whole or not at all, and now and then while a session runs.

    Parameters
    ----------
    path
        The file to write; replaced where it exists.
    preset
        Its drum notes, channels, gate, bend range and velocity curve.
    say
        Tells the user one line.
    """

    def __init__(self, path: Path | str, preset: Preset | None = None, say: Say = say_on_stderr) -> None:
        self.path, self._say = Path(path), say
        self._preset = preset = preset or Preset()
        self._midi, self._velocity, self._zone = preset.midi, preset.velocity, zone(preset.zone_size)
        self._labels = labels_of(preset.drum_notes)
        self._hits: list[Sounding] = []
        self._notes: list[Sounding] = []
        self._pressed: dict[int, Sounding] = {}  # by the id of its note-on
        self._ended = 0  # id of the note that ended last
        self._chords: list[Sounding] = []
        self._chord: list[Sounding] = []  # the one that sounds
        self._bends: list[tuple[int, int, int]] = []  # (tick, channel, wheel)
        self._swells: list[tuple[int, int, int]] = []  # (tick, channel, pressure)
        self._pedals: list[tuple[int, int]] = []  # (tick, how far down)
        self._newest = 0  # sample
        self._save_at = FIRST_SAVE
        self._closed = False
        folder = self.path.parent
        if not folder.is_dir():
            raise MidiError(f"{self.path}: there is no folder {folder}")
        if self.path.is_dir():
            raise MidiError(f"{self.path}: is a folder, not a MIDI file")

    def open(self, header: dict[str, Any]) -> None:
        """Nothing to say yet."""

    def write(self, events: np.ndarray) -> None:
        for event in events:
            self._take(event)
        if len(events):
            self._newest = max(self._newest, int(events["time"].max()))
        if self._newest > self._save_at * RATE:
            self._save_at = max(self._newest / RATE * GROWTH, self._newest / RATE + FIRST_SAVE)
            self._save()

    def close(self, end: dict[str, Any]) -> None:
        """Write the file; every note that still sounds ends with it."""
        if not self._closed:
            self._closed = True
            self._save()

    def _take(self, event: np.void) -> None:
        kind, at = event["kind"], _tick(int(event["time"]))
        if kind == DRUM:
            off = at + max(1, _tick(samples(self._midi.gate_ms)))
            note = self._labels[int(event["label"])].note
            self._hits.append(Sounding(at, off, self._midi.drum_channel - 1, note, self._byte(event)))
        elif kind == NOTE_ON:
            if event["ref"] and event["ref"] == self._ended:  # it was this one
                self._notes.pop()
            note = min(127, max(0, round(number(event["number"]))))
            channel = (self._midi.low_channel if note < self._midi.split else self._midi.note_channel) - 1
            if self._preset.zone_size:
                channel = zone_take.py_func(self._zone, int(event["id"]))
                self._swells.append((at, channel, 0))
            self._pressed[int(event["id"])] = Sounding(at, at, channel, note, self._byte(event))
        elif kind == NOTE_OFF and (on := self._pressed.pop(int(event["ref"]), None)):
            zone_free.py_func(self._zone, int(event["ref"]))
            self._notes.append(on._replace(stop=max(at, on.start + 1)))
            self._ended = int(event["ref"])
        elif kind == PEDAL:
            self._pedals.append((at, min(127, max(0, round(127 * number(event["value"]))))))
        elif kind == CHORD and self._midi.chord_channel:
            self._chords += _ended(self._chord, at)
            channel = self._midi.chord_channel - 1
            notes = voicing(int(event["number"]), int(event["label"]))
            self._chord = [Sounding(at, at, channel, note, CHORD_VELOCITY) for note in notes]
        elif kind not in (BEND, PRESSURE) or not (
            self._preset.zone_size or self._preset.notes.lines == "one"
        ):
            pass  # notes that share a channel cannot bend alone
        elif kind == PRESSURE and (on := self._pressed.get(int(event["ref"]))):
            self._swells.append((at, on.channel, min(127, max(0, round(127 * number(event["value"]))))))
        elif kind == BEND and (on := self._pressed.get(int(event["ref"]))):
            wheel = round(number(event["number"]) / 100 / self._preset.bend_reach * CENTRE)
            self._bends.append((at, on.channel, min(CENTRE - 1, max(-CENTRE, wheel))))

    def _byte(self, event: np.void) -> int:
        curve = self._velocity
        return velocity_byte(event["value"], curve.curve, curve.low, curve.high)

    def _save(self) -> None:
        try:
            _write(self.file(), self.path)
        except OSError as error:
            self._say(f"{self.path}: the MIDI file cannot be written: {error.strerror or error}")

    def file(self) -> mido.MidiFile:
        """What was heard so far; notes that still sound end with the newest event."""
        now = _tick(self._newest)
        notes = [*self._notes, *(on._replace(stop=max(now, on.start + 1)) for on in self._pressed.values())]
        head = [(0, _named("earwire")), (0, mido.MetaMessage("set_tempo", tempo=TEMPO))]
        head.append((0, mido.MetaMessage("time_signature", numerator=4, denominator=4)))
        if self._preset.zone_size:
            head += [(0, m) for m in register(0, CONFIGURATION, self._preset.zone_size)]
            head += [(tick, message) for tick, _, message in self._sustain(0, now)]
        tracks = [_track(head, now)]
        for channel in sorted({on.channel for on in notes}):
            own = [on for on in notes if on.channel == channel]
            name = (
                "notes" if self._preset.zone_size or channel == self._midi.note_channel - 1 else "low notes"
            )
            first = [(0, _named(name)), *((0, m) for m in register(channel, 0, self._preset.bend_reach))]
            tracks.append(_track([*first, *self._line(_without_overlap(own), channel)], now))
        if chords := [*self._chords, *_ended(self._chord, now)]:
            played = _keys(_without_overlap(chords))
            tracks.append(_track([(0, _named("chords")), *((t, m) for t, _, m in played)], now))
        if self._hits:
            hits = _keys(_without_overlap(self._hits))
            tracks.append(_track([(0, _named("drums")), *((t, m) for t, _, m in hits)], now))
        return mido.MidiFile(type=1, ticks_per_beat=PPQN, tracks=tracks, charset="utf-8")

    def _sustain(self, channel: int, end: int) -> list[tuple[int, int, mido.Message]]:
        """The pedal of a channel; whoever plays the file finds it up at its end."""
        said = [(tick, 1, _controller(channel, SUSTAIN, value)) for tick, value in self._pedals]
        if self._pedals and self._pedals[-1][1]:
            said.append((end, 1, _controller(channel, SUSTAIN, 0)))
        return said

    def _line(self, notes: list[Sounding], channel: int) -> list[tuple[int, mido.Message]]:
        """Keys and wheel; the wheel is back in its middle before each new note."""
        said = _keys(notes)
        said += [(tick, 1, _wheel(channel, wheel)) for tick, on, wheel in self._bends if on == channel]
        said += [(tick, 1, _pressure(channel, value)) for tick, on, value in self._swells if on == channel]
        if not self._preset.zone_size:
            said += self._sustain(channel, _tick(self._newest))
        said.sort(key=lambda item: item[:2])
        out: list[tuple[int, mido.Message]] = []
        bent = 0
        for position, (tick, _, message) in enumerate(said):
            if message.type == "pitchwheel":
                bent = message.pitch
            elif message.type == "note_on" and bent and not _bent_here(said, position):
                out.append((tick, _wheel(channel, 0)))
                bent = 0
            out.append((tick, message))
        if bent:  # what is recorded after this must not start out of tune
            out.append((said[-1][0], _wheel(channel, 0)))
        return out


def _bent_here(said: list[tuple[int, int, mido.Message]], position: int) -> bool:
    """Whether the wheel was set on the very tick of this note."""
    tick = said[position][0]
    before = position - 1
    while before >= 0 and said[before][0] == tick:
        if said[before][2].type == "pitchwheel":
            return True
        before -= 1
    return False


def _ended(presses: list[Sounding], at: int) -> list[Sounding]:
    """What sounded until a tick; what had only just begun is left out."""
    return [press._replace(stop=at) for press in presses if at > press.start]


def _tick(sample: int) -> int:
    return max(0, round(sample * TICKS / RATE))


def _named(name: str) -> mido.MetaMessage:
    return mido.MetaMessage("track_name", name=name)


def _wheel(channel: int, pitch: int) -> mido.Message:
    return mido.Message("pitchwheel", channel=channel, pitch=pitch)


def _pressure(channel: int, value: int) -> mido.Message:
    return mido.Message("aftertouch", channel=channel, value=value)


def _controller(channel: int, control: int, value: int) -> mido.Message:
    return mido.Message("control_change", channel=channel, control=control, value=value)


def register(channel: int, parameter: int, value: int) -> list[mido.Message]:
    """Set a registered parameter: 0 is how far a full pitch bend reaches, 6 how large an MPE zone is."""
    words = ((101, 0), (100, parameter), (6, value), (38, 0), (101, 127), (100, 127))
    return [_controller(channel, control, data) for control, data in words]


def _without_overlap(presses: list[Sounding]) -> list[Sounding]:
    """Presses in order, each ended by the next one of its key; of two at once the louder stays."""
    held: dict[tuple[int, int], Sounding] = {}
    out: list[Sounding] = []
    for press in sorted(presses):
        key = (press.channel, press.note)
        before = held.get(key)
        if before and before.start == press.start:
            held[key] = before._replace(
                stop=max(before.stop, press.stop), velocity=max(before.velocity, press.velocity)
            )
            continue
        if before:
            out.append(before._replace(stop=min(before.stop, press.start)))
        held[key] = press
    return sorted([*out, *held.values()])


def _keys(presses: list[Sounding]) -> list[tuple[int, int, mido.Message]]:
    """(tick, rank, message) in order; on one tick offs come first, ons last."""
    said = []
    for p in presses:
        said.append((p.stop, 0, mido.Message("note_off", channel=p.channel, note=p.note, velocity=64)))
        on = mido.Message("note_on", channel=p.channel, note=p.note, velocity=p.velocity)
        said.append((p.start, 2, on))
    return sorted(said, key=lambda item: item[:2])


def _track(timed: list[tuple[int, Any]], end: int) -> mido.MidiTrack:
    """A track of messages at absolute ticks, which ends at `end` or with its last message."""
    track, now = mido.MidiTrack(), 0
    for tick, message in timed:
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, end - now)))
    return track


def _write(midi: mido.MidiFile, path: Path) -> None:
    """Put the file in its place in one move, so that it is never half there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            midi.save(file=file)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
