# SPDX-License-Identifier: GPL-3.0-or-later
"""From source samples to events: the one step that live sound and files both take."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bridge.errors import ModelError, SourceError
from bridge.native import thread_ns
from dsp.beat import BeatSettings
from dsp.events import EVENT
from dsp.hits import DrumSettings
from dsp.kernel import kernel
from dsp.notes import NoteSettings
from dsp.onset import OnsetSettings
from dsp.resample import HIGHEST, LOWEST, Resample, ResampleState, resample_step
from dsp.stage import Spec
from dsp.units import HOP, RATE, gain, ms, samples
from models.archive import WeightsError
from models.ear import EarSettings, EarState, capacity, ear_adopt, ear_state, ear_step

BLOCK = 4096  # most source samples one step is given
TINY = np.float32(1e-15)  # smaller is silence, and would be slow to multiply
LOUD = np.float32(1e3)  # 60 dB over full scale; more is a broken wire, and could overflow
SHARE = samples(1)  # of what the source's stages wait for, this much is taken out of every decision
BAD, HEARD, SKIP = range(3)  # words of `counts`

HEARING = np.dtype(
    [
        ("gain", "f4"),
        ("ahead", "i8"),  # newer input that each heard sample depends on [samples at 48 kHz]
        ("beyond", "i8"),  # of `ahead`, what does not fit into the decisions and is added to them
        ("same_rate", "i8"),
        ("tail", "i8"),  # silence that brings the end of a source out [source samples]
    ],
    align=True,
)


class Hearing(NamedTuple):
    params: np.ndarray  # (1,) HEARING
    counts: np.ndarray  # (3,) int64: samples mended, samples heard, samples still to skip
    clean: np.ndarray  # (BLOCK,) float32
    heard: np.ndarray  # (6 * BLOCK + 2,) float32, what the newest step heard, at 48 kHz
    resample: ResampleState
    ear: EarState


def hearing(settings: EarSettings, rate: int, gain_db: float = 0.0, lag: int = 0, ahead: int = 0) -> Hearing:
    """A hearing that has heard nothing.

    Parameters
    ----------
    settings
        The ear's part of a preset.
    rate
        Of the source [Hz].
    gain_db
        Applied to what comes in.
    lag
        Source samples that a plugin chain put before the sound: skipped, and
        paid in `emitted`.
    ahead
        Newer input that a recorded source already depended on [samples at 48 kHz].
    """
    if not LOWEST <= rate <= HIGHEST:
        raise SourceError(
            f"a rate of {rate} Hz is outside {LOWEST}..{HIGHEST}", hint="convert the sound to 48000 Hz first"
        )
    resample = Resample()
    resample.prepare(Spec(rate, capacity=BLOCK))
    waits = resample.delay + -(-lag * RATE // rate) + ahead
    try:
        ear = ear_state(in_time(settings, waits))
    except WeightsError as error:
        raise ModelError(str(error), hint="install earwire again") from None
    return Hearing(
        np.array([(gain(gain_db), waits, beyond(waits), rate == RATE, resample.ahead + lag)], HEARING),
        np.array([0, 0, lag], np.int64),
        np.zeros(BLOCK, np.float32),
        np.zeros(6 * BLOCK + 2, np.float32),
        resample.state,
        ear,
    )


class _Settings(NamedTuple):
    onset: OnsetSettings
    drums: DrumSettings
    notes: NoteSettings
    beat: BeatSettings


def beyond(ahead: int) -> int:
    """What a source that waits `ahead` adds to every decision [samples]: nothing for a resampler."""
    return max(0, ahead - SHARE)


def in_time(settings: EarSettings, ahead: int) -> EarSettings:
    """The ear's settings with decisions so much earlier that waiting for the source does not make them late."""
    sooner = ahead - beyond(ahead)
    if not sooner:
        return settings

    def less(part: Any) -> Any:
        return replace(part, decision_ms=ms(samples(part.decision_ms) - sooner))

    return _Settings(less(settings.onset), less(settings.drums), less(settings.notes), settings.beat)


def room() -> np.ndarray:
    """Room for the events of one step."""
    return np.zeros(capacity(6 * BLOCK + 2), EVENT)


def adopt(state: Hearing, settings: EarSettings, gain_db: float) -> None:
    """Take a preset's numbers over while listening goes on."""
    state.params["gain"] = gain(gain_db)
    ear_adopt(state.ear, in_time(settings, int(state.params["ahead"][0])))


@kernel
def hear_step(state, x, out):
    """Make `x` finite, bring it to 48 kHz and listen.

    Parameters
    ----------
    state : Hearing
        ``state.heard[:heard]`` is what was heard, for the take.
    x : (n,) float32
        Source samples, n <= BLOCK.
    out : (m,) EVENT
        From `room`.

    Returns
    -------
    (int, int)
        Events written, samples heard at 48 kHz.
    """
    p = state.params[0]
    n = 0
    for i in range(len(x)):
        if state.counts[SKIP] > 0:
            state.counts[SKIP] -= 1
            continue
        value = x[i] * p.gain
        if not abs(value) <= LOUD:  # NaN too
            value = np.float32(0.0)
            state.counts[BAD] += 1
        elif abs(value) < TINY:
            value = np.float32(0.0)
        state.clean[n] = value
        n += 1
    if p.same_rate:
        heard = n
        for i in range(n):
            state.heard[i] = state.clean[i]
    else:
        heard = resample_step(state.resample, state.clean[:n], state.heard)
    said = ear_step(state.ear, state.heard[:heard], out)
    if p.ahead:
        for k in range(said):
            out[k].emitted += p.ahead
    state.counts[HEARD] += heard
    return said, heard


@kernel
def time_hops(state, x, out, clock, took):
    """Listen to `x` hop by hop; `took` is the processor time each hop needed [ns]."""
    for k in range(len(took)):
        began = thread_ns(clock)
        hear_step(state, x[k * HOP : (k + 1) * HOP], out)
        took[k] = thread_ns(clock) - began
