# SPDX-License-Identifier: GPL-3.0-or-later
"""Chords and keys against what is known."""

import warnings
from pathlib import Path

import numpy as np

from bridge.errors import EarwireError
from bridge.evaluate.matching import Score, empty
from bridge.evaluate.truth import known_chords, known_keys
from dsp.events import CHORD, CHORDS, KEY, KEYS
from dsp.units import RATE

SOON = 2.0  # a change that is not told by then was not heard [s]
EARLY = 0.3  # nor one that was told so long before [s]
SETTLED = 30.0  # a key counts from here on [s]
GRID = 0.5  # at which keys are compared [s]


def score_chords(truth: Path, events: np.ndarray) -> Score:
    """Chords of one file as they were first said: how long the right ones sounded, and how late changes were told."""
    import mir_eval

    score, known = empty(events, (CHORD,)), known_chords(truth)
    said = events[events["kind"] == CHORD]
    spans = np.array([[start, end] for start, end, _ in known])
    labels = [name for *_, name in known]
    names = [CHORDS[int(number)] for number in said["number"]]
    start, end = float(spans[0, 0]), float(spans[-1, 1])
    times = np.maximum.accumulate(np.concatenate([[start], np.clip(said["time"] / RATE, start, end)]))
    heard = np.stack([times, np.append(times[1:], end)], 1)
    sounding = heard[:, 1] > heard[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a file ends before the last annotated chord
        got = mir_eval.chord.evaluate(
            spans, labels, heard[sounding], [n for n, s in zip(["N", *names], sounding, strict=True) if s]
        )
    for name in ("root", "majmin", "sevenths"):
        score.measures[name] = (float(got[name]), end - start)
    told = said["emitted"] / RATE
    for at, label in zip(spans[1:, 0], labels[1:], strict=True):
        near = np.flatnonzero((told > at - EARLY) & (told < at + SOON))
        right = [k for k in near if mir_eval.chord.majmin([label], [names[k]])[0] == 1]
        if right:
            score.delays.append(float(told[right[0]] - at))
    return score


def score_key(truth: Path, events: np.ndarray) -> Score:
    """The key of one file from SETTLED on: 1 where right, .5 a fifth either side, .3 relative, .2 parallel."""
    import mir_eval

    score, known = empty(events, (KEY,)), known_keys(truth)
    said, worth, exact, n = events[events["kind"] == KEY], 0.0, 0.0, 0
    last = max([known[-1][1], *(said["emitted"] / RATE)]) if np.isinf(known[-1][1]) else known[-1][1]
    if not np.isfinite(last):
        last = float(events["emitted"].max()) / RATE if len(events) else SETTLED + GRID
    for at in np.arange(SETTLED, last, GRID):
        name = next((key for start, end, key in known if start <= at < end), "")
        if not name:
            continue
        n += 1
        before = said[said["emitted"] <= at * RATE]
        if len(before):
            guess = KEYS[int(before["number"][-1])]
            worth_of = mir_eval.key.weighted_score
            value = max(worth_of(name, guess), worth_of(guess, name))  # a fifth either side
            worth, exact = worth + value, exact + (value == 1)
    if not n:
        raise EarwireError(f"{truth}: no key is known after {SETTLED:g} s")
    score.measures["weighted"], score.measures["exact"] = (worth / n, float(n)), (exact / n, float(n))
    return score
