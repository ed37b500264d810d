# SPDX-License-Identifier: GPL-3.0-or-later
"""What was heard, as the comparison takes it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dsp.events import DRUM, LABELS, NOTE_OFF, NOTE_ON, ONSET, REFINE, Label
from dsp.units import RATE

Timed = tuple[float, float]  # when it sounded, when it was known [s]


class Said(NamedTuple):
    """A drum that was heard."""

    time: float  # [s]
    known: float  # [s]
    family: str
    label: str
    velocity: float  # 0..1


def onsets_said(events: np.ndarray) -> tuple[list[float], list[Timed]]:
    """Times, and times with when they were known, of all that begins."""
    begun = events[np.isin(events["kind"], (ONSET, DRUM, NOTE_ON))]
    timed = [(float(e["time"]) / RATE, float(e["emitted"]) / RATE) for e in begun]
    return [time for time, _ in timed], timed


def drums_said(events: np.ndarray, labels: Sequence[Label] = LABELS, refined: bool = False) -> list[Said]:
    """Drums that were named.

    Parameters
    ----------
    events : (n,) EVENT
    labels
        By row; those of a kit's pads among them.
    refined
        By their last name, and not their first.
    """
    drums = events[events["kind"] == DRUM]
    if refined:
        drums, row = drums.copy(), {int(e["id"]): n for n, e in enumerate(drums)}
        for e in events[events["kind"] == REFINE]:
            if (n := row.get(int(e["ref"]))) is not None and e["label"] >= 0:
                drums[n]["label"], drums[n]["value"] = e["label"], e["value"]
    return [
        Said(
            float(e["time"]) / RATE,
            float(e["emitted"]) / RATE,
            labels[e["label"]].family,
            labels[e["label"]].name,
            float(e["value"]),
        )
        for e in drums
    ]


class SaidNote(NamedTuple):
    """A note that was heard, and ended."""

    start: float  # [s]
    end: float
    note: float  # whole
    known: float  # [s]
    velocity: float  # 0..1


def notes_said(events: np.ndarray) -> list[SaidNote]:
    """Notes that ended and were not taken back, in the order of their ends."""
    begun, out = {}, []
    wrong = {int(e["ref"]) for e in events if e["kind"] == NOTE_ON and e["ref"]}
    for e in events:
        if e["kind"] == NOTE_ON:
            if int(e["id"]) not in wrong:
                begun[int(e["id"])] = e
        elif e["kind"] == NOTE_OFF and (on := begun.pop(int(e["ref"]), None)) is not None:
            times = float(on["time"]) / RATE, float(e["time"]) / RATE
            known, velocity = float(on["emitted"]) / RATE, float(on["value"])
            out.append(SaidNote(*times, float(round(float(on["number"]))), known, velocity))
    return out
