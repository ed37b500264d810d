# SPDX-License-Identifier: GPL-3.0-or-later
"""How well it hears: event lines against annotations, by rules that favour nobody.

Nothing is shifted, and the counts of all files are pooled.

onsets   of the reference within 30 ms are one, and so are ours; a match lies within 50 (25) ms.
drums    by five families, kick snare hat tom cymbal, each matched for itself within 50 (25) ms; hits
         of one family within 10 ms are one. What the reference calls "other" (a side stick, a
         tambourine) takes up to one of our unmatched snares within 50 ms each, which is then
         neither right nor wrong. "micro of three" is kick, snare and hat.
notes    the right semitone, begun within 50 (25) ms; "with offset" also ended within 50 ms or
         20 % of the note's length, whichever is more.
f0       raw pitch and chroma accuracy (50 cents), voicing false alarm and overall accuracy, on a
         grid of 5.8 ms; where the reference lists nothing it is unvoiced.

The delay is `emitted` less the *reference* time of the event that was matched, so that claiming a
late time does not hide a late decision; "waited" is `emitted` less the event's own time, at most.
"""

import csv
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridge.errors import EarwireError, UsageError
from bridge.messages import read
from dsp.events import DRUM, LABELS, NOTE_OFF, NOTE_ON, ONSET, PITCH
from dsp.units import RATE

TASKS = ("onsets", "drums", "notes", "f0")
FAMILIES = ("kick", "snare", "hat", "tom", "cymbal")
ONE_ONSET, ONE_HIT = 0.03, 0.01  # closer than this is one [s]
WINDOWS = {"": 0.05, " 25 ms": 0.025}
GRID = 256 / 44_100  # of the f0 annotations that melody extraction is judged by [s]
SOUND = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
WRITTEN = (".txt", ".csv", ".jsonl", ".mid")

# Words other than ours for what is struck: MDB Drums' classes and subclasses.
FAMILY = {label.name: label.family for label in LABELS} | {family: family for family in FAMILIES}
FAMILY |= {"KD": "kick", "SD": "snare", "HH": "hat", "TT": "tom", "CY": "cymbal", "OT": "other"}
FAMILY |= dict.fromkeys(("SDB", "SDD", "SDF", "SDG", "SDNS"), "snare")
FAMILY |= dict.fromkeys(("CHH", "OHH", "PHH"), "hat") | dict.fromkeys(
    ("HIT", "MHT", "HFT", "LFT", "LOT"), "tom"
)
FAMILY |= dict.fromkeys(("RDC", "RDB", "CRC", "CHC", "SPC"), "cymbal") | dict.fromkeys(
    ("SST", "TMB"), "other"
)
FAMILY_OF_NOTE = {label.note: label.family for label in LABELS} | {35: "kick", 57: "cymbal", 59: "cymbal"}
FAMILY_OF_NOTE |= {41: "tom", 43: "tom", 48: "tom"}

Timed = tuple[float, float]  # when it sounded, when it was known [s]


class Pair(NamedTuple):
    """A recording and what is known about it."""

    name: str
    audio: Path
    truth: Path


class Counts(NamedTuple):
    """What was right, said in vain, and missed."""

    hit: int = 0
    extra: int = 0
    missed: int = 0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def f(self) -> float:
        """F-measure, 0..1; of nothing at all it is 0."""
        return 2 * self.hit / (2 * self.hit + self.extra + self.missed) if any(self) else 0.0


class Score(NamedTuple):
    """One file's: counts by name, measures with their weight by name, delays [s]."""

    counts: dict[str, Counts]
    measures: dict[str, tuple[float, float]]
    delays: list[float]
    waited: float


# What is known


def pairs(folder: Path, task: str, audio: str = "", truth: str = "") -> list[Pair]:
    """Recordings in a folder that have an annotation.

    Two layouts are known. One folder a song, as MDB Drums has it: ``SONG/drums.flac`` (or the file
    that `audio` names, such as ``mix``) with ``SONG/class.txt`` (or the file that `truth` names, such
    as ``subclass``); for f0, ``SONG/stem_NN_*.flac`` with ``SONG/*_STEM_NN.csv``. And plain pairs
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
            told = [p for p in (beside / f"{truth or 'class'}.txt",) if p.is_file()]
        if not told and not (truth or audio):
            told = [p for suffix in WRITTEN if (p := path.with_suffix(suffix)).is_file()]
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


def _is_f0(path: Path) -> bool:
    return "_STEM_" in path.name or "_MELODY" in path.name


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
        try:
            float(fields[0])
        except ValueError:
            if not out:  # column names
                continue
            raise EarwireError(f"{path}: line {number} does not begin with a time") from None
        if len(fields) < least:
            raise EarwireError(f"{path}: line {number} has {len(fields)} columns, and {least} are needed")
        out.append(fields)
    return out


def _events(path: Path) -> np.ndarray:
    """Events of a .jsonl file, (n,) EVENT."""
    from dsp.events import EVENT

    try:
        said = [read(text) for text in path.read_text("utf-8").splitlines() if text.strip()]
    except (OSError, ValueError, KeyError) as error:
        raise EarwireError(f"{path}: no event lines: {error}") from None
    return np.array([event for event in said if event is not None], EVENT)


def _midi_notes(path: Path) -> list[tuple[float, float, int, int]]:
    """(start, end, note, channel) of a MIDI file, in order."""
    import mido

    open_: dict[tuple[int, int], float] = {}
    notes, now = [], 0.0
    try:
        for message in mido.MidiFile(path):
            now += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            key = (message.channel, message.note)
            if key in open_:
                notes.append((open_.pop(key), now, message.note, message.channel))
            if message.type == "note_on" and message.velocity:
                open_[key] = now
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        raise EarwireError(f"{path}: not a MIDI file: {error}") from None
    return sorted(notes)


def known_onsets(path: Path) -> list[float]:
    """When something is struck [s]."""
    if path.suffix == ".jsonl":
        return onsets_said(_events(path))[0]
    if path.suffix == ".mid":
        return [start for start, *_ in _midi_notes(path)]
    return [float(row[0]) for row in _rows(path, 1)]


def _label(path: Path, text: str) -> str:
    if text.replace(".", "", 1).isdigit():
        raise EarwireError(f"{path}: {text} stands where the name of a drum belongs")
    return text


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise EarwireError(f"{path}: {text} stands where a number belongs") from None


def known_drums(path: Path) -> dict[str, list[float]]:
    """When each family is struck [s]; what is struck besides is ``other``."""
    out: dict[str, list[float]] = {}
    if path.suffix == ".jsonl":
        hits = [(e["time"] / RATE, LABELS[e["label"]].family) for e in _events(path) if e["kind"] == DRUM]
    elif path.suffix == ".mid":
        hits = [(start, FAMILY_OF_NOTE.get(note, "other")) for start, _, note, _ in _midi_notes(path)]
    else:
        hits = [(float(row[0]), FAMILY.get(_label(path, row[1]), "other")) for row in _rows(path, 2)]
    for time, family in hits:
        out.setdefault(family, []).append(float(time))
    return out


def known_notes(path: Path) -> list[tuple[float, float, float]]:
    """(start, end [s], MIDI note)."""
    if path.suffix == ".jsonl":
        return [(on, off, note) for on, off, note, _ in notes_said(_events(path))]
    if path.suffix == ".mid":
        return [(on, off, float(note)) for on, off, note, channel in _midi_notes(path) if channel != 9]
    rows = [[_number(path, field) for field in row[:3]] for row in _rows(path, 3)]
    return [(start, end, note) for start, end, note in rows]


def known_f0(path: Path) -> np.ndarray:
    """(n, 2): time [s], pitch [Hz] or 0."""
    if path.suffix == ".jsonl":
        pitch = _events(path)
        pitch = pitch[pitch["kind"] == PITCH]
        return np.stack([pitch["time"] / RATE, pitch["number"]], axis=1)
    rows = [[_number(path, field) for field in row[:2]] for row in _rows(path, 2)]
    return np.array(rows).reshape(-1, 2)


KNOWN: dict[str, Callable[[Path], Any]] = {
    "onsets": known_onsets,
    "drums": known_drums,
    "notes": known_notes,
    "f0": known_f0,
}


def readable(found: Iterable[Pair], task: str) -> tuple[list[Pair], list[EarwireError]]:
    """Those pairs whose annotation is one of `task`, and what is wrong with the others."""
    good, wrong = [], []
    for pair in found:
        try:
            KNOWN[task](pair.truth)
        except EarwireError as error:
            wrong.append(error)
        else:
            good.append(pair)
    return good, wrong


# What was heard


def onsets_said(events: np.ndarray) -> tuple[list[float], list[Timed]]:
    """Times, and times with when they were known, of all that begins."""
    begun = events[np.isin(events["kind"], (ONSET, DRUM, NOTE_ON))]
    timed = [(float(e["time"]) / RATE, float(e["emitted"]) / RATE) for e in begun]
    return [time for time, _ in timed], timed


def drums_said(events: np.ndarray) -> dict[str, list[Timed]]:
    out: dict[str, list[Timed]] = {}
    for e in events[events["kind"] == DRUM]:
        timed = (float(e["time"]) / RATE, float(e["emitted"]) / RATE)
        out.setdefault(LABELS[e["label"]].family, []).append(timed)
    return out


def notes_said(events: np.ndarray) -> list[tuple[float, float, float, float]]:
    """(start, end, note, when it was known) of the notes that ended."""
    begun, out = {}, []
    for e in events:
        if e["kind"] == NOTE_ON:
            begun[int(e["id"])] = e
        elif e["kind"] == NOTE_OFF and (on := begun.pop(int(e["ref"]), None)) is not None:
            times = (on["time"] / RATE, e["time"] / RATE, round(float(on["number"])), on["emitted"] / RATE)
            out.append((float(times[0]), float(times[1]), float(times[2]), float(times[3])))
    return out


# The comparison


def merged(timed: Iterable[Timed], gap: float) -> list[Timed]:
    """In order, each closer than `gap` [s] to the one before folded into it."""
    out: list[Timed] = []
    for event in sorted(timed):
        if not out or event[0] - out[-1][0] > gap:
            out.append(event)
    return out


def matched(truth: Sequence[float], said: Sequence[float], window: float) -> list[tuple[int, int]]:
    """The most pairs of a true and a said time within `window` [s]."""
    import mir_eval

    if not len(truth) or not len(said):
        return []
    return list(mir_eval.util.match_events(np.asarray(truth, float), np.asarray(said, float), window))


def _compared(
    truth: Sequence[float], said: Sequence[Timed], name: str, score: Score, excuse: Sequence[float] = ()
) -> None:
    """Count one class of events into `score`."""
    times = [time for time, _ in said]
    for suffix, window in WINDOWS.items():
        found = matched(truth, times, window)
        taken = {j for _, j in found}
        excused = len(matched(excuse, [t for j, t in enumerate(times) if j not in taken], 0.05))
        score.counts[name + suffix] = Counts(
            len(found), len(said) - excused - len(found), len(truth) - len(found)
        )
        if not suffix:
            score.delays.extend(said[j][1] - truth[i] for i, j in found)


def _empty(events: np.ndarray, kinds: Sequence[int]) -> Score:
    of_them = events[np.isin(events["kind"], kinds)]
    waited = float((of_them["emitted"] - of_them["time"]).max()) / RATE if len(of_them) else 0.0
    return Score({}, {}, [], waited)


def score_onsets(truth: Path, events: np.ndarray) -> Score:
    score = _empty(events, (ONSET, DRUM, NOTE_ON))
    known = [time for time, _ in merged([(t, t) for t in known_onsets(truth)], ONE_ONSET)]
    _compared(known, merged(onsets_said(events)[1], ONE_ONSET), "onsets", score)
    return score


def score_drums(truth: Path, events: np.ndarray) -> Score:
    score, known, said = _empty(events, (DRUM,)), known_drums(truth), drums_said(events)
    for family in FAMILIES:
        times = [t for t, _ in merged([(t, t) for t in known.get(family, [])], ONE_HIT)]
        excuse = sorted(known.get("other", [])) if family == "snare" else ()
        _compared(times, merged(said.get(family, []), ONE_HIT), family, score, excuse)
    return score


def score_notes(truth: Path, events: np.ndarray) -> Score:
    import mir_eval

    score, known, said = _empty(events, (NOTE_ON,)), known_notes(truth), notes_said(events)

    def spans(notes: Sequence[Sequence[float]]) -> np.ndarray:
        return np.array([[max(0.0, n[0]), max(n[1], n[0] + 0.01)] for n in notes])

    def pitches(notes: Sequence[Sequence[float]]) -> np.ndarray:
        return np.array([mir_eval.util.midi_to_hz(round(n[2])) for n in notes])

    for name, tolerance, offset in (
        ("notes", 0.05, None),
        ("notes 25 ms", 0.025, None),
        ("notes with offset", 0.05, 0.2),
    ):
        found: list[tuple[int, int]] = []
        if known and said:
            found = mir_eval.transcription.match_notes(
                spans(known),
                pitches(known),
                spans(said),
                pitches(said),
                onset_tolerance=tolerance,
                pitch_tolerance=49.0,
                offset_ratio=offset,
            )
        score.counts[name] = Counts(len(found), len(said) - len(found), len(known) - len(found))
        if name == "notes":
            score.delays.extend(said[j][3] - known[i][0] for i, j in found)
    return score


def score_f0(truth: Path, events: np.ndarray) -> Score:
    import mir_eval

    score, known = _empty(events, (PITCH,)), known_f0(truth)
    said = events[events["kind"] == PITCH]
    if not len(known):
        return score
    times, heard = said["time"] / RATE, said["number"].astype(float)
    if not len(said):  # never a pitch: unvoiced throughout
        times, heard = np.array([0.0, known[-1, 0]]), np.zeros(2)
    grid = np.arange(0, max(known[-1, 0], times[-1]), GRID)
    near = np.clip(np.searchsorted(known[:, 0], grid), 1, max(1, len(known) - 1))
    near = np.minimum(near, len(known) - 1)
    near -= grid - known[near - 1, 0] < known[near, 0] - grid
    listed = np.abs(known[near, 0] - grid) < GRID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is silence throughout
        got = mir_eval.melody.evaluate(grid, np.where(listed, known[near, 1], 0.0), times, heard)
    for name in ("Raw Pitch Accuracy", "Raw Chroma Accuracy", "Voicing False Alarm", "Overall Accuracy"):
        score.measures[name.lower()] = (float(got[name]), float(len(grid)))
    score.delays.extend((said["emitted"] - said["time"]) / RATE)
    return score


SCORES: dict[str, Callable[[Path, np.ndarray], Score]] = {
    "onsets": score_onsets,
    "drums": score_drums,
    "notes": score_notes,
    "f0": score_f0,
}


def pooled(scores: Sequence[Score]) -> dict[str, Any]:
    """All files as one.

    Returns
    -------
    dict
        ``scores``: {name: {f, precision, recall, hit, extra, missed}}; ``measures``: {name: value},
        f0 only; ``delay_ms``: {median, p90, max, n}, null where nothing matched; ``waited_ms``: the
        largest ``emitted - time``.
    """
    counts: dict[str, Counts] = {}
    for score in scores:
        for name, count in score.counts.items():
            counts[name] = counts.get(name, Counts()).plus(count)
    if "kick" in counts:
        for suffix in WINDOWS:
            for name, families in (("micro of five", FAMILIES), ("micro of three", FAMILIES[:3])):
                total = Counts()
                for family in families:
                    total = total.plus(counts[family + suffix])
                counts[name + suffix] = total
    measures = {}
    for name in dict.fromkeys(name for score in scores for name in score.measures):
        values, weights = zip(*(s.measures[name] for s in scores if name in s.measures), strict=True)
        measures[name] = round(float(np.average(values, weights=weights)), 4)
    delays = 1000 * np.array([delay for score in scores for delay in score.delays])
    return {
        "scores": {
            name: {
                "f": round(c.f, 4),
                "precision": round(c.hit / max(1, c.hit + c.extra), 4),
                "recall": round(c.hit / max(1, c.hit + c.missed), 4),
                **c._asdict(),
            }
            for name, c in counts.items()
        },
        "measures": measures,
        "delay_ms": {
            "median": round(float(np.median(delays)), 2),
            "p90": round(float(np.percentile(delays, 90)), 2),
            "max": round(float(delays.max()), 2),
            "n": delays.size,
        }
        if delays.size
        else None,
        "waited_ms": round(1000 * max((score.waited for score in scores), default=0.0), 2),
    }
