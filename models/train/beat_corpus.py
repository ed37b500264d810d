# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips the beat is learned from, as inputs and beats; and others to judge by, as sound."""

from pathlib import Path

import numpy as np
import soundfile as sf

from dsp.pulse import FRAME, INPUTS, pulse_state, pulse_step
from dsp.units import HOP, RATE
from models.train.backing import CHORDS, MELODIES, Songbook
from models.train.feels import ruled
from models.train.rhythm import (
    BANKS,
    KITS,
    TEST_BANK,
    Drummers,
    Score,
    Timeline,
    arranged,
    drummed,
    excerpt,
    notated,
    spoilt,
)

BY_RULE, AS_PLAYED, CLEAN = 0.35, 0.4, 0.4  # shares of the clips; clean ones, of all
FEW = 0.6  # share, of those by rule, of bars of two and three


def played(drummers: Drummers, songs: Songbook, rng: np.random.Generator) -> tuple[Score, Timeline]:
    """A drummer, or a song, or one that fits the other, near the tempo they had."""
    bar, song, draw, score = drummers.pick(rng), songs.pick(rng), rng.random(), Score()
    drums, music = draw < 0.7, draw > 0.3
    for _ in range(8):
        if not (drums and music) or abs(np.log2(song.bpm / bar.bpm)) < 0.3:
            break
        song = songs.pick(rng)
    bpm = (bar.bpm if drums else song.bpm) * rng.uniform(0.82, 1.22)
    line = Timeline(float(np.clip(bpm, 52, 214)), bar.metre if drums else 4, rng)
    if drums:
        drummed(bar, line, score, rng)
    if music:
        arranged(song, excerpt(song, line, rng), int(rng.integers(-5, 6)), line, score, rng)
    return score, line


def drummer(drummers: Drummers, rng: np.random.Generator) -> tuple[Score, Timeline]:
    """A drummer, as he played."""
    score, bar = Score(), drummers.pick(rng)
    line = Timeline(bar.bpm, bar.metre, rng, waltzes=0, steady=True)
    drummed(bar, line, score, rng, as_played=True)
    score.instrument(9, int(rng.choice(KITS)), 110)
    return score, line


def song(
    songs: Songbook, rng: np.random.Generator, drummers: Drummers | None = None
) -> tuple[Score, Timeline]:
    """A song when it was played, beat for beat; as it is written, or else by others and perhaps with a drummer."""
    score, number = Score(), int(rng.integers(len(songs)))
    one, times = songs.read(number), songs.times(number)
    first = 4 * int(rng.integers(2, max(one.beats // 4 - 20, 3)))
    line = Timeline(one.bpm, 4, rng, waltzes=0, times=times[first:] - times[first])
    draw = rng.random() if drummers else 0.0
    if draw < 0.5:
        parts = {
            "PIANO": int(rng.choice(CHORDS)),
            "MELODY": int(rng.choice(MELODIES)),
            "BRIDGE": int(rng.choice(CHORDS)),
        }
        notated(one, first, parts, line, score)
        return score, line
    arranged(one, first, int(rng.integers(-5, 6)), line, score, rng)
    if drummers and draw > 0.65:
        bars = (drummers.pick(rng) for _ in range(40))
        fits = (b for b in bars if b.metre == 4 and abs(np.log2(one.bpm / b.bpm)) < 0.25)
        bar = next(fits, None)
        if bar:
            drummed(bar, line, score, rng)
    return score, line


def clip(drummers: Drummers, songs: Songbook, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """SECONDS of sound, and its beats as `Timeline.beats` has them."""
    draw = rng.random()
    if draw < BY_RULE:
        score, line = ruled(rng, FEW)
    elif draw < BY_RULE + AS_PLAYED:
        score, line = song(songs, rng, drummers) if rng.random() < 0.7 else drummer(drummers, rng)
    else:
        score, line = played(drummers, songs, rng)
    bank = f"/usr/share/sounds/sf2/{BANKS[rng.integers(len(BANKS))]}"
    sound = score.sound(bank, bool(rng.random() < 0.4))
    if rng.random() < CLEAN:
        return (sound / max(np.abs(sound).max(), 1e-4) * 0.5).astype(np.float32), line.beats()
    return spoilt(sound, rng), line.beats()


def inputs_of(x: np.ndarray) -> np.ndarray:
    """What the net is given of audio at 48 kHz, shape (frames, INPUTS)."""
    out = np.zeros((len(x) // FRAME + 1, INPUTS), np.float32)
    n = pulse_step(pulse_state(), x[: len(x) // HOP * HOP].reshape(-1, HOP).astype(np.float32), out)
    return out[:n]


def render(data: Path, work: Path, part: int, count: int) -> None:
    """Write `count` clips as inputs and beats to ``work/clip-PART-N.npz``."""
    work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([part, 7])
    drummers = Drummers(data / "midi" / "groove.zip")
    songs = Songbook(data / "midi" / "pop909.zip", sure=True)
    for n in range(count):
        sound, beats = clip(drummers, songs, rng)
        np.savez(work / f"clip-{part}-{n}.npz", x=inputs_of(sound).astype(np.float16), beats=beats)


def render_test(data: Path, work: Path, part: int, count: int, spoil: bool, short: bool) -> None:
    """Write `count` clips of drummers and songs never trained on, as sound and beats; or else of short bars by rule."""
    work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([part, 8])
    drummers = Drummers(data / "midi" / "groove.zip", test=True)
    songs = Songbook(data / "midi" / "pop909.zip", test=True, sure=True)
    for n in range(count):
        if short:
            score, line = ruled(rng, 1.0)
        else:
            score, line = drummer(drummers, rng) if n % 2 else song(songs, rng)
        sound = score.sound(TEST_BANK, False)
        sound = spoilt(sound, rng) if spoil else sound / max(np.abs(sound).max(), 1e-4) * 0.5
        sf.write(work / f"test-{part}-{n}.flac", sound, RATE)
        rows = "".join(f"{time:.4f}\t{place:.0f}\n" for time, place in line.beats())
        (work / f"test-{part}-{n}.txt").write_text(rows)
