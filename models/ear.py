# SPDX-License-Identifier: GPL-3.0-or-later
"""The ear: every fast detector composed into one step, live and from a file alike."""

from typing import NamedTuple, Protocol

import numpy as np

from dsp.beat import BeatSettings, BeatState, beat_state, beat_step
from dsp.drums import DrumsState, drums_state, drums_step
from dsp.events import EVENT
from dsp.hits import DrumSettings
from dsp.kernel import kernel
from dsp.level import LevelState, level_state, level_step
from dsp.line import LineState, line_state, line_step
from dsp.notes import NoteSettings
from dsp.onset import OnsetSettings
from dsp.poly import PolyState, poly_state, poly_step
from dsp.stage import KernelStage, Spec
from dsp.units import HOP
from models import beat, drums, ends, hits, line, notes, pedal, poly

EVENTS_PER_HOP = 96  # room kept for what one hop may say


class EarSettings(Protocol):
    """The part of a preset that the ear reads."""

    @property
    def onset(self) -> OnsetSettings: ...
    @property
    def drums(self) -> DrumSettings: ...
    @property
    def notes(self) -> NoteSettings: ...
    @property
    def beat(self) -> BeatSettings: ...


class EarState(NamedTuple):
    hop: np.ndarray  # (1, 64) float32, the hop being filled
    filled: np.ndarray  # (1,) int64, samples of it that are in
    level: LevelState
    drums: DrumsState
    line: LineState
    poly: PolyState
    beat: BeatState


def ear_state(settings: EarSettings) -> EarState:
    """An ear that has heard nothing. Detectors share one count of ids.

    Raises
    ------
    models.archive.WeightsError
        The weights of an ear are not there, or not what was exported.
    """
    ids = np.zeros(1, np.int64)
    return EarState(
        np.zeros((1, HOP), np.float32),
        np.zeros(1, np.int64),
        level_state(ids),
        drums_state(settings.onset, settings.drums, drums.load(), hits.load(), ids),
        line_state(settings.notes, notes.load(), line.load(), ids),
        poly_state(settings.notes, notes.load(), poly.load(), ends.load(), ids, pedal.load()),
        beat_state(settings.beat, beat.load(), ids),
    )


def capacity(samples: int) -> int:
    """Most events that one step over `samples` samples may say."""
    return (samples // HOP + 1) * EVENTS_PER_HOP


@kernel
def ear_step(state, x, out):
    """Everything the fast detectors say of `x`.

    Parameters
    ----------
    state : EarState
    x : (n,) float32
        Audio at 48 kHz, finite.
    out : (>= capacity(n),) EVENT

    Returns
    -------
    int
        Events written, in order of `emitted`; those of one hop: level, hits, notes, beats.

    Notes
    -----
    Decides at the end of every hop of 64 samples counted from the start, so
    the device's block size cannot be heard.  Realtime: O(n), no allocation.
    """
    n = 0
    filled = state.filled[0]
    for i in range(len(x)):
        state.hop[0, filled] = x[i]
        filled += 1
        if filled == HOP:
            filled = 0
            n += level_step(state.level, state.hop, out[n:])
            n += drums_step(state.drums, state.hop, out[n:])
            n += line_step(state.line, state.hop, out[n:])
            n += poly_step(state.poly, state.hop, out[n:])
            n += beat_step(state.beat, state.hop, out[n:])
    state.filled[0] = filled
    return n


def ear_adopt(state: EarState, settings: EarSettings) -> None:
    """Take the numbers of `settings` over into a running ear, without forgetting what was heard."""
    fresh = ear_state(settings)
    parts = (
        (state.drums, fresh.drums),
        (state.line, fresh.line),
        (state.poly, fresh.poly),
        (state.beat, fresh.beat),
    )
    for part, new in parts:
        _adopt(part, new)


def _adopt(part, new) -> None:  # type: ignore[no-untyped-def]
    for name in part._fields:
        old_field, new_field = getattr(part, name), getattr(new, name)
        if name == "params":
            old_field[...] = new_field
        elif not isinstance(old_field, np.ndarray):
            _adopt(old_field, new_field)


class Ear(KernelStage):
    """Audio in, events out: the composed engine as a stage."""

    step = staticmethod(ear_step)

    def __init__(self, settings: EarSettings) -> None:
        self.settings = settings

    def prepare(self, *specs: Spec) -> Spec:
        (spec,) = specs
        out = Spec(spec.rate, 1, (), EVENT, capacity(spec.capacity))
        self._ready(ear_state(self.settings), spec.empty()[:0], out.empty())
        return out
