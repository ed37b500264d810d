# SPDX-License-Identifier: GPL-3.0-or-later
"""Music to hear drums in: POP909 songs, played in time with a drummer by many instruments and a voice."""

import io
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
from models.train.kits import SOUNDFONTS
from models.train.studio import SECONDS

LOUDNESS = 0.08  # rms of a backing
# General MIDI programs that play each part.
MELODIES = (21, 22, 24, 25, 26, 27, 29, 30, 40, 52, 53, 54, 56, 60, 64, 65, 66, 71, 73, 80, 81, 85, 105)
CHORDS = (
    0,
    1,
    4,
    5,
    6,
    7,
    15,
    16,
    18,
    19,
    21,
    24,
    25,
    25,
    26,
    27,
    27,
    28,
    29,
    29,
    30,
    30,
    48,
    50,
    61,
    88,
    104,
    105,
)
BASSES = (32, 33, 33, 33, 34, 34, 35, 36, 37, 38, 39)
TEST_SONGS = 80  # the last songs of POP909 are never trained on


class Note(NamedTuple):
    start: float  # [beats]
    end: float
    pitch: int
    velocity: int


class Span(NamedTuple):
    start: float  # [beats]
    end: float
    name: str


class Song(NamedTuple):
    parts: dict[str, list[Note]]
    beats: int
    bpm: float = 120.0


class Songbook:
    """POP909, by beats.

    Parameters
    ----------
    path
        Of the archive.
    test
        Whether songs that are never trained on are wanted.
    sure
        Only songs whose bars are known: both annotations, of the notes and of the recording, count the same
        beats and bars, and most chords change where a bar begins.  Machines made them: they differ in most songs.
    """

    def __init__(self, path: Path, *, test: bool = False, sure: bool = False) -> None:
        self._archive = zipfile.ZipFile(path)
        files = self._archive.namelist()
        songs = sorted(
            n for n in files if n.count("/") == 2 and n.endswith(".mid") and self._beats_of(n) in files
        )
        self._songs = songs[-TEST_SONGS:] if test else songs[:-TEST_SONGS]
        self._bars: dict[str, int] = {}  # of songs that are sure, which beat begins the first bar
        if sure:
            found = {song: self._sure(song) for song in self._songs}
            self._bars = {song: beat for song, beat in found.items() if beat is not None}
            self._songs = list(self._bars)

    @staticmethod
    def _beats_of(song: str) -> str:
        return song.rsplit("/", 1)[0] + "/beat_midi.txt"

    def __len__(self) -> int:
        return len(self._songs)

    def pick(self, rng: np.random.Generator) -> Song:
        """A song at random; beat 0 is its first downbeat."""
        return self.read(int(rng.integers(len(self._songs))))

    def harmony(self, number: int) -> tuple[list[Span], list[Span]]:
        """Chords and keys of a song, as annotated."""
        folder, table, at = self._songs[number].rsplit("/", 1)[0], *self._table(number)
        found = []
        for file in ("chord_midi.txt", "key_audio.txt"):
            rows = [line.split() for line in self._archive.read(f"{folder}/{file}").decode().splitlines()]
            spans = [(np.interp([float(a), float(b)], table[:, 0], at), name) for a, b, name in rows]
            found.append([Span(float(start), float(end), name) for (start, end), name in spans])
        return found[0], found[1]

    def _sure(self, song: str) -> int | None:
        """Which of a song's first four beats begins a bar, if that is sure."""
        folder = song.rsplit("/", 1)[0]

        def read(name: str) -> np.ndarray:
            rows = self._archive.read(f"{folder}/{name}.txt").decode().splitlines()
            return np.array([[float(x) for x in row.split()[:2]] for row in rows])

        beats, other = read("beat_midi")[:, 0], read("beat_audio")
        changes = self._archive.read(f"{folder}/chord_midi.txt").decode().splitlines()
        at = np.array([np.abs(beats - float(row.split()[0])).argmin() for row in changes])
        bars = other[other[:, 1] == 1, 0]
        agreed = [(np.abs(beats[first::4, None] - bars).min(1) < 0.07).mean() for first in range(4)]
        octaves = np.log2(np.median(np.diff(beats)) / np.median(np.diff(other[:, 0])))
        first = int(np.argmax(agreed))
        chords = np.argmax(np.bincount(at % 4, minlength=4)) == first
        return first if agreed[first] > 0.8 and abs(octaves) < 0.1 and chords else None

    def _table(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the annotated beats, and each beat counted from the first downbeat."""
        song = self._songs[number]
        table = np.loadtxt(io.BytesIO(self._archive.read(self._beats_of(song))), ndmin=2)
        return table, np.arange(len(table)) - self._bars.get(song, int(np.argmax(table[:, 1] > 0)))

    def times(self, number: int) -> np.ndarray:
        """When each beat of a song was played, from its first downbeat on [s]."""
        table, at = self._table(number)
        return table[at >= 0, 0]

    def read(self, number: int) -> Song:
        """One song; beat 0 is its first downbeat."""
        midi = mido.MidiFile(file=io.BytesIO(self._archive.read(self._songs[number])))
        table, at = self._table(number)
        parts: dict[str, list[Note]] = {}
        tempo = next((m.tempo for track in midi.tracks for m in track if m.type == "set_tempo"), 500_000)
        for track in midi.tracks:
            clock, sounding, notes = 0.0, {}, []
            for message in track:
                clock += mido.tick2second(message.time, midi.ticks_per_beat, tempo)
                if message.type == "note_on" and message.velocity > 0:
                    sounding[message.note] = (clock, message.velocity)
                elif message.type in ("note_on", "note_off") and message.note in sounding:
                    start, velocity = sounding.pop(message.note)
                    first, last = np.interp([start, clock], table[:, 0], at)
                    if last > first:
                        notes.append(Note(float(first), float(last), message.note, velocity))
            if notes:
                parts[track.name.strip().upper()] = notes
        return Song(parts, int(at[-1]), float(60 / np.median(np.diff(table[:, 0]))))


def strummed(notes: list[Note], rng: np.random.Generator) -> list[Note]:
    """Chords struck again and again in a steady pattern, string after string."""
    step = float(rng.choice([0.25, 0.5, 0.5, 0.5, 1.0]))
    pattern = rng.random(int(round(4 / step))) < rng.uniform(0.5, 1)
    spread, length = rng.uniform(0, 0.03), step * rng.uniform(0.3, 1)
    held, found = sorted(notes), []
    last = max(n.end for n in notes)
    for i, at in enumerate(np.arange(0, last, step)):
        if not pattern[i % len(pattern)]:
            continue
        chord = sorted({n.pitch for n in held if n.start <= at + 0.1 < n.end})
        down = i % 2 == 0
        for string, pitch in enumerate(chord if down else chord[::-1]):
            start = at + string * spread
            found.append(
                Note(start, start + length, pitch, int(np.clip(rng.normal(90 if down else 75, 12), 20, 127)))
            )
    return found


def bass_line(notes: list[Note], rng: np.random.Generator) -> list[Note]:
    """The lowest of each half beat, an octave or two down, held or repeated."""
    low: dict[int, Note] = {}
    for note in notes:
        slot = round(2 * note.start)
        if slot not in low or note.pitch < low[slot].pitch:
            low[slot] = note
    repeat, found = rng.random() < 0.5, []
    slots = sorted(low)
    for slot, following in zip(slots, [*slots[1:], slots[-1] + 4] if slots else [], strict=True):
        pitch = low[slot].pitch
        while pitch > 47:
            pitch -= 12
        starts = np.arange(slot, min(following, slot + 8)) / 2 if repeat else [slot / 2]
        length = 0.45 if repeat else (min(following, slot + 8) - slot) / 2
        found += [Note(float(s), float(s) + length, pitch, int(rng.integers(70, 125))) for s in starts]
    return found


def sung(notes: list[tuple[float, float, int]], n: int, rng: np.random.Generator) -> np.ndarray:
    """A voice on notes of (start [s], end [s], pitch): vowels with vibrato, and consonants before them."""
    y = np.zeros(n)
    for start, end, pitch in notes:
        length = int((min(end, start + 3) - start) * RATE)
        at = int(start * RATE)
        if length < 1500 or at < 8000 or at + length >= n:
            continue
        t = np.arange(length) / RATE
        f0 = 440 * 2 ** ((pitch - 69) / 12)
        glide = 0.03 * np.exp(-t / 0.05) * rng.normal()
        phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * t) + glide)) / RATE
        formants = (
            (rng.uniform(300, 900), 150, 2),
            (rng.uniform(1000, 2600), 250, 1.5),
            (rng.uniform(2600, 3800), 400, 0.7),
        )
        vowel = np.zeros(length)
        for k in range(1, int(min(30, 7000 / f0)) + 1):
            boost = 1 + sum(g * np.exp(-(((k * f0 - f) / w) ** 2)) for f, w, g in formants)
            vowel += np.sin(k * phase) * boost / k**1.3
        vowel *= np.minimum(1, t / 0.03) * np.minimum(1, (t[-1] - t) / 0.04)
        loud = rng.uniform(0.05, 0.12)
        y[at : at + length] += loud * vowel / (np.sqrt(np.mean(vowel**2)) + 1e-9)
        if rng.random() < 0.7:
            hiss = int(rng.uniform(0.02, 0.14) * RATE)
            band = [rng.uniform(1500, 5000), rng.uniform(6500, 14000)]
            noise = sosfilt(butter(2, band, "band", fs=RATE, output="sos"), rng.standard_normal(hiss))
            if rng.random() < 0.65:
                noise *= np.sin(np.pi * np.arange(hiss) / hiss) ** rng.uniform(0.5, 1.5)
            else:  # a plosive
                noise *= np.exp(-np.arange(hiss) / (0.012 * RATE))
            noise *= loud * rng.uniform(0.1, 0.8) / (np.sqrt(np.mean(noise**2)) + 1e-9)
            y[at - hiss + 600 : at + 600] += noise
    return y


def backing(songbook: Songbook, beat: float, downbeat: float, rng: np.random.Generator) -> np.ndarray:
    """SECONDS of a song whose beats last `beat` seconds, one of its downbeats at `downbeat` [s]."""
    n, song = SECONDS * RATE, songbook.pick(rng)
    bars = max(song.beats // 4 - int(SECONDS / beat / 4) - 2, 1)
    first = 4 * int(rng.integers(0, bars)) + (0 if rng.random() < 0.8 else float(rng.choice([1, 2, 0.5])))
    transpose = int(rng.integers(-4, 5))
    parts = {
        name: [
            Note(x.start - first, x.end - first, x.pitch + transpose, x.velocity)
            for x in notes
            if x.end > first and x.start < first + SECONDS / beat
        ]
        for name, notes in song.parts.items()
    }
    parts = {name: notes for name, notes in parts.items() if notes}
    chords = parts.get("PIANO", [])
    played: list[tuple[list[Note], int, int]] = []  # notes, program, channel
    if chords and rng.random() < 0.85:
        played.append((strummed(chords, rng) if rng.random() < 0.5 else chords, int(rng.choice(CHORDS)), 0))
    if chords and rng.random() < 0.8:
        played.append((bass_line(chords, rng), int(rng.choice(BASSES)), 1))
    melody = parts.get("MELODY", [])
    singing = rng.random() < 0.5
    if melody and rng.random() < 0.7 and not singing:
        played.append((melody, int(rng.choice(MELODIES)), 2))
    if "BRIDGE" in parts and rng.random() < 0.5:
        played.append((parts["BRIDGE"], int(rng.choice(MELODIES + CHORDS)), 3))
    y = np.zeros(n)
    if played:
        midi, track = mido.MidiFile(ticks_per_beat=500), mido.MidiTrack()
        midi.tracks.append(track)
        messages: list[tuple[float, mido.Message]] = []
        for notes, program, channel in played:
            track.append(mido.Message("program_change", channel=channel, program=program))
            track.append(
                mido.Message("control_change", channel=channel, control=7, value=int(rng.integers(60, 127)))
            )
            for note in notes:
                pitch = int(np.clip(note.pitch, 20, 110))
                start = downbeat + note.start * beat + rng.normal(0, 0.004)
                end = max(downbeat + note.end * beat, start + 0.05)
                velocity = int(np.clip(note.velocity * rng.uniform(0.8, 1.2), 20, 127))
                if start > 0:
                    messages.append(
                        (start, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity))
                    )
                    messages.append((end, mido.Message("note_off", channel=channel, note=pitch)))
        last = 0
        for at, message in sorted(messages, key=lambda m: (m[0], m[1].type == "note_on")):
            tick = max(round(at * 1000), last)
            track.append(message.copy(time=tick - last))
            last = tick
        with tempfile.TemporaryDirectory() as folder:
            score, sound = Path(folder) / "song.mid", Path(folder) / "song.wav"
            midi.save(score)
            bank = list(SOUNDFONTS.values())[0 if rng.random() < 0.9 else -1]
            command = ["fluidsynth", "-ni", "-q", "-R", str(int(rng.random() < 0.4)), "-C", "0", "-g", "0.5"]
            subprocess.run(
                [*command, "-r", str(RATE), "-F", sound, bank, score], check=True, capture_output=True
            )
            heard = sf.read(sound, dtype="float32", always_2d=True)[0].mean(1)[:n]
        y[: len(heard)] += heard
    if rng.random() < 0.35:
        y = np.tanh(y * rng.uniform(3, 30) / max(np.abs(y).max(), 1e-3))
    y *= LOUDNESS / max(np.sqrt(np.mean(y**2)), 1e-4)
    if melody and singing:
        lines = [
            (downbeat + m.start * beat, downbeat + m.end * beat, m.pitch - 12 * int(rng.integers(0, 2)))
            for m in melody
        ]
        y += sung(lines, n, rng) * 10 ** (rng.uniform(-6, 6) / 20)
        y *= LOUDNESS / max(np.sqrt(np.mean(y**2)), 1e-4)
    return np.clip(y, -1, 1).astype(np.float32)
