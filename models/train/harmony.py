# SPDX-License-Identifier: GPL-3.0-or-later
"""Songs to learn harmony from: POP909 in every key, by all instruments, with drummers of Groove and without."""

from pathlib import Path

import numpy as np
import soundfile as sf

from dsp.events import CHORDS, DEGREES, KEYS, NO_CHORD, QUALITIES, TONICS
from dsp.units import RATE
from models.chroma import HOP, PITCHES, Chroma
from models.train.backing import Note, Song, Songbook, Span
from models.train.rhythm import (
    BANKS,
    TEST_BANK,
    Drummers,
    Score,
    Timeline,
    arranged,
    drummed,
    excerpt,
    spoilt,
)

SECONDS = 64  # of one clip
OUT_OF_TUNE = (-25.0, -12.0, 0.0, 0.0, 0.0, 0.0, 12.0, 25.0)  # [cents]
SHARPS = {"Db": 1, "D#": 3, "Gb": 6, "G#": 8, "A#": 10, "Cb": 11, "E#": 5, "Fb": 4, "B#": 0}
SHARPS |= {tonic: row for row, tonic in enumerate(TONICS)}
FLATS = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "b6", "6", "b7", "7")
STEPS = {"1": 0, "2": 2, "3": 4, "4": 5, "5": 7, "6": 9, "7": 11, "9": 2}
# What is not among the qualities is the nearest of them.
NEAREST = {"maj6": "maj", "min6": "min", "minmaj7": "min", "hdim7": "dim", "dim7": "dim", "sus4(b7)": "sus4"}
DRUMS_ALONE = 24  # of so many clips one has no harmony at all
UNKNOWN = -1  # a look without a chord or key that is known


def chord_row(name: str, key: int = 0) -> tuple[int, int]:
    """Row of CHORDS and pitch class of the bass of an annotated chord, `key` semitones higher."""
    if ":" not in name:
        return (NO_CHORD, UNKNOWN) if name == "N" else (UNKNOWN, UNKNOWN)
    root, rest = name.split(":")
    quality, _, bass = rest.partition("/")
    quality = NEAREST.get(quality, quality)
    if quality not in QUALITIES or root not in SHARPS:
        return UNKNOWN, UNKNOWN
    at = (SHARPS[root] + key) % 12
    step = STEPS.get(bass.lstrip("b#"), 0) - bass.count("b") + bass.count("#") if bass else 0
    return CHORDS.index(f"{TONICS[at]}:{quality}"), (at + step) % 12


def key_row(name: str, key: int = 0) -> int:
    """Row of KEYS of an annotated key, `key` semitones higher."""
    root, _, scale = name.partition(":")
    if root not in SHARPS or scale[:3] not in ("maj", "min"):
        return UNKNOWN
    return KEYS.index(f"{TONICS[(SHARPS[root] + key) % 12]} {'major' if scale[:3] == 'maj' else 'minor'}")


def progression(rng: np.random.Generator, beats: int = 240) -> tuple[Song, list[Span]]:
    """Chords of all qualities alike, one after another, laid out by chance: what songs have too few of."""
    notes: list[Note] = []
    spans: list[Span] = []
    at, root = 0.0, int(rng.integers(12))
    while at < beats:
        length = float(rng.choice([1, 2, 2, 4, 4]))
        quality = QUALITIES[rng.integers(len(QUALITIES))]
        root = (root + int(rng.choice([2, 3, 4, 5, 5, 7, 7, 8, 9, 10]))) % 12
        degrees = DEGREES[quality]
        over = 0 if rng.random() < 0.8 or quality in ("aug", "sus2", "sus4") else int(rng.choice(degrees[1:]))
        bass = 36 + (root + over) % 12 + 12 * int(rng.random() < 0.3)
        low = int(rng.integers(50, 66))
        pitches = sorted({low + (root + degree - low) % 12 for degree in degrees} | {bass})
        pitches += [pitch + 12 for pitch in pitches[1:] if rng.random() < 0.25]
        step = float(rng.choice([0, 0, 0, 0.25, 0.5]))  # together, or one after another
        for k, pitch in enumerate(pitches):
            start = at + min(k * step, length / 2)
            notes.append(
                Note(start, at + length * float(rng.uniform(0.7, 1)), pitch, int(rng.integers(50, 110)))
            )
        name = f"{TONICS[root]}:{quality}"
        spans.append(Span(at, at + length, name if not over else f"{name}/{FLATS[over]}"))
        at += length
    return Song({"PIANO": notes}, beats), spans


def moved(spans: list[Span], first: int, line: Timeline) -> list[Span]:
    """Spans of a song, in seconds of the clip that begins with its beat `first`."""
    found = []
    for span in spans:
        start, end = line.at(span.start - first), line.at(span.end - first)
        if end > 0.05 and start < SECONDS:
            found.append(Span(max(start, 0.0), min(end, float(SECONDS)), span.name))
    return found


def clip(
    drummers: Drummers, songs: Songbook, number: int, rng: np.random.Generator, bank: str
) -> tuple[np.ndarray, list[Span], list[Span], int]:
    """SECONDS of a song, its chords and keys as annotated, and how many semitones higher it is played."""
    keys: list[Span] = []
    if number < len(songs):
        song, (chords, keys) = songs.read(number), songs.harmony(number)
    else:
        song, chords = progression(rng)
    score, key, bpm = Score(SECONDS), int(rng.integers(-5, 7)), float(rng.uniform(62, 150))
    alone = bank != TEST_BANK and number < len(songs) and number % DRUMS_ALONE == 1
    drums = alone or rng.random() < 0.5
    bar = drummers.pick(rng)
    while drums and bar.metre != 4:
        bar = drummers.pick(rng)
    line = Timeline(bpm, 4, rng, SECONDS, 0.0)
    first = excerpt(song, line, rng)
    if drums:
        drummed(bar, line, score, rng)
    if alone:
        chords, keys = [Span(first, first + line.count, "N")], []
    else:
        arranged(song, first, key, line, score, rng)
    sound = spoilt(score.sound(bank, bool(rng.random() < 0.4)), rng)
    return sound, moved(chords, first, line), moved(keys, first, line), key


def looks_of(x: np.ndarray, cents: float = 0.0) -> np.ndarray:
    """What the net is given of audio at 48 kHz, shape (looks, PITCHES)."""
    ear, silence = Chroma(cents), np.zeros(PITCHES, np.float32)
    hops = (x[at : at + HOP] for at in range(0, len(x) - HOP + 1, HOP))
    return np.array([silence if (look := ear.listen(hop)) is None else look for hop in hops])


def labels_of(chords: list[Span], keys: list[Span], looks: int, key: int) -> np.ndarray:
    """Chord, bass and key at the end of each look, shape (looks, 3)."""
    out = np.full((looks, 3), UNKNOWN, np.int16)
    at = (np.arange(looks) + 1) * HOP / RATE
    for span in chords:
        out[(at >= span.start) & (at < span.end), :2] = chord_row(span.name, key)
    for span in keys:
        out[(at >= span.start) & (at < span.end), 2] = key_row(span.name, key)
    return out


def render(data: Path, work: Path, first: int, count: int, *, test: bool = False) -> None:
    """Write `count` songs from `first` on as looks and labels; for tests as sound and annotations.

    Those numbered beyond the last song are `progression`s.
    """
    work.mkdir(parents=True, exist_ok=True)
    drummers = Drummers(data / "midi" / "groove.zip", test=test)
    songs = Songbook(data / "midi" / "pop909.zip", test=test)
    for number in range(first, first + count):
        rng, name = np.random.default_rng([number, test]), f"{'test' if test else 'song'}-{number:03d}"
        if (work / f"{name}.{'flac' if test else 'npz'}").exists():
            continue
        bank = TEST_BANK if test else f"/usr/share/sounds/sf2/{BANKS[rng.integers(len(BANKS))]}"
        sound, chords, keys, key = clip(drummers, songs, number, rng, bank)
        if test:
            sf.write(work / f"{name}.flac", sound, RATE)
            rows = [(span.start, span.end, chord_row(span.name, key)) for span in chords]
            told = [(start, end, CHORDS[row]) for start, end, (row, _) in rows if row != UNKNOWN]
            (work / f"{name}.lab").write_text("".join(f"{a:.3f}\t{b:.3f}\t{c}\n" for a, b, c in told))
            named = [(span.start, span.end, KEYS[key_row(span.name, key)]) for span in keys]
            (work / f"{name}.txt").write_text("".join(f"{a:.3f}\t{b:.3f}\t{c}\n" for a, b, c in named))
        else:
            looks = looks_of(sound, -float(rng.choice(OUT_OF_TUNE)))
            labels = labels_of(chords, keys, len(looks), key)
            np.savez(work / f"{name}.npz", x=looks.astype(np.float16), y=labels)
