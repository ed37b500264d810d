# SPDX-License-Identifier: GPL-3.0-or-later
"""Drums against what was struck: by family, by label, and how hard."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bridge.evaluate.matching import (
    WINDOW,
    WINDOWS,
    Counts,
    Names,
    Score,
    compared,
    empty,
    matched,
    merged,
    waited,
)
from bridge.evaluate.said import Said, drums_said
from bridge.evaluate.truth import FAMILIES, OTHER, Hit, known_drums, names_labels
from dsp.events import DRUM, LABELS, REFINE, Label

ONE_HIT = 0.01  # closer than this is one [s]
MISSED, EXTRA = "missed", "extra"  # what stands in the confusion for nothing said, and nothing struck

Name = Callable[[Hit | Said], str]
Match = tuple[Hit, Said]


def score_drums(
    truth: Path,
    events: np.ndarray,
    labels: Sequence[Label] = LABELS,
    notes: Mapping[int, str] | None = None,
) -> Score:
    """Drums of one file.

    Parameters
    ----------
    truth
        Its annotation, as `known_drums` reads it.
    events : (n,) EVENT
        What was heard.
    labels
        Labels by row; those of a kit's pads among them.
    notes
        What the notes of a MIDI annotation mean; General MIDI where left out.
    """
    known = known_drums(truth, labels, notes)
    first, matches = _names(known, drums_said(events, labels))
    last, _ = _names(known, drums_said(events, labels, refined=True))
    refines = events[events["kind"] == REFINE]
    last = last._replace(changes=len(refines), waited=waited(refines))
    delays = [said.known - hit.time for hit, said in matches]
    return empty(events, (DRUM,))._replace(counts=first.families, delays=delays, names=(first, last))


def _names(known: Sequence[Hit], said: Sequence[Said]) -> tuple[Names, list[Match]]:
    """What names and velocities are worth, and the pairs whose family is right."""
    families: dict[str, Counts] = {}
    matches: list[Match] = []
    for family in FAMILIES:
        excuse = sorted(hit.time for hit in known if hit.family == OTHER) if family == "snare" else ()
        struck, heard = _of(known, family, _family), _of(said, family, _family)
        for suffix, window in WINDOWS.items():
            counts, found = compared(_times(struck), _times(heard), window, excuse)
            families[family + suffix] = counts
            if not suffix:
                matches += [(struck[i], heard[j]) for i, j in found]
    velocities = [
        (hit.label or hit.family, hit.velocity, said.velocity)
        for hit, said in matches
        if not math.isnan(hit.velocity)
    ]
    mistaken = _confusion(known, said, _family, ())
    if not names_labels(known):
        return Names(families, None, mistaken, Counter(), velocities), matches
    labels = {}
    for label in dict.fromkeys([hit.label for hit in known] + [hit.label for hit in said]):
        if label != OTHER:
            labels[label], _ = compared(
                _times(_of(known, label, _label)), _times(_of(said, label, _label)), WINDOW
            )
    by_label = _confusion(known, said, _label, (_kin,))
    return Names(families, labels, mistaken, by_label, velocities), matches


def _family(hit: Hit | Said) -> str:
    return hit.family


def _label(hit: Hit | Said) -> str:
    return hit.label


def _kin(hit: Hit | Said) -> str:
    """What a label is nearest to; a side stick that counts for no snare is kin to one all the same."""
    return "snare" if hit.label == "snare-side" else hit.family


def _of(hits: Sequence[Hit] | Sequence[Said], name: str, of: Name) -> list:
    """Hits of one name, those close together as one."""
    return merged([hit for hit in hits if of(hit) == name], ONE_HIT)


def _times(hits: Sequence[Hit] | Sequence[Said]) -> list[float]:
    return [hit.time for hit in hits]


def _confusion(
    known: Sequence[Hit], said: Sequence[Said], name: Name, nearly: Sequence[Name]
) -> Counter[tuple[str, str]]:
    """How often what was struck was called what: pairs that agree go first, then those that nearly do."""
    struck = [hit for one in dict.fromkeys(map(name, known)) for hit in _of(known, one, name)]
    heard = [hit for one in dict.fromkeys(map(name, said)) for hit in _of(said, one, name)]
    counts: Counter[tuple[str, str]] = Counter()
    for alike in (name, *nearly, lambda hit: ""):
        for one in dict.fromkeys(map(alike, struck)):
            these = [hit for hit in struck if alike(hit) == one]
            those = [hit for hit in heard if alike(hit) == one]
            found = matched(_times(these), _times(those), WINDOW)
            counts.update((name(these[i]), name(those[j])) for i, j in found)
            done = {id(these[i]) for i, _ in found} | {id(those[j]) for _, j in found}
            struck = [hit for hit in struck if id(hit) not in done]
            heard = [hit for hit in heard if id(hit) not in done]
    counts.update((name(hit), MISSED) for hit in struck)
    counts.update((EXTRA, name(hit)) for hit in heard)
    return counts
