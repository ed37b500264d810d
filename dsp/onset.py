# SPDX-License-Identifier: GPL-3.0-or-later
"""When something is struck."""

from dataclasses import dataclass

from dsp.settings import number, switch


@dataclass(frozen=True, slots=True)
class OnsetSettings:
    enabled: bool = switch(True, "report every stroke, whatever it is")
    sensitivity: float = number(0.5, 0, 1, "", "0 hears only hard strokes, 1 hears everything")
    decision_ms: float = number(8, 3, 30, "ms", "how long after the stroke it is decided at the latest")
    refractory_ms: float = number(30, 10, 500, "ms", "shortest time between two strokes")
