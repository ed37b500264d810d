# SPDX-License-Identifier: GPL-3.0-or-later
"""How loud it is, twenty times a second."""

from typing import NamedTuple

import numpy as np

from dsp.events import LEVEL
from dsp.kernel import kernel
from dsp.stage import KernelStage, Spec
from dsp.units import HOP, RATE
from dsp.write import write_event

PERIOD = RATE // 20  # samples between two levels
FLOOR_DB = -120.0


class LevelState(NamedTuple):
    sums: np.ndarray  # (1,) float64, energy since the last level
    clock: np.ndarray  # (2,) int64: samples heard, samples since the last level
    ids: np.ndarray  # (1,) int64, last event id given, shared by all detectors


def level_state(ids: np.ndarray) -> LevelState:
    return LevelState(np.zeros(1), np.zeros(2, np.int64), ids)


@kernel
def level_step(state, x, out):
    """RMS level [dBFS] of each twentieth of a second, a full-scale square being 0.

    Parameters
    ----------
    state : LevelState
    x : (n, 64) float32
        Audio by hops.
    out : (>= n,) EVENT

    Returns
    -------
    int
        Events written.

    Notes
    -----
    Adds no delay: an event speaks of the twentieth that ends with its hop.  Realtime: O(n), no allocation.
    """
    n = 0
    for i in range(len(x)):
        energy = np.float64(0.0)
        for j in range(x.shape[1]):
            energy += np.float64(x[i, j]) * x[i, j]
        state.sums[0] += energy
        state.clock[0] += x.shape[1]
        state.clock[1] += x.shape[1]
        if state.clock[1] >= PERIOD:
            mean = state.sums[0] / state.clock[1]
            now, db = state.clock[0], max(10 * np.log10(mean + 1e-30), FLOOR_DB)
            write_event(out[n], state.ids, 0, now, now, LEVEL, 0, -1, db, 0.0, 1.0)
            n += 1
            state.sums[0] = 0.0
            state.clock[1] = 0
    return n


class Level(KernelStage):
    """Hops in, LEVEL events out."""

    step = staticmethod(level_step)

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        return self._detects(spec, level_state(np.zeros(1, np.int64)), 1)


assert HOP <= PERIOD
