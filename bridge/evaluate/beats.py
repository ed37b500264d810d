# SPDX-License-Identifier: GPL-3.0-or-later
"""Beats and bars against what is known."""

from pathlib import Path

import numpy as np

from bridge.evaluate.matching import Score, compared, empty
from bridge.evaluate.truth import known_beats
from dsp.events import BEAT
from dsp.units import RATE

WITHIN = 0.07  # a beat lies within this [s]
SETTLED = 5.0  # before this, nothing counts [s]


def score_beats(truth: Path, events: np.ndarray) -> Score:
    """Beats of one file, from SETTLED on; bars where the annotation has them."""
    import mir_eval

    errors: list[float] = []
    score, known = empty(events, (BEAT,))._replace(errors=errors), known_beats(truth)
    known = [row for row in known if row[0] >= SETTLED]
    said = events[(events["kind"] == BEAT) & (events["time"] >= SETTLED * RATE)]
    said = said[np.argsort(said["time"], kind="stable")]
    times, told = [time for time, _ in known], (said["time"] / RATE).tolist()
    score.counts["beats"], found = compared(times, told, WITHIN)
    for i, j in found:
        score.delays.append(float(said[j]["emitted"]) / RATE - times[i])
        errors.append(told[j] - times[i])
    if any(place for _, place in known):
        bars = [time for time, place in known if place == 1]
        score.counts["downbeats"], _ = compared(
            bars, (said["time"][said["value"] == 1] / RATE).tolist(), WITHIN
        )
    if len(times) > 1:
        continued = (0.0, 0.0, 0.0, 0.0)
        if len(told) > 1:
            continued = mir_eval.beat.continuity(np.array(times), np.array(told))
        for name, value in zip(("CMLc", "CMLt", "AMLc", "AMLt"), continued, strict=True):
            score.measures[name] = (float(value), 1.0)
    return score
