# SPDX-License-Identifier: GPL-3.0-or-later
"""Performances of one line, rendered from a seed, whose every note is known.

Each line walks an instrument's range at 60 to 180 bpm. A third of the notes run
into the next without a gap, a third repeat the one before, and now and then the
player rests. The reference holds the score's own times: `fluidsynth` starts a
note at the next multiple of 64 samples, so a note sounds 0 to 1.4 ms after its
reference, and nothing is shifted to hide that. A soundfont's own attack comes on
top of it (bowed and blown instruments need tens of milliseconds to speak).
"""

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np

RATE = 48_000
SECONDS = 30.0
TICKS = 1000  # a beat of one second: one tick is 1 ms
LOW, HIGH = 28, 84  # E1 to C6

RANGES = {  # General MIDI program: the notes its player would be asked for
    0: (28, 84),  # piano
    24: (40, 83),  # nylon guitar
    27: (40, 84),  # clean electric guitar
    33: (28, 55),  # finger bass
    40: (55, 84),  # violin
    56: (54, 82),  # trumpet
    65: (49, 80),  # alto saxophone
    73: (60, 84),  # flute
}


@dataclass(frozen=True, slots=True)
class Note:
    on: float  # [s]
    off: float  # [s]
    midi: int
    velocity: int


def line(program: int, seed: int, seconds: float = SECONDS) -> list[Note]:
    """The notes of one seeded performance, in order, never two at once."""
    low, high = RANGES[program]
    rng = np.random.default_rng([seed, program])
    beat = 60 / rng.uniform(60, 180)
    figures = np.array([0.25, 1 / 3, 0.5, 0.5, 0.75, 1.0, 1.0, 1.5])
    midi = int(rng.integers(low, high + 1))
    notes: list[Note] = []
    now = 0.5
    while now < seconds - 1.6:
        if notes and rng.random() >= 1 / 3:  # else the last note again
            leap = int(rng.choice([1, 2, 2, 3, 4, 5, 7, 12])) * int(rng.choice([-1, 1]))
            midi = midi + leap if low <= midi + leap <= high else midi - leap
        length = float(np.clip(beat * rng.choice(figures), 0.12, 1.0))
        legato = rng.random() < 1 / 3
        sounding = max(0.1, length * (1 if legato else rng.uniform(0.5, 0.9)))
        on, off = (round(t * TICKS) / TICKS for t in (now, now + sounding))
        notes.append(Note(on, off, midi, int(rng.integers(30, 121))))
        now += length
        if rng.random() < 0.08:
            now += beat * rng.choice([0.5, 1.0])
    return notes


def midi_file(notes: list[Note], program: int) -> mido.MidiFile:
    """The same notes as a standard MIDI file, one tick a millisecond."""
    events = [(note.on, 1, "note_on", note) for note in notes] + [
        (note.off, 0, "note_off", note) for note in notes
    ]
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=1_000_000))
    track.append(mido.Message("program_change", program=program))
    last = 0
    for when, _, kind, note in sorted(events, key=lambda event: event[:2]):
        tick = round(when * TICKS)
        velocity = note.velocity if kind == "note_on" else 0
        track.append(mido.Message(kind, note=note.midi, velocity=velocity, time=tick - last))
        last = tick
    track.append(mido.MetaMessage("end_of_track", time=800))
    return mido.MidiFile(type=0, ticks_per_beat=TICKS, tracks=[track])


def render(notes: list[Note], program: int, soundfont: Path, wav: Path, dry: bool = False) -> None:
    """Write the sound of `notes` as a 48 kHz wav, with the soundfont's room unless `dry`."""
    with tempfile.TemporaryDirectory() as folder:
        score = Path(folder) / "line.mid"
        midi_file(notes, program).save(score)
        room = ["-R", "0", "-C", "0"] if dry else []
        command = ["fluidsynth", "-ni", "-q", "-g", "0.6", "-r", str(RATE), "-O", "s16", "-T", "wav", *room]
        subprocess.run(
            [*command, "-F", str(wav), str(soundfont), str(score)], check=True, capture_output=True
        )


def write_reference(notes: list[Note], path: Path) -> None:
    """One line a note: ``on off midi velocity``."""
    path.write_text("".join(f"{n.on:.3f} {n.off:.3f} {n.midi} {n.velocity}\n" for n in notes))


def corpus(out: Path, soundfonts: list[Path], seed: int, dry: bool = False) -> Iterator[Path]:
    """Render every program with every soundfont; yields each wav as it is done."""
    out.mkdir(parents=True, exist_ok=True)
    for which, soundfont in enumerate(soundfonts):
        for program in RANGES:
            notes = line(program, seed * 1000 + which)
            wav = out / f"{soundfont.stem}-{program:03d}-{seed}.wav"
            render(notes, program, soundfont, wav, dry)
            write_reference(notes, wav.with_suffix(".txt"))
            yield wav


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train.lines", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--soundfont", type=Path, action="append", required=True, metavar="SF2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="without reverb and chorus")
    options = parser.parse_args()
    for wav in corpus(options.out, options.soundfont, options.seed, options.dry):
        print(wav)


if __name__ == "__main__":
    main()
