# SPDX-License-Identifier: GPL-3.0-or-later
"""The pitch of one voice, followed: of all periods that might be heard, the likeliest path through them.

Every few hops the peaks of the likeness are candidates, and silence is one more. A
candidate is worth more the better it repeats and the shorter it is; to move from one to
another costs by the semitone, to fall silent or to begin costs once. What is said of a
moment waits for two more looks, which is what tells an octave from its half.

References
----------
M. Mauch, S. Dixon, "pYIN: a fundamental frequency estimator using probabilistic threshold
distributions", ICASSP 2014: candidates and a path. Deviation: costs instead of
probabilities, set on recorded voices and guitars, and a path that is cut off live.
"""

from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel
from dsp.pitch import CHUNK, DELAY, FLOOR, lag_peak, lag_refined, lag_summit
from dsp.units import HOP

EVERY = 4  # hops between two looks: 5.3 ms
LOOK = 2  # looks that a decision waits
PEAKS = 12  # candidates kept, the best
SILENT = PEAKS  # row of silence
MELODY_DELAY = DELAY + LOOK * EVERY * HOP + EVERY * HOP // 2  # [samples]

LEAST = 0.3  # likeness of a candidate
UNLIKE, POWER = 6.93, 1.39  # cost of what does not repeat
LONG = 0.89  # of an octave down
MOVE, FARTHEST = 1.44, 19.0  # of a semitone, and of any leap
NOTHING, SWITCH = 2.45, 3.2  # of silence, and of going there or back
FADE, FADED = 11.0, 0.26  # below the peak what sounds is less believed, so much a decibel [dB]
FALL = 0.01  # of that peak, a look [dB]
NEVER = 1e9


class MelodyState(NamedTuple):
    lag: np.ndarray  # (LOOK + 1, PEAKS + 1) periods [slow samples], 0 where there is none
    height: np.ndarray  # (LOOK + 1, PEAKS + 1) likeness of each
    octave: np.ndarray  # (LOOK + 1, PEAKS + 1) log2 of each period
    cost: np.ndarray  # (LOOK + 1, PEAKS + 1) of the best path that ends there
    before: np.ndarray  # (LOOK + 1, PEAKS + 1) int64, where that path came from
    looks: np.ndarray  # (1,) int64
    peak: np.ndarray  # (1,) level [dB], falling slowly
    found: np.ndarray  # (2,) period LOOK looks ago, 0 for none, and its likeness


def melody_state() -> MelodyState:
    """All that the path remembers."""
    shape = (LOOK + 1, PEAKS + 1)
    return MelodyState(
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape, np.int64),
        np.zeros(1, np.int64),
        np.full(1, -120.0),
        np.zeros(2),
    )


@kernel
def _candidates(lags, lag, height):
    """The best peaks of the likeness, as periods and heights."""
    for k in range(PEAKS):
        lag[k] = height[k] = 0.0
    y, least = lags.likeness, 0
    for at in range(lags.params[0].shortest, lags.params[0].longest + 1):
        if y[at] <= max(LEAST, height[least]) or not lag_peak(y, at):
            continue
        top, high = lag_summit(y, at)
        lag[least], height[least] = lag_refined(lags, top, high), min(high, 1.0)
        for k in range(PEAKS):
            if height[k] < height[least]:
                least = k


@kernel
def melody_look(state, lags, gate):
    """Go on with the path by one look; ``state.found`` is what it says then.

    Parameters
    ----------
    state : MelodyState
    lags : LagState
        After `lag_step`.
    gate : float
        Level of what is too soft to be heard [dB].

    Notes
    -----
    Speaks of MELODY_DELAY ago.  Realtime: O(longest lag), no allocation.
    """
    now, past = state.looks[0] % (LOOK + 1), (state.looks[0] - 1) % (LOOK + 1)
    lag, height, octave, cost = state.lag[now], state.height[now], state.octave[now], state.cost[now]
    _candidates(lags, lag, height)
    loud = 10 * np.log10(lags.energy[FLOOR * CHUNK] / (FLOOR * CHUNK) + 1e-12)
    state.peak[0] = max(loud, state.peak[0] - FALL)
    faded = FADED * max(0.0, state.peak[0] - loud - FADE)
    for k in range(PEAKS + 1):
        own = NOTHING
        if k != SILENT:
            if lag[k] == 0 or loud < gate:
                cost[k] = NEVER
                continue
            octave[k] = np.log2(lag[k])
            own = faded + UNLIKE * max(0.0, 1 - height[k]) ** POWER + LONG * octave[k]
        else:
            own += LONG * 5.32  # log2 of a middle period
        best, came = 0.0, SILENT
        if state.looks[0] > 0:
            best = NEVER
            for j in range(PEAKS + 1):
                way = state.cost[past, j]
                if (k == SILENT) != (j == SILENT):
                    way += SWITCH
                elif k != SILENT:
                    way += min(12 * MOVE * abs(state.octave[past, j] - octave[k]), FARTHEST)
                if way < best:
                    best, came = way, j
        cost[k] = min(best + own, NEVER)
        state.before[now, k] = came
    cheapest = 0
    for k in range(PEAKS + 1):
        if cost[k] < cost[cheapest]:
            cheapest = k
    least = cost[cheapest]
    for k in range(PEAKS + 1):
        if cost[k] < NEVER:
            cost[k] -= least
    k = cheapest
    for back in range(LOOK):
        k = state.before[(state.looks[0] - back) % (LOOK + 1), k]
    then = (state.looks[0] + 1) % (LOOK + 1)
    state.found[0] = 0.0 if k == SILENT else state.lag[then, k]
    state.found[1] = 0.0 if k == SILENT else state.height[then, k]
    state.looks[0] += 1
