# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of one line: a voice, a bass, a flute."""

from dataclasses import dataclass

from dsp.settings import number, switch


@dataclass(frozen=True, slots=True)
class NoteSettings:
    enabled: bool = switch(True, "play back the melody that is heard")
    low: float = number(28, 21, 108, "MIDI note", "lowest note to listen for")
    high: float = number(84, 21, 108, "MIDI note", "highest note to listen for")
    decision_ms: float = number(45, 10, 120, "ms", "how long after its start a note is decided at the latest")
    sensitivity: float = number(0.5, 0, 1, "", "0 hears only clear notes, 1 hears everything")
    bend: bool = switch(True, "follow vibrato and glides with pitch bend")
