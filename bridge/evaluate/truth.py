# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in a folder, and what their annotations say."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridge.errors import EarwireError, UsageError
from bridge.evaluate.said import drums_said, notes_said, onsets_said
from bridge.messages import family_of, read
from dsp.events import BEAT, EVENT, KEYS, LABELS, PITCH, Label
from dsp.units import RATE

FAMILIES = ("kick", "snare", "hat", "tom", "cymbal")
OTHER = "other"  # the family, and the label of what has no name here
SOUND = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
WRITTEN = (".txt", ".lab", ".csv", ".jsonl", ".mid")
DRUM_CHANNEL = 9  # channel 10, counted from 0

# What is struck, in words other than ours: family and label, "" where the word names a family alone.
WORDS = {family: (family, "") for family in (*FAMILIES, OTHER)}
WORDS |= {label.name: (label.family, label.name) for label in LABELS}
# MDB Drums, its classes and then its subclasses; a side stick is none of its snares.
WORDS |= {"KD": WORDS["kick"], "SD": WORDS["snare"], "HH": WORDS["hat"]}
WORDS |= {"TT": WORDS["tom"], "CY": WORDS["cymbal"], "OT": WORDS[OTHER]}
WORDS |= dict.fromkeys(("SDB", "SDD", "SDF", "SDG", "SDNS"), WORDS["snare"])
WORDS |= {"CHH": WORDS["hat-closed"], "OHH": WORDS["hat-open"], "PHH": WORDS["hat-pedal"]}
WORDS |= {"HIT": WORDS["tom-high"], "MHT": WORDS["tom-mid"]}
WORDS |= dict.fromkeys(("LOT", "HFT", "LFT"), WORDS["tom-low"])
WORDS |= {"RDC": WORDS["ride"], "RDB": WORDS["ride-bell"], "CRC": WORDS["crash"]}
WORDS |= {"CHC": WORDS["china"], "SPC": WORDS["splash"]}
WORDS |= {"SST": (OTHER, "snare-side"), "TMB": WORDS["tambourine"]}

# Notes that an instrument has besides those it is played by: second drums, rims and edges.
BESIDES = {
    "gm": {35: "kick", 41: "tom-low", 43: "tom-low", 48: "tom-mid", 57: "crash", 59: "ride", 61: "bongo"}
    | {62: "conga", 64: "conga", 69: "shaker", 82: "shaker"},
    "v-drums": {22: "hat-closed", 26: "hat-open", 47: "tom-mid", 50: "tom-high", 58: "tom-low"}
    | {52: "crash", 55: "crash", 57: "crash", 59: "ride"},
}


class Pair(NamedTuple):
    """A recording and what is known about it."""

    name: str
    audio: Path
    truth: Path


class Hit(NamedTuple):
    """A drum that was struck."""

    time: float  # [s]
    family: str
    label: str  # "" where the annotation names the family alone
    velocity: float = math.nan  # 0..1; NaN where it is not known


class MidiNote(NamedTuple):
    start: float  # [s]
    end: float  # [s]
    note: int
    channel: int  # 0..15
    velocity: float  # 0..1


def pairs(folder: Path, task: str, audio: str = "", truth: str = "") -> list[Pair]:
    """Recordings in a folder that have an annotation.

    Two layouts are known. One folder a song, as MDB Drums has it: ``SONG/drums.flac`` (or the file
    that `audio` names, such as ``mix``) with ``SONG/class.txt`` (or the file that `truth` names, such
    as ``subclass``); for f0, ``SONG/stem_NN_*.flac`` with ``SONG/*_STEM_NN.csv``; for beats,
    ``SONG/beats.txt``. And plain pairs
    that share a name, anywhere below: ``x.wav`` with ``x.txt``, ``.csv``, ``.jsonl`` or ``.mid``.

    Raises
    ------
    UsageError
        Where the folder is none, or holds no pair.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUND):
        beside = path.parent
        told: list[Path] = []
        if task == "f0":
            if path.name.startswith("stem_") and (not audio or audio == path.stem):
                told = sorted(beside.glob(f"*_STEM_{path.stem.split('_')[1]}.csv"))
        elif path.stem == (audio or "drums"):
            told = _written(
                beside / (truth or {"beats": "beats", "chords": "chords", "key": "key"}.get(task, "class"))
            )
        if not told and not (truth or audio):
            told = _written(path.with_suffix(""))
        if told and told[0].stem == path.stem:
            found.append(Pair(path.relative_to(folder).with_suffix("").as_posix(), path, told[0]))
        elif told:
            found.append(Pair(f"{beside.name}/{path.stem}", path, told[0]))
    found = [pair for pair in found if task == "f0" or pair.truth.suffix != ".csv" or not _is_f0(pair.truth)]
    if not found:
        raise UsageError(
            f"{folder}: no recording there has an annotation for {task}",
            "put x.txt, x.csv, x.jsonl or x.mid beside x.wav; earwire evaluate --help says what is in them",
        )
    return found


def _written(stem: Path) -> list[Path]:
    paths = (stem.with_name(stem.name + suffix) for suffix in WRITTEN)
    return [path for path in paths if path.is_file()]


def _is_f0(path: Path) -> bool:
    return "_STEM_" in path.name or "_MELODY" in path.name


def readable(found: Iterable[Pair], known: Callable[[Path], Any]) -> tuple[list[Pair], list[EarwireError]]:
    """Those pairs whose annotation `known` can read, and what is wrong with the others."""
    good, wrong = [], []
    for pair in found:
        try:
            known(pair.truth)
        except EarwireError as error:
            wrong.append(error)
        else:
            good.append(pair)
    return good, wrong


# Files


def _rows(path: Path, least: int) -> list[list[str]]:
    """Fields of a text or CSV file, its head and remarks left out."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EarwireError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'no text'}"
        ) from None
    out: list[list[str]] = []
    for number, row in enumerate(csv.reader(text.replace("\t", ",").splitlines()), 1):
        fields = [field for part in row for field in part.split()]
        if not fields or fields[0].startswith("#"):
            continue
        time = _float(fields[0])
        if not math.isfinite(time):
            if not out and math.isnan(time):  # column names
                continue
            raise EarwireError(f"{path}: line {number} does not begin with a time")
        if len(fields) < least:
            raise EarwireError(f"{path}: line {number} has {len(fields)} columns, and {least} are needed")
        out.append(fields)
    return out


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _number(path: Path, text: str) -> float:
    number = _float(text)
    if not math.isfinite(number):
        raise EarwireError(f"{path}: {text} stands where a number belongs")
    return number


def _events(path: Path, labels: Sequence[Label] = LABELS) -> np.ndarray:
    """Events of a .jsonl file, (n,) EVENT."""
    try:
        lines = path.read_text("utf-8").splitlines()
        said = [read(text, labels=labels) for text in lines if text.strip()]
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise EarwireError(f"{path}: no event lines: {error}") from None
    return np.array([event for event in said if event is not None], EVENT)


def _midi_notes(path: Path) -> list[MidiNote]:
    """Notes of a MIDI file, in order; what never ends lasts to its end."""
    import mido

    sounding: dict[tuple[int, int], tuple[float, float]] = {}
    notes, now = [], 0.0

    def end(key: tuple[int, int]) -> None:
        start, velocity = sounding.pop(key)
        notes.append(MidiNote(start, now, key[1], key[0], velocity))

    try:
        for message in mido.MidiFile(path):
            now += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            key = (message.channel, message.note)
            if key in sounding:
                end(key)
            if message.type == "note_on" and message.velocity:
                sounding[key] = now, message.velocity / 127
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        raise EarwireError(f"{path}: not a MIDI file: {error}") from None
    for key in list(sounding):
        end(key)
    return sorted(notes)


# What is known


def known_onsets(path: Path) -> list[float]:
    """When something is struck [s]."""
    if path.suffix == ".jsonl":
        return onsets_said(_events(path))[0]
    if path.suffix == ".mid":
        return [note.start for note in _midi_notes(path)]
    return [float(row[0]) for row in _rows(path, 1)]


def notes_read(instrument: str = "gm") -> dict[int, str]:
    """Label of each note that a drum instrument plays or is played by."""
    from bridge.preset import notes_of  # kernels are imported with it; --help need not wait for them

    played = {note: name for name, note in reversed(notes_of(instrument).items())}
    return played | BESIDES.get(instrument, {})


def known_drums(
    path: Path, labels: Sequence[Label] = LABELS, notes: Mapping[int, str] | None = None
) -> list[Hit]:
    """What is struck, in order.

    Parameters
    ----------
    path
        Text or CSV of times, words and perhaps velocities; event lines, with their corrections
        taken over; or a MIDI file, of which channel 10 counts alone if it has any.
    labels
        Labels that may be named, those of a kit's pads among them.
    notes
        What the notes of a MIDI file mean; General MIDI where left out.
    """
    if path.suffix == ".jsonl":
        hits = drums_said(_events(path, labels), labels, refined=True)
        return [Hit(hit.time, hit.family, hit.label, hit.velocity) for hit in hits]
    if path.suffix == ".mid":
        names, played = notes_read() if notes is None else notes, _midi_notes(path)
        drums = [note for note in played if note.channel == DRUM_CHANNEL] or played
        return [Hit(n.start, *_struck(names.get(n.note, ""), labels), n.velocity) for n in drums]
    rows = _rows(path, 2)
    for row in rows:
        if row[1].replace(".", "", 1).isdigit():
            raise EarwireError(f"{path}: {row[1]} stands where the name of a drum belongs")
    velocities = _velocities(rows)
    return sorted(
        Hit(float(row[0]), *_struck(row[1], labels), velocity)
        for row, velocity in zip(rows, velocities, strict=True)
    )


def _struck(word: str, labels: Sequence[Label]) -> tuple[str, str]:
    """Family and label that a word stands for."""
    if word in WORDS:
        return WORDS[word]
    if any(label.name == word for label in labels):
        return family_of(word), word
    return OTHER, OTHER


def _velocities(rows: Sequence[Sequence[str]], at: int = 2) -> list[float]:
    """A column of velocities, 0..1, if that is what it holds; of MIDI where it goes beyond 1."""
    column = [_float(row[at]) if len(row) > at else math.nan for row in rows]
    most = max((v for v in column if not math.isnan(v)), default=0.0)
    if most > 127 or any(v < 0 for v in column):
        return [math.nan] * len(column)
    return [v / (127 if most > 1 else 1) for v in column]


def names_labels(hits: Iterable[Hit]) -> bool:
    """Whether an annotation says which drum it was, and not just of which family."""
    return all(hit.label for hit in hits)


def known_notes(path: Path) -> list[tuple[float, float, float, float]]:
    """(start, end [s], MIDI note, velocity 0..1 or NaN where it is not told)."""
    if path.suffix == ".jsonl":
        return [(n.start, n.end, n.note, n.velocity) for n in notes_said(_events(path))]
    if path.suffix == ".mid":
        played = (n for n in _midi_notes(path) if n.channel != DRUM_CHANNEL)
        return [(n.start, n.end, float(n.note), n.velocity) for n in played]
    rows = _rows(path, 3)
    spans = [[_number(path, field) for field in row[:3]] for row in rows]
    velocities = _velocities(rows, 3)
    return [(*span, velocity) for span, velocity in zip(spans, velocities, strict=True)]  # type: ignore[misc]


def known_f0(path: Path) -> np.ndarray:
    """(n, 2): time [s], pitch [Hz] or 0."""
    if path.suffix == ".jsonl":
        pitch = _events(path)
        pitch = pitch[pitch["kind"] == PITCH]
        return np.stack([pitch["time"] / RATE, pitch["number"]], axis=1)
    rows = [[_number(path, field) for field in row[:2]] for row in _rows(path, 2)]
    return np.array(rows).reshape(-1, 2)


def known_beats(path: Path) -> list[tuple[float, int]]:
    """(time [s], place in the bar from 1, or 0 where that is not known) of each beat, in order."""
    if path.suffix == ".jsonl":
        beats = _events(path)
        beats = beats[beats["kind"] == BEAT]
        return sorted((float(e["time"]) / RATE, int(e["value"])) for e in beats)
    if path.suffix == ".mid":
        raise EarwireError(f"{path}: beats are read from text or event lines")
    rows = _rows(path, 1)
    return sorted((float(row[0]), int(_number(path, row[1])) if len(row) > 1 else 0) for row in rows)


def known_chords(path: Path) -> list[tuple[float, float, str]]:
    """(start, end [s], chord) as a lab file has them: ``0.0 2.4 C:maj``."""
    import mir_eval

    rows = [(_number(path, row[0]), _number(path, row[1]), row[2]) for row in _rows(path, 3)]
    for start, end, name in rows:
        try:
            mir_eval.chord.encode(name)
        except mir_eval.chord.InvalidChordException:
            raise EarwireError(f"{path}: {name} stands where a chord belongs") from None
        if end <= start:
            raise EarwireError(f"{path}: a chord ends at {end:g} s, before it has begun")
    if not rows:
        raise EarwireError(f"{path}: names no chord")
    return rows


def known_keys(path: Path) -> list[tuple[float, float, str]]:
    """(start, end [s], key): one for all, ``A minor``, or rows of start, end and key, ``0.0 90.5 Bb:maj``."""
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise EarwireError(f"{path}: cannot be read") from None
    if text and not text[0].isdigit():
        return [(0.0, math.inf, _key(path, text))]
    rows = _rows(path, 3)
    found = [(_number(path, row[0]), _number(path, row[1]), _key(path, " ".join(row[2:]))) for row in rows]
    if not found:
        raise EarwireError(f"{path}: names no key")
    return found


def _key(path: Path, text: str) -> str:
    """A key as we name it."""
    root, _, scale = text.replace(":", " ").partition(" ")
    root = {"Db": "C#", "D#": "Eb", "Gb": "F#", "G#": "Ab", "A#": "Bb"}.get(root, root)
    name = f"{root} {'minor' if scale.strip().startswith('min') else 'major'}"
    if name not in KEYS:
        raise EarwireError(f"{path}: {text[:40]!a} stands where a key belongs")
    return name


KNOWN: dict[str, Callable[[Path], Any]] = {
    "onsets": known_onsets,
    "drums": known_drums,
    "notes": known_notes,
    "f0": known_f0,
    "beats": known_beats,
    "chords": known_chords,
    "key": known_keys,
}
