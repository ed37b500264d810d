# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is asked about the beat: taps, half and double time, a nudge, a tempo held fast."""

import threading
import time
from collections.abc import Callable

import numpy as np

from dsp.beat import (
    COUNT,
    DONE,
    DOUBLE,
    FIRST,
    HALF,
    LENGTH,
    LOCK,
    LOCKED,
    NUDGE,
    SECOND,
    TAP,
    WHAT,
    BeatState,
)
from dsp.pointer import LONGEST, SHORTEST
from dsp.pulse import FRAME
from dsp.units import RATE, samples

NUDGE_MS = 5.0  # one nudge
MOST_NUDGE_MS = 500.0
GAP = 2.5  # a tap this long after the last begins anew [s]
TAPS = 8  # newest that count
PATIENCE = 0.5  # how long a request may wait for an ear that hears nothing [s]
REQUESTS = ("tap", "half", "double", "nudge", "lock")


class Conductor:
    """Passes on to the ear what a person asks of the beat, while it listens.

    Parameters
    ----------
    beat
        The part of the ear that follows the beat.
    enabled
        Whether it does.
    """

    def __init__(self, beat: BeatState, enabled: Callable[[], bool]) -> None:
        self._beat, self._enabled = beat, enabled
        self._taps: list[int] = []
        self._lock = threading.Lock()

    def request(self, what: str, argument: str, sample: int) -> str:
        """Carry out one of REQUESTS; what to tell the user.

        Parameters
        ----------
        argument
            Of a nudge: how far [ms].
        sample
            When it was asked for [samples since start].
        """
        if not self._enabled():
            return f"{what}: the beat is not followed; beat.enabled = true"
        if what == "tap":
            return self._tap(sample)
        if what == "nudge":
            return self._nudge(argument)
        if not self._beat.course[LENGTH]:
            return f"{what}: there is no beat yet"
        if what == "lock":
            held = bool(self._beat.clock[LOCKED])
            self._ask(LOCK)
            return "the tempo is followed again" if held else "the tempo is held, whatever is heard"
        self._ask({"half": HALF, "double": DOUBLE}[what])
        factor = {"half": 0.5, "double": 2.0}[what]
        return f"{what} time: {60 * RATE / self._beat.course[LENGTH] * factor:.0f} bpm"

    def _tap(self, sample: int) -> str:
        if self._taps and not 0 < sample - self._taps[-1] < GAP * RATE:
            self._taps.clear()
        self._taps = [*self._taps, sample][-TAPS:]
        if len(self._taps) < 3:
            return "tap: go on"
        # A line through the taps, so that one late finger moves little.
        at = np.arange(len(self._taps))
        length, first = np.polyfit(at, self._taps, 1)
        length = float(np.clip(length, SHORTEST * FRAME, LONGEST * FRAME))
        self._ask(TAP, length, float(first + length * at[-1]))
        return f"tap: {60 * RATE / length:.0f} bpm"

    def _nudge(self, argument: str) -> str:
        try:
            by = float(argument or NUDGE_MS)
        except ValueError:
            return f"nudge: {argument[:20]!a} is no time in ms"
        if not abs(by) <= MOST_NUDGE_MS:
            return f"nudge: {MOST_NUDGE_MS:g} ms at most"
        self._ask(NUDGE, samples(by))
        return f"nudge: {by:+g} ms"

    def _ask(self, what: int, first: float = 0.0, second: float = 0.0) -> None:
        """Write the request down where the ear looks, once the one before was read."""
        asked, clock = self._beat.asked, self._beat.clock
        with self._lock:
            until = time.monotonic() + PATIENCE
            while clock[DONE] != asked[COUNT] and time.monotonic() < until:
                time.sleep(0.002)
            asked[WHAT], asked[FIRST], asked[SECOND] = what, first, second
            asked[COUNT] += 1  # last: now it counts
