# SPDX-License-Identifier: GPL-3.0-or-later
"""Drums: strokes, and the names they get."""

from typing import NamedTuple

import numpy as np

from dsp.drumnet import DrumWeights
from dsp.hitnet import HitWeights
from dsp.hits import DrumSettings, HitsState, hits_hop, hits_params, hits_state, hits_wake, stroke_event
from dsp.kernel import kernel
from dsp.onset import OnsetSettings, OnsetState, onset_hop, onset_params, onset_state
from dsp.pads import PadsState, pads_state
from dsp.spectrum import BANDS, TIMES, SpectrumState, spectrum_hop, spectrum_state
from dsp.stage import KernelStage, Spec
from dsp.strokes import strokes_add, strokes_hop
from dsp.units import HOP

PLAIN = BANDS - TIMES  # the band that is the newest hop as it is
EVENTS_PER_HOP = 24


class DrumsState(NamedTuple):
    onset: OnsetState
    hits: HitsState
    pads: PadsState
    spectrum: SpectrumState
    levels: np.ndarray  # (BANDS,) work
    ids: np.ndarray  # (1,) newest event id, shared with the other detectors


def drums_params(onset: OnsetSettings, drums: DrumSettings) -> tuple[np.ndarray, np.ndarray]:
    """What replaces ``state.onset.params`` and ``state.hits.params``.

    A name cannot wait for a stroke to be decided, so the shorter decision holds for both.
    """
    return onset_params(onset, drums.decision_ms if drums.enabled else None), hits_params(drums)


def drums_state(
    onset: OnsetSettings, drums: DrumSettings, weights: DrumWeights, judge: HitWeights, ids: np.ndarray
) -> DrumsState:
    """State of the drum ears; `ids`, shape (1,), counts the events of all detectors."""
    hits = hits_state(drums, weights, judge)
    state = DrumsState(
        onset_state(onset),
        hits,
        pads_state(len(hits.net.embedding)),
        spectrum_state(),
        np.zeros(BANDS, np.float32),
        ids,
    )
    state.onset.params[...] = drums_params(onset, drums)[0]
    return state


@kernel
def drums_step(state, x, out):
    """Strokes and drums decided within hops of audio.

    Parameters
    ----------
    state : DrumsState
    x : array, shape (n, HOP)
    out : array of EVENT
        Room for EVENTS_PER_HOP a hop.

    Notes
    -----
    Adds no delay of its own: an event is out within its decision. Realtime:
    O(n), no allocation.
    """
    n = 0
    onset, hits = state.onset, state.hits
    listens, names = onset.params[0].enabled != 0, hits.params[0].enabled != 0
    if not names:
        hits.asleep[0] = 1
    elif hits.asleep[0]:
        hits_wake(hits)
    if not (listens or names):
        onset.counter[0] += len(x) * HOP
        return n
    for k in range(len(x)):
        spectrum_hop(state.spectrum, x[k], state.levels)
        struck = onset_hop(onset, state.levels, x[k])
        now = onset.counter[0]
        if struck:
            id = stroke_event(out[n], state.ids, onset.counter[2], now, onset.found[0], onset.found[1])
            n += listens
        if names:
            strokes_hop(hits.strokes, state.levels[PLAIN])
            if struck:
                strokes_add(hits.strokes, onset.counter[2], id, 1)
            n = hits_hop(hits, state.pads, onset, x[k], now, state.ids, out, n)
    return n


class Drums(KernelStage):
    """Hops of audio in, onset and drum events out."""

    step = staticmethod(drums_step)

    def __init__(
        self,
        weights: DrumWeights,
        judge: HitWeights,
        onset: OnsetSettings | None = None,
        drums: DrumSettings | None = None,
    ) -> None:
        self.weights, self.judge = weights, judge
        self.settings = onset or OnsetSettings(), drums or DrumSettings()

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        state = drums_state(*self.settings, self.weights, self.judge, np.zeros(1, np.int64))
        return self._detects(spec, state, EVENTS_PER_HOP)
