# SPDX-License-Identifier: GPL-3.0-or-later
"""When a sample sounded, by this computer's clock."""

import time
from collections.abc import Callable

from dsp.units import RATE

DRIFT = 1e-5  # how fast the estimate of when sample 0 sounded may rise [s an event]


class Wall:
    """Learns from events as they come when sample 0 sounded: no later than any of them was decided."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self._origin: float | None = None  # [s since 1970]

    def follow(self, emitted: int) -> None:
        """An event that was decided at this sample has just come."""
        newest = self.now() - emitted / RATE
        self._origin = newest if self._origin is None else min(self._origin + DRIFT, newest)

    def at(self, sample: int) -> float:
        """When a sample sounded, or will [s since 1970]; now where nothing has come yet."""
        return self.now() if self._origin is None else self._origin + sample / RATE
