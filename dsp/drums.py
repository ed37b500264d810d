# SPDX-License-Identifier: GPL-3.0-or-later
"""Drums: strokes, and the names they get, from one look at the spectrum."""

from typing import NamedTuple

import numpy as np

from dsp.events import EVENT, ONSET
from dsp.hits import DrumSettings, HitsState, hits_await, hits_hop, hits_params, hits_state
from dsp.kernel import kernel
from dsp.onset import OnsetSettings, OnsetState, onset_hop, onset_params, onset_state
from dsp.spectrum import BANDS, SpectrumState, spectrum_hop, spectrum_state
from dsp.stage import KernelStage, Spec
from dsp.units import HOP


class DrumsState(NamedTuple):
    onset: OnsetState
    hits: HitsState
    spectrum: SpectrumState
    levels: np.ndarray  # (BANDS,) work
    ids: np.ndarray  # (1,) newest event id, shared with the other detectors


def drums_params(onset: OnsetSettings, drums: DrumSettings) -> tuple[np.ndarray, np.ndarray]:
    """What replaces ``state.onset.params`` and ``state.hits.params``.

    A name cannot wait for a stroke to be decided, so the shorter decision holds for both.
    """
    return onset_params(onset, drums.decision_ms if drums.enabled else None), hits_params(drums)


def drums_state(onset: OnsetSettings, drums: DrumSettings, ids: np.ndarray) -> DrumsState:
    """State of the drum ears; `ids`, shape (1,), counts the events of all detectors."""
    state = DrumsState(
        onset_state(onset), hits_state(drums), spectrum_state(), np.zeros(BANDS, np.float32), ids
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
        Room for 16 events a hop.

    Notes
    -----
    Adds no delay of its own: an event is out within its decision. Realtime:
    O(n), no allocation.
    """
    n = 0
    onset, hits = state.onset, state.hits
    listens, names = onset.params[0].enabled != 0, hits.params[0].enabled != 0
    if not (listens or names):
        onset.counter[0] += len(x) * HOP
        return n
    for k in range(len(x)):
        spectrum_hop(state.spectrum, x[k], state.levels)
        struck = onset_hop(onset, state.levels, x[k])
        now = onset.counter[0]
        if struck:
            state.ids[0] += 1
            if listens:
                event = out[n]
                event.id = state.ids[0]
                event.ref = 0
                event.time = onset.counter[2]
                event.emitted = now
                event.kind = ONSET
                event.channel = 0
                event.label = -1
                event.number = 0
                event.value = onset.found[0]
                event.confidence = onset.found[1]
                n += 1
            if names:
                hits_await(hits, onset.counter[2], state.ids[0], onset.background)
        if names:
            n = hits_hop(hits, onset.heard, now, state.ids, out, n)
    return n


class Drums(KernelStage):
    """Hops of audio in, onset and drum events out."""

    step = staticmethod(drums_step)

    def __init__(self, onset: OnsetSettings | None = None, drums: DrumSettings | None = None) -> None:
        self.settings = onset or OnsetSettings(), drums or DrumSettings()

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        out = Spec(spec.rate, dtype=EVENT, capacity=16 * spec.capacity)
        self._ready(
            drums_state(*self.settings, np.zeros(1, np.int64)), np.zeros((0, HOP), np.float32), out.empty()
        )
        return out
