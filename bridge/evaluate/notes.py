# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes against what was played: their beginnings, ends and velocities, and those that are hard to hear."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bridge.evaluate.matching import WINDOW, Counts, Score, empty
from bridge.evaluate.said import notes_said
from bridge.evaluate.truth import known_notes
from dsp.events import NOTE_ON

QUIET = 60 / 127  # a softer note is a quiet one
AGAIN = 1.0  # a key that was struck so lately is struck again [s]
FEWEST = 5  # velocities that can be ranked

Pairs = list[tuple[int, int]]


class _Notes(NamedTuple):
    """As mir_eval takes them."""

    spans: np.ndarray  # (n, 2) [s]
    pitches: np.ndarray  # (n,) [Hz]
    velocities: np.ndarray  # (n,) 0..127


def _notes(rows: Sequence[tuple[float, ...]], velocities: Sequence[float]) -> _Notes:
    import mir_eval

    spans = np.array([[max(0.0, row[0]), max(row[1], row[0] + 0.01)] for row in rows])
    pitches = np.array([mir_eval.util.midi_to_hz(round(row[2])) for row in rows])
    return _Notes(spans, pitches, 127 * np.array(velocities))


def _matched(known: _Notes, said: _Notes, tolerance: float, offset: float | None, velocity: bool) -> Pairs:
    import mir_eval

    if not len(known.spans) or not len(said.spans):
        return []
    limits = {"onset_tolerance": tolerance, "pitch_tolerance": 49.0, "offset_ratio": offset}
    if not velocity:
        found = mir_eval.transcription.match_notes(*known[:2], *said[:2], **limits)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is but one velocity
            found = mir_eval.transcription_velocity.match_notes(*known, *said, **limits)
    return list(found)


def score_notes(truth: Path, events: np.ndarray) -> Score:
    score, played, heard = empty(events, (NOTE_ON,)), known_notes(truth), notes_said(events)
    known = _notes(played, [row[3] for row in played])
    said = _notes(heard, [note.velocity for note in heard])
    told = bool(played) and not np.isnan(known.velocities).any()
    ways = [
        ("notes", WINDOW, None, False),
        ("notes 25 ms", 0.025, None, False),
        ("notes with offset", WINDOW, 0.2, False),
    ]
    if told:
        ways.append(("notes with offset and velocity", WINDOW, 0.2, True))
    for name, tolerance, offset, velocity in ways:
        found = _matched(known, said, tolerance, offset, velocity)
        score.counts[name] = Counts(len(found), len(said.spans) - len(found), len(played) - len(found))
        if name == "notes":
            score.delays.extend(heard[j].known - played[i][0] for i, j in found)
            score.measures.update(_measures(played, known, said, found, told))
    return score


def _measures(
    played: Sequence[tuple[float, ...]], known: _Notes, said: _Notes, found: Pairs, told: bool
) -> dict[str, tuple[float, float]]:
    """Recall of what is hard to hear, and how velocities agree, each with its weight."""
    out: dict[str, tuple[float, float]] = {}
    hit = np.zeros(len(played), bool)
    hit[[i for i, _ in found]] = True
    again, last = np.zeros(len(played), bool), dict[float, float]()
    for i in sorted(range(len(played)), key=lambda i: played[i][0]):
        start, note = played[i][0], round(played[i][2])
        again[i] = start - last.get(note, -np.inf) <= AGAIN
        last[note] = start
    if again.any():
        out["recall of notes struck again"] = (float(hit[again].mean()), float(again.sum()))
    if not told:
        return out
    quiet = known.velocities < 127 * QUIET
    if quiet.any():
        out["recall of quiet notes"] = (float(hit[quiet].mean()), float(quiet.sum()))
    true, guess = (
        velocities[[pair[k] for pair in found]] for k, velocities in enumerate((known[2], said[2]))
    )
    if len(found) >= FEWEST and np.ptp(true) > 0 and np.ptp(guess) > 0:
        from scipy.stats import rankdata

        rank = np.corrcoef(rankdata(true), rankdata(guess))[0, 1]
        out["velocity rank correlation"] = (float(rank), float(len(found)))
        out["velocity error"] = (float(np.median(np.abs(true - guess)) / 127), float(len(found)))
    return out
