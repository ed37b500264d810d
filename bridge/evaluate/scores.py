# SPDX-License-Identifier: GPL-3.0-or-later
"""Strokes and pitch against what is known."""

import warnings
from pathlib import Path

import numpy as np

from bridge.evaluate.matching import WINDOWS, Score, compared, empty, merged
from bridge.evaluate.said import onsets_said
from bridge.evaluate.truth import known_f0, known_onsets
from dsp.events import DRUM, NOTE_ON, ONSET, PITCH
from dsp.units import RATE

ONE_ONSET = 0.03  # closer than this is one [s]
GRID = 256 / 44_100  # of the f0 annotations that melody extraction is judged by [s]


def score_onsets(truth: Path, events: np.ndarray) -> Score:
    score = empty(events, (ONSET, DRUM, NOTE_ON))
    known = [time for (time,) in merged([(t,) for t in known_onsets(truth)], ONE_ONSET)]
    said = merged(onsets_said(events)[1], ONE_ONSET)
    for suffix, window in WINDOWS.items():
        counts, found = compared(known, [time for time, _ in said], window)
        score.counts["onsets" + suffix] = counts
        if not suffix:
            score.delays.extend(said[j][1] - known[i] for i, j in found)
    return score


def score_f0(truth: Path, events: np.ndarray) -> Score:
    import mir_eval

    score, known = empty(events, (PITCH,)), known_f0(truth)
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
