# SPDX-License-Identifier: GPL-3.0-or-later
"""Songs to learn the beat from: drummers of Groove and songs of POP909, together, in any tempo and metre."""

import io
import re
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import soundfile as sf
from scipy.signal import butter, sosfilt

from dsp.units import RATE
from models.train.backing import BASSES, CHORDS, MELODIES, Note, Song, bass_line, strummed
from models.train.studio import TEST_DRUMMERS

SECONDS = 30  # of one clip
KITS = (0, 8, 16, 24, 25, 32, 40)
BANKS = ("FluidR3_GM.sf2", "TimGM6mb.sf2", "sf_GMbank.sf2")  # MIT; GPL; public domain
TEST_BANK = "/usr/share/sounds/sf3/MuseScore_General.sf3"  # never trained on
# Groove's own notes that General MIDI has other sounds for.
GENERAL = {22: 42, 26: 46, 58: 43, 40: 38, 55: 49, 57: 49, 52: 49, 59: 51}
HATS = (42, 44, 46, 22, 26)


class Bar(NamedTuple):
    """A drummer's file, by beats."""

    notes: list[tuple[float, int, int]]  # (beat, note, velocity)
    metre: int
    bpm: float
    beats: float


class Drummers:
    """Groove, by beats."""

    def __init__(self, path: Path, *, test: bool = False) -> None:
        self._archive = zipfile.ZipFile(path)
        self._names = [
            n
            for n in self._archive.namelist()
            if re.search(r"_beat_(4-4|3-4)\.mid$", n) and (n.split("/")[0] in TEST_DRUMMERS) == test
        ]

    def pick(self, rng: np.random.Generator) -> Bar:
        waltzes = [n for n in self._names if n.endswith("3-4.mid")]
        if waltzes and rng.random() < 0.06:
            return self.read(waltzes[rng.integers(len(waltzes))])
        while True:
            bar = self.read(self._names[rng.integers(len(self._names))])
            if bar.beats >= 8 and len(bar.notes) >= 16:
                return bar

    def read(self, name: str) -> Bar:
        midi = mido.MidiFile(file=io.BytesIO(self._archive.read(name)))
        bpm = float(re.search(r"_(\d+)_beat", name)[1])  # type: ignore[index]
        clock, notes = 0.0, []
        for message in midi:
            clock += message.time
            if message.type == "note_on" and message.velocity > 4:
                notes.append((clock * bpm / 60, message.note, message.velocity))
        return Bar(notes, 3 if "3-4" in name else 4, bpm, clock * bpm / 60)


def timeline(bpm: float, beats: int, rng: np.random.Generator) -> np.ndarray:
    """When each beat falls [s]: steady as a machine, wandering as people do, or with a step."""
    lengths = np.full(beats, 60 / bpm)
    draw = rng.random()
    if draw < 0.45:
        wander = np.cumsum(rng.normal(0, rng.choice([0.002, 0.005, 0.01]), beats))
        lengths = lengths * np.exp(np.clip(wander, -0.12, 0.12))
    elif draw < 0.55:
        step = rng.integers(beats // 4, beats)
        lengths[step:] *= rng.uniform(0.8, 1.25)
    return rng.uniform(0, 0.6) + np.concatenate([[0], np.cumsum(lengths)])


class Score:
    """Notes with times, on their way to a MIDI file."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.messages: list[tuple[float, mido.Message]] = []
        self._setup: list[mido.Message] = []

    def instrument(self, channel: int, program: int, volume: float) -> None:
        loud = int(np.clip(volume, 20, 127))
        self._setup.append(mido.Message("program_change", channel=channel, program=program))
        self._setup.append(mido.Message("control_change", channel=channel, control=7, value=loud))

    def play(self, channel: int, note: int, velocity: float, start: float, end: float) -> None:
        if not 0.01 < start < self.seconds:
            return
        loud, end = (
            int(np.clip(velocity, 10, 127)),
            min(end, self.seconds),
        )  # what never ends is rendered for ever
        on = mido.Message("note_on", channel=channel, note=note, velocity=loud)
        off = mido.Message("note_off", channel=channel, note=note)
        self.messages += [(start, on), (max(end, start + 0.04), off)]

    def sound(self, bank: str, reverb: bool) -> np.ndarray:
        """All of it at 48 kHz, by the instruments of a soundfont."""
        midi, track, last = mido.MidiFile(ticks_per_beat=500), mido.MidiTrack(), 0
        midi.tracks.append(track)
        track.extend(self._setup)
        for time, message in sorted(self.messages, key=lambda m: (m[0], m[1].type == "note_on")):
            tick = max(round(time * 1000), last)
            track.append(message.copy(time=tick - last))
            last = tick
        with tempfile.TemporaryDirectory() as folder:
            score, sound = Path(folder) / "song.mid", Path(folder) / "song.wav"
            midi.save(score)
            command = [
                "fluidsynth",
                "-ni",
                "-q",
                "-R",
                str(int(reverb)),
                "-C",
                "0",
                "-g",
                "0.5",
                "-r",
                str(RATE),
            ]
            command += ["-o", "synth.dynamic-sample-loading=1", "-F", str(sound), bank, str(score)]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
            x = sf.read(sound, dtype="float32", always_2d=True)[0].mean(1)
        y = np.zeros(int(self.seconds * RATE), np.float32)
        y[: len(x)] = x[: len(y)]
        return y


class Timeline:
    """From beats of a score to seconds of a clip that begins anywhere in a bar."""

    def __init__(
        self,
        bpm: float,
        metre: int,
        rng: np.random.Generator,
        seconds: float = SECONDS,
        waltzes: float = 0.12,
        steady: bool = False,
        times: np.ndarray | None = None,
    ) -> None:
        self.count, self._seconds = int(seconds * bpm / 60 * 1.3) + 8, seconds
        self.waltz = metre == 4 and rng.random() < waltzes  # every fourth beat is left out
        self.metre = 3 if self.waltz else metre
        self._bpm, self._at = bpm, timeline(bpm, self.count, rng)
        if steady:
            self._at = self._at[0] + np.arange(len(self._at)) * 60 / bpm
        if times is not None:  # of the beats from a downbeat on
            self._at, self.count = times, len(times)
        self._offset = int(rng.integers(0, self.metre)) if times is None else 0

    def where(self, beat: float) -> float | None:
        """Time of a beat of the score [s]; none where it is left out."""
        if self.waltz:
            whole, place = divmod(beat, 4)
            if place >= 2.96:
                return None
            beat = 3 * whole + place
        if not -0.1 <= beat - self._offset <= self.count - 2:
            return None
        return self.at(beat)

    def at(self, beat: float) -> float:
        """The same, of a beat that may lie before the clip or after it."""
        beat -= self._offset
        if beat < 0:
            return float(self._at[0] + beat * 60 / self._bpm)
        return float(np.interp(beat, np.arange(len(self._at)), self._at))

    def beats(self) -> np.ndarray:
        """(n, 2): time [s] and place in the bar, counted from 1."""
        places = (np.arange(len(self._at)) + self._offset) % self.metre + 1
        return np.stack([self._at, places], 1)[self._at < self._seconds]


def drummed(
    bar: Bar, line: Timeline, score: Score, rng: np.random.Generator, *, as_played: bool = False
) -> None:
    """A drummer's file, over and over; some pieces left out or swapped, perhaps with a break."""
    length = max(round(bar.beats / bar.metre), 1) * bar.metre
    begin = bar.metre * int(rng.integers(0, max(1, length // bar.metre))) if length > 32 else 0
    without: tuple[int, ...] = ()
    if rng.random() < 0.25:
        without = [(36, 35), (42, 44, 22), HATS, (38, 40, 37), (51, 59, 53)][rng.integers(5)]
    swap = {42: 51, 22: 51} if rng.random() < 0.12 else {42: 46, 22: 46} if rng.random() < 0.1 else {}
    loose, shift = rng.choice([0.0, 0.0, 0.004]), rng.normal(0, 0.004)
    pause = rng.uniform(0, score.seconds) if rng.random() < 0.15 else -9.0
    if as_played:
        without, swap, loose, shift, pause = (), {}, 0.0, 0.0, -9.0
    for turn in range(int(line.count * 4 / 3 / length) + 2):
        for beat, struck, velocity in bar.notes:
            time = line.where(beat + turn * length - begin)
            if beat >= length - 0.1 or struck in without or time is None or abs(time - pause) < 1.5:
                continue
            note = swap.get(struck, struck)
            time += rng.normal(0, loose) + shift
            score.play(9, GENERAL.get(note, note), velocity, time, time + 0.2)
    score.instrument(9, int(rng.choice(KITS)), rng.uniform(50, 127))


def excerpt(song: Song, line: Timeline, rng: np.random.Generator) -> int:
    """The first beat of a part of a song that fills the clip, if it is long enough."""
    return 4 * int(rng.integers(0, max(song.beats // 4 - line.count // 4 - 2, 1)))


def arranged(
    song: Song, first: int, key: int, line: Timeline, score: Score, rng: np.random.Generator
) -> None:
    """A song from a beat on, `key` semitones higher, by instruments drawn at random."""
    chords = song.parts.get("PIANO", [])
    parts: list[tuple[list[Note], int]] = []
    if chords and rng.random() < 0.9:
        played = strummed(chords, rng) if rng.random() < 0.4 else chords
        parts.append((played, int(rng.choice(CHORDS))))
    if chords and rng.random() < 0.7:
        parts.append((bass_line(chords, rng), int(rng.choice(BASSES))))
    tunes = [name for name in ("MELODY", "BRIDGE") if name in song.parts and rng.random() < 0.6]
    parts += [(song.parts[name], int(rng.choice(MELODIES))) for name in tunes]
    loud = rng.uniform(40, 127)
    for channel, (notes, program) in enumerate(parts):
        score.instrument(channel, program, loud + rng.normal(0, 12))
        for note in notes:
            start, end = line.where(note.start - first), line.where(note.end - first)
            if start is not None:
                pitch = int(np.clip(note.pitch + key, 20, 110))
                begun = start + rng.normal(0, 0.004)
                velocity = note.velocity * rng.uniform(0.8, 1.2)
                score.play(channel, pitch, velocity, begun, start + 0.1 if end is None else end)


def notated(song: Song, first: int, parts: dict[str, int], line: Timeline, score: Score) -> None:
    """Parts of a song from a beat on, as they are, each by a program of its own."""
    for channel, (name, program) in enumerate(parts.items()):
        score.instrument(channel, program, 100)
        for note in song.parts.get(name, []):
            start, end = line.where(note.start - first), line.where(note.end - first)
            if start is not None and end is not None:
                score.play(channel, note.pitch, note.velocity, start, end)


def spoilt(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another desk, another room, another day."""
    if rng.random() < 0.3:
        x = np.tanh(x * rng.uniform(2, 15) / max(np.abs(x).max(), 1e-3))
    if rng.random() < 0.4:
        cut = np.exp(rng.uniform(np.log(3000), np.log(15000)))
        x = sosfilt(butter(int(rng.integers(1, 5)), cut, "low", fs=RATE, output="sos"), x)
    if rng.random() < 0.25:
        x = sosfilt(butter(1, rng.uniform(60, 300), "high", fs=RATE, output="sos"), x)
    for _ in range(int(rng.integers(0, 3))):
        low = np.exp(rng.uniform(np.log(60), np.log(5000)))
        band = butter(1, [low, 2.5 * low], "band", fs=RATE, output="sos")
        x = x + (10 ** (rng.uniform(-8, 8) / 20) - 1) * sosfilt(band, x)
    x = x / max(np.abs(x).max(), 1e-4) * 0.5
    if rng.random() < 0.3:
        x = x + 10 ** (rng.uniform(-60, -28) / 20) * rng.standard_normal(len(x))
    return x.astype(np.float32)
