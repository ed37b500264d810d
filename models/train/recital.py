# SPDX-License-Identifier: GPL-3.0-or-later
"""What the note ear is judged by: music, instruments, drummers and kits it never learned from.

Pianists of ASAP on a piano; chords of POP909's last songs strummed and broken; fugues for strings and for
winds; small bands with drums; and what holds no note at all. Every sound has a MIDI file beside it whose
notes end when they are heard to, pedal and all. FluidR3 plays most. MuseScore General plays too where its
samples are not those of a multisample that trains: its grand piano and orchestral strings are.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mido
import numpy as np
import soundfile as sf
from scipy.signal import fftconvolve

from dsp.units import RATE
from models.train import scores
from models.train.backing import Note as Beats
from models.train.backing import Songbook, bass_line, strummed
from models.train.instruments import TEST, Program, score
from models.train.kits import shelf
from models.train.scenes import SIZE, speech
from models.train.scores import Note, Pedal, Rng, held, manner, tidy
from models.train.studio import SECONDS, performances, rearranged, render, room

VOICES = ("en-gb", "de", "fr-fr", "it", "es")  # of those who talk
MINUTES = 10  # of each thing that holds no note
STRINGS = ((40, 67, 100), (40, 60, 66), (41, 53, 59), (42, 24, 52))  # program, the pitches it takes
WINDS = ((73, 67, 100), (68, 60, 66), (71, 53, 59), (70, 24, 52))

Played = list[tuple[Program, list[Note], Pedal, float]]  # and how loud [dB]


def _program(bank: str, program: int) -> Program:
    return Program(bank, TEST[bank], program, 21, 108)


def performed(midi: mido.MidiFile) -> tuple[list[Note], Pedal, float]:
    """Notes as fingers held them, the pedal, and how long it all lasts [s]."""
    notes, pedal, sounding, down, now = [], [], dict[int, tuple[float, int]](), -1.0, 0.0
    for message in midi:
        now += message.time
        if message.type == "control_change" and message.control == 64:
            if message.value >= 64 and down < 0:
                down = now
            elif message.value < 64 and down >= 0:
                pedal.append((down, now))
                down = -1.0
        elif message.type in ("note_on", "note_off"):
            if message.note in sounding:
                start, velocity = sounding.pop(message.note)
                notes.append(Note(start, now, message.note, velocity))
            if message.type == "note_on" and message.velocity:
                sounding[message.note] = now, message.velocity
    return notes, pedal, now


def excerpt(notes: list[Note], pedal: Pedal, first: float) -> tuple[list[Note], Pedal]:
    """SECONDS of a performance."""
    cut = [n._replace(start=n.start - first, end=n.end - first) for n in notes if n.start > first + 0.1]
    return tidy(cut, SECONDS), [(a - first, b - first) for a, b in pedal if b > first]


class Pianists:
    """Performances of ASAP, the notes and the pedal."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)
        self._names = sorted(n for n in self._archive.namelist() if n.lower().endswith((".mid", ".midi")))

    def play(self, rng: Rng, word: str = "") -> tuple[list[Note], Pedal]:
        """SECONDS of one whose name holds `word`."""
        names = [n for n in self._names if word in n]
        while True:
            midi = mido.MidiFile(file=io.BytesIO(self._archive.read(names[rng.integers(len(names))])))
            notes, pedal, seconds = performed(midi)
            if seconds < SECONDS + 8:
                continue
            cut, pedal = excerpt(notes, pedal, rng.uniform(2, seconds - SECONDS - 4))
            if len(cut) > 30:
                return cut, pedal


def _sound(played: Played, rng: Rng, drums: np.ndarray | None = None) -> np.ndarray:
    dry = np.zeros(SIZE)
    for program, notes, pedal, db in played:
        x = program.play(notes, pedal, 0, SECONDS)
        dry += x * 10 ** (db / 20) / max(np.sqrt(np.mean(x**2)), 1e-6)
    if drums is not None:
        dry += drums * np.sqrt(np.mean(dry**2) / np.mean(drums**2)) * 10 ** (rng.uniform(-6, 2) / 20)
    wet = fftconvolve(dry, room(rng))[:SIZE] if rng.random() < 0.6 else 0
    y = dry + 10 ** (rng.uniform(-20, -8) / 20) * wet
    y += rng.standard_normal(SIZE) * np.sqrt(np.mean(y**2)) * 10 ** (rng.uniform(-70, -45) / 20)
    return (0.5 * y / np.abs(y).max()).astype(np.float32)


def piano(data: Path, rng: Rng, i: int) -> Played:
    notes, pedal = Pianists(data / "midi" / "asap.zip").play(rng)
    return [(_program("fluid", (0, 0, 1)[i % 3]), notes, pedal, 0.0)]


def _song(
    data: Path, rng: Rng, beat: float = 0.0, downbeat: float = 0.3
) -> tuple[dict[str, list[Beats]], float, float]:
    """Parts of one of the last songs of POP909 from a bar on, in beats, with their length and first downbeat."""
    beat = beat or 60 / rng.uniform(70, 130)
    while True:
        song = Songbook(data / "midi" / "pop909.zip", test=True).pick(rng)
        first = 4 * int(rng.integers(2, max(song.beats // 4 - int(SECONDS / beat / 4) - 2, 3)))
        parts = {
            name: [n._replace(start=n.start - first, end=n.end - first) for n in notes
                   if first <= n.start < first + SECONDS / beat]
            for name, notes in song.parts.items()
        }  # fmt: skip
        if len(parts.get("PIANO", [])) > 20 and len(parts.get("MELODY", [])) > 8:
            return parts, beat, downbeat


def _timed(notes: list[Beats], beat: float, downbeat: float, rng: Rng) -> list[Note]:
    return tidy(
        [
            Note(
                downbeat + n.start * beat + rng.normal(0, 0.004), downbeat + n.end * beat, n.pitch, n.velocity
            )
            for n in notes
        ],
        SECONDS,
    )


def strum(data: Path, rng: Rng, i: int) -> Played:
    parts, beat, downbeat = _song(data, rng)
    chords = [n._replace(pitch=n.pitch + 12 * (n.pitch < 40)) for n in parts["PIANO"]]
    bank, program = (
        ("fluid", 25),
        ("musescore", 24),
        ("fluid", 27),
        ("musescore", 25),
        ("fluid", 24),
        ("musescore", 27),
    )[i % 6]
    return [(_program(bank, program), _timed(strummed(chords, rng), beat, downbeat, rng), [], 0.0)]


def arpeggio(data: Path, rng: Rng, i: int) -> Played:
    bank, program = (
        ("fluid", 24),
        ("musescore", 25),
        ("fluid", 46),
        ("fluid", 4),
        ("musescore", 46),
        ("musescore", 11),
    )[i % 6]
    return [
        (_program(bank, program), tidy(scores.arpeggio(manner(40, 86, SECONDS, rng), rng), SECONDS), [], 0.0)
    ]


def _quartet(seats: tuple[tuple[int, int, int], ...], bank: str) -> Callable[[Path, Rng, int], Played]:
    def play(data: Path, rng: Rng, i: int) -> Played:
        notes, _ = Pianists(data / "midi" / "asap.zip").play(rng, "Fugue")
        lowest = {40: 55, 41: 48, 42: 36, 73: 60, 68: 58, 71: 50, 70: 34}
        return [
            (_program(bank, program),
             tidy([n._replace(pitch=n.pitch + 12 * max(0, -(-(lowest[program] - n.pitch) // 12)))
                   for n in notes if low <= n.pitch <= high], SECONDS),
             [], rng.normal(0, 1.5))
            for program, low, high in seats if any(low <= n.pitch <= high for n in notes)
        ]  # fmt: skip

    return play


def band(data: Path, rng: Rng, i: int, beat: float = 0.0, downbeat: float = 0.0) -> Played:
    parts, beat, downbeat = _song(data, rng, beat, downbeat)
    bank = ("fluid", "musescore")[i % 2]
    chords = parts["PIANO"] if i % 3 else strummed(parts["PIANO"], rng)
    harmony = (25, 4, 27)[i % 3] if bank == "musescore" or i % 3 == 0 else 0
    low, tune = (33, 34, 32)[i % 3], (65, 56, 73, 80, 71)[i % 5]
    return [
        (_program(bank, harmony), _timed(chords, beat, downbeat, rng), [], rng.normal(-1, 2)),
        (
            _program(bank, low),
            _timed(bass_line(parts["PIANO"], rng), beat, downbeat, rng),
            [],
            rng.normal(0, 2),
        ),
        (_program(bank, tune), _timed(parts["MELODY"], beat, downbeat, rng), [], rng.normal(2, 2)),
    ]


SETS: dict[str, tuple[Callable[[Path, Rng, int], Played], int]] = {
    "piano": (piano, 12),
    "strum": (strum, 6),
    "arpeggio": (arpeggio, 6),
    "strings": (_quartet(STRINGS, "fluid"), 6),
    "winds": (_quartet(WINDS, "musescore"), 6),
    "band": (band, 10),
}


def recitals(
    data: Path, test: dict[str, tuple[Callable[..., Played], int]] = SETS
) -> Iterator[tuple[str, np.ndarray, list[Note]]]:
    """A name, its sound, its notes."""
    kits = shelf(None, held_out=True)
    homes = sorted(set(kits.get("snare", {})) | (set(kits.get("hat-closed", {})) & set(kits.get("kick", {}))))
    for which, (name, (compose, count)) in enumerate(test.items()):
        for i in range(count):
            rng, drums = np.random.default_rng([7, which, i]), None
            if name == "band" and homes:
                drummer = next(performances(data / "midi" / "groove.zip", rng, test=True))
                hits = rearranged(drummer, rng)
                drums = render(hits, kits, rng, plain=True, kit=homes[i % len(homes)])[0]
                played = compose(data, rng, i, drummer.beat, drummer.downbeat)
            else:
                played = compose(data, rng, i)
            notes = [note for _, part, pedal, _ in played for note in held(part, pedal)]
            yield f"{name}/{i:02d}", _sound(played, rng, drums), tidy(notes, SECONDS)


def nothing(data: Path, seconds: float) -> Iterator[tuple[str, np.ndarray]]:
    """Silence, the noise of a room, talk, drums."""
    rng, size = np.random.default_rng(8), round(seconds * RATE)
    yield "silence", np.zeros(size, np.float32)
    hum = np.cumsum(rng.standard_normal(size))
    hum -= fftconvolve(hum, np.ones(2000) / 2000, "same")
    yield "room", (0.01 * hum / np.sqrt(np.mean(hum**2))).astype(np.float32)
    turns = int(np.ceil(seconds / SECONDS))
    said = [speech(rng, (VOICES[i % len(VOICES)],)) for i in range(turns)]
    yield "talk", np.concatenate(said)[:size]
    kits, plays = shelf(None, held_out=True), performances(data / "midi" / "groove.zip", rng, test=True)
    homes = sorted(set(kits["snare"]))
    struck = [
        render(rearranged(next(plays), rng), kits, rng, plain=True, kit=homes[i % len(homes)])[0]
        for i in range(turns)
    ]
    yield "drums", np.concatenate(struck)[:size]


def _write(path: Path, sound: np.ndarray, notes: list[Note]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path.with_suffix(".flac"), sound, RATE)
    score(notes, [], 0, 0).save(path.with_suffix(".mid"))


def render_test(data: Path, out: Path) -> None:
    """Write every set as a folder of sounds, each with its MIDI file."""
    for name, sound, notes in recitals(data):
        _write(out / name, sound, notes)
        print(f"{name}: {len(notes)} notes", flush=True)
    for name, sound in nothing(data, 60 * MINUTES):
        _write(out / "nothing" / name, sound, [])
