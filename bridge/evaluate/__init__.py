# SPDX-License-Identifier: GPL-3.0-or-later
"""How well it hears: event lines against annotations, by rules that favour nobody.

Nothing is shifted, and the counts of all files are pooled.

onsets   of the reference within 30 ms are one, and so are ours; a match lies within 50 (25) ms.
drums    by five families, kick snare hat tom cymbal, each matched for itself within 50 (25) ms; hits
         of one family within 10 ms are one. What the reference calls "other" (a side stick, a
         tambourine) takes up to one of our unmatched snares within 50 ms each, which is then
         neither right nor wrong. "micro of three" is kick, snare and hat.
labels   where the annotation names drums and not just families: each label for itself within 50 ms,
         nothing excused; "macro" is the mean F of the labels that are struck at all.
confusion  what was struck against what was said: first what agrees by label is matched, of the rest
         what agrees by family, then whatever else lies within 50 ms.
velocity of hits whose family is right, against the played velocity where the annotation has it.
refined  all of these again, once the refine events have come.
notes    the right semitone, begun within 50 (25) ms; "with offset" also ended within 50 ms or
         20 % of the note's length, whichever is more; "and velocity" also struck as hard, within 0.1
         of the range played, where the annotation has velocities. Quiet notes are those softer than
         60 of 127, notes struck again those whose key was struck within the second before; the rank
         correlation of velocities is each file's own, weighted by its notes.
f0       raw pitch and chroma accuracy (50 cents), voicing false alarm and overall accuracy, on a
         grid of 5.8 ms; where the reference lists nothing it is unvoiced.
beats    within 70 ms, from 5 s on; "downbeats" where the annotation counts in bars; CMLc to AMLt as
         mir_eval has them, each song counting the same. A beat is foretold, so its delay is below 0.
chords   "majmin" is the part of the time at which the right major or minor chord was said, by `time`, as first
         said; root and sevenths as mir_eval has them. The delay is of those changes that were told.
key      from 30 s on, every half second: "weighted" gives 1 for the key, .5 for one a fifth either side,
         .3 for the relative, .2 for the parallel one; before a key is said it gives nothing.

The delay is `emitted` less the *reference* time of the event that was matched, so that claiming a
late time does not hide a late decision; "waited" is `emitted` less the event's own time, at most.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bridge.evaluate.beats import score_beats
from bridge.evaluate.drums import score_drums
from bridge.evaluate.harmony import score_chords, score_key
from bridge.evaluate.matching import Counts, Score
from bridge.evaluate.notes import score_notes
from bridge.evaluate.pooling import pooled
from bridge.evaluate.scores import GRID, score_f0, score_onsets
from bridge.evaluate.truth import KNOWN, Pair, known_drums, known_notes, notes_read, pairs, readable

SCORES: dict[str, Callable[[Path, np.ndarray], Score]] = {
    "onsets": score_onsets,
    "drums": score_drums,
    "notes": score_notes,
    "f0": score_f0,
    "beats": score_beats,
    "chords": score_chords,
    "key": score_key,
}
TASKS = tuple(SCORES)

__all__ = [
    "GRID",
    "KNOWN",
    "SCORES",
    "TASKS",
    "Counts",
    "Pair",
    "Score",
    "known_drums",
    "known_notes",
    "notes_read",
    "pairs",
    "pooled",
    "readable",
    "score_beats",
    "score_chords",
    "score_drums",
    "score_f0",
    "score_key",
    "score_notes",
    "score_onsets",
]
