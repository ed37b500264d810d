# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked of those who hear notes: of one line, or of all that sound together."""

from dataclasses import dataclass

import numpy as np

from dsp.scale import EVERY, SCALES
from dsp.settings import choice, number, switch
from dsp.units import samples

REPITCH = samples(20)  # how long after it was said a note may be taken back


@dataclass(frozen=True, slots=True)
class NoteSettings:
    enabled: bool = switch(True, "play back the melody that is heard")
    lines: str = choice("one", ("one", "many"), "follow one line, or all notes that sound together")
    low: float = number(28, 21, 96, "MIDI note", "lowest note to listen for; a higher one decides sooner")
    high: float = number(
        84, 21, 108, "MIDI note", "highest note to listen for; one line is followed up to 96"
    )
    scale: str = choice(EVERY, SCALES, "play what lies beside this scale as the nearest note in it")
    decision_ms: float = number(45, 10, 120, "ms", "how long after its start a note is decided at the latest")
    sensitivity: float = number(0.5, 0, 1, "", "0 hears only clear notes, 1 hears everything")
    early: bool = switch(False, "of many lines, say a note as soon as it is sure, before its decision")
    repitch: bool = switch(False, "of one line, take a note back within 20 ms where its pitch was wrong")
    bend: bool = switch(
        True, "follow vibrato and glides with pitch bend; of many lines, where expression is on"
    )
    expression: bool = switch(
        False, "say how each note swells, and of many lines how each bends; midi.mpe has a synthesiser follow"
    )
    pedal: bool = switch(False, "of many lines, follow the sustain pedal of a piano (CC 64)")
    pitch: bool = switch(False, "report the pitch itself every 10 ms")


def asked_of(notes: NoteSettings) -> float:
    """How much longer odds the settings ask of a note than what was learned."""
    return float(np.exp(5 * (0.5 - notes.sensitivity)))


def gate_of(notes: NoteSettings) -> float:
    """Level of the softest that is heard [dB]."""
    return -66 - 20 * (notes.sensitivity - 0.5)
