# SPDX-License-Identifier: GPL-3.0-or-later
"""What was struck: kick, snare, hat, tom or cymbal."""

from dataclasses import dataclass

from dsp.settings import number, switch


@dataclass(frozen=True, slots=True)
class DrumSettings:
    enabled: bool = switch(True, "name every stroke as a drum")
    decision_ms: float = number(12, 3, 60, "ms", "how long after the stroke its name is decided")
    sensitivity: float = number(0.5, 0, 1, "", "0 names only clear strokes, 1 names everything")
    refractory_ms: float = number(48, 10, 500, "ms", "shortest time between two hits of one drum")
