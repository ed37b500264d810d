# SPDX-License-Identifier: GPL-3.0-or-later
"""When something is struck."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dsp.frame import push
from dsp.kernel import kernel
from dsp.settings import number, switch
from dsp.spectrum import BANDS, TIMES
from dsp.units import HOP, samples


@dataclass(frozen=True, slots=True)
class OnsetSettings:
    enabled: bool = switch(True, "report every stroke, whatever it is")
    sensitivity: float = number(0.5, 0, 1, "", "0 hears only hard strokes, 1 hears everything")
    decision_ms: float = number(8, 3, 30, "ms", "how long after the stroke it is decided at the latest")
    refractory_ms: float = number(30, 10, 500, "ms", "shortest time between two strokes")


ONSET_PARAMS = np.dtype(
    [("enabled", "i8"), ("decision", "i8"), ("refractory", "i8"), ("threshold", "f4")], align=True
)

LAG = 5  # hops between a level and the background it is held against
HOLD = np.float32(0.1)  # how fast the background forgets a peak [dB per hop]
GAP = np.float32(15)  # a background further above what sounds now has outlived its sound [dB]
FALL = np.float32(0.06)  # the part of what is beyond that it forgets in addition, per hop
DEPTH = np.float32(45)  # what lies this far below the loudest is masked [dB]
RELEASE = np.float32(0.05)  # how fast the loudest is forgotten [dB per hop]
CAP = np.float32(15)  # most that one band may say, so that a gliding sine cannot shout [dB]
SPREAD = np.float32(3)  # a neighbour's background counts less this much [dB]
SETTLE = np.float32(
    1 / 750
)  # how fast the mean strength follows, per hop; strokes count only up to the threshold
LIFT = np.float32(4)  # times the mean strength, so that noise stays below the threshold
WHISPER = np.float32(10 ** (-68 / 20))  # softer strokes are silence
HISTORY = 2048  # samples kept to look for the first of the stroke
GROWTH = np.float32(1.25)  # a peak this much higher than a hop ago still grows
REACH = 448  # how far back that sample may lie
BEFORE = 480  # samples that tell what was there before
MARGIN = np.float32(1.15)  # the stroke departs where it exceeds the background this much,
FOOT = np.float32(10 ** (-56 / 20))  # and this much of its own peak


class OnsetState(NamedTuple):
    params: np.ndarray  # (1,) ONSET_PARAMS
    past: np.ndarray  # (LAG, BANDS) levels above the mask, oldest at the cursor
    background: np.ndarray  # (BANDS,) slowly forgotten peaks of `past` [dB]
    heard: np.ndarray  # (BANDS,) newest levels above the mask [dB]
    follower: np.ndarray  # (2,) loudest level [dB], mean strength [dB]
    recent: np.ndarray  # (HISTORY,) newest samples, oldest first
    counter: np.ndarray  # (4,) clock, cursor, time of the last stroke, 1 while one is being decided
    found: np.ndarray  # (4,) velocity, confidence, greatest strength and last peak of the newest stroke


def onset_params(settings: OnsetSettings, decision_ms: float | None = None) -> np.ndarray:
    """What the kernel reads of the settings, shape (1,); `decision_ms` may shorten the decision."""
    params = np.zeros(1, ONSET_PARAMS)
    wait = settings.decision_ms if decision_ms is None else min(settings.decision_ms, decision_ms)
    params[0] = (
        settings.enabled,
        samples(wait),
        samples(settings.refractory_ms),
        0.55 * 2 ** (4 * (0.5 - settings.sensitivity)),
    )
    return params


def onset_state(settings: OnsetSettings, decision_ms: float | None = None) -> OnsetState:
    return OnsetState(
        onset_params(settings, decision_ms),
        np.full((LAG, BANDS), -100, np.float32),
        np.full(BANDS, -100, np.float32),
        np.full(BANDS, -100, np.float32),
        np.array([-100, 0.15], np.float32),  # until heard otherwise, expect noise
        np.zeros(HISTORY, np.float32),
        np.array([0, 0, -(1 << 40), 0]),
        np.zeros(4, np.float32),
    )


@kernel
def strength_hop(state, levels):
    """How far the newest levels stand above the background, mean over the bands [dB].

    The background is the largest level of the bands and their neighbours that
    is at least LAG hops old, forgotten linearly in dB: a decaying drum stays
    below it, and vibrato or a slow glide stays inside it (cf. the maximum
    filter of SuperFlux).

    References
    ----------
    S. Boeck, G. Widmer, "Maximum filter vibrato suppression for onset
    detection", DAFx 2013. Here the past is a decaying maximum, not one frame.
    """
    background, heard, follower = state.background, state.heard, state.follower
    loudest = follower[0] - RELEASE
    for band in range(BANDS):
        loudest = max(loudest, levels[band])
    follower[0] = max(loudest, np.float32(-100))
    mask = max(follower[0] - DEPTH, np.float32(-95))
    old = state.past[state.counter[1]]
    for band in range(BANDS):
        heard[band] = max(levels[band], mask)
        empty = max(background[band] - old[band] - GAP, np.float32(0))
        background[band] = max(background[band] - HOLD - FALL * empty, old[band])
        old[band] = heard[band]
    state.counter[1] = (state.counter[1] + 1) % LAG
    total = np.float32(0)
    for band in range(BANDS):
        ground = max(background[band], mask)
        if 0 < band < BANDS - TIMES:
            ground = max(ground, background[band - 1] - SPREAD)
        if band < BANDS - TIMES - 1:
            ground = max(ground, background[band + 1] - SPREAD)
        total += min(max(heard[band] - ground, np.float32(0)), CAP)
    return total / np.float32(BANDS)


@kernel
def first_sample(recent, reach, out):
    """Samples from the first one of a stroke to now, at most `reach`; its peak into out[0].

    Both the signal and its second difference are asked, for a hat rides on the
    tail of a kick; the one that stands out further is believed.
    """
    start = HISTORY - reach
    before = np.float32(0)
    before_sharp = np.float32(0)
    for i in range(start - BEFORE, start):
        before = max(before, abs(recent[i]))
        before_sharp = max(before_sharp, abs(recent[i] - recent[i - 1] - recent[i - 1] + recent[i - 2]))
    peak = np.float32(0)
    peak_sharp = np.float32(0)
    for i in range(start, HISTORY):
        peak = max(peak, abs(recent[i]))
        peak_sharp = max(peak_sharp, abs(recent[i] - recent[i - 1] - recent[i - 1] + recent[i - 2]))
    if peak_sharp * before > np.float32(2) * peak * before_sharp:
        out[0] = np.float32(0.5) * peak_sharp
        foot = max(MARGIN * before_sharp, FOOT * peak_sharp)
        for i in range(start, HISTORY):
            if abs(recent[i] - recent[i - 1] - recent[i - 1] + recent[i - 2]) > foot:
                return HISTORY - i
    else:
        out[0] = peak
        foot = max(MARGIN * before, FOOT * peak)
        for i in range(start, HISTORY):
            if abs(recent[i]) > foot:
                return HISTORY - i
    return reach


@kernel
def velocity_of(peak):
    """0..1, linear in dB: -48 dBFS is .05, -3 dBFS is 1."""
    level = np.float32(20) * np.log10(peak + np.float32(1e-9))
    velocity = np.float32(0.05) + np.float32(0.95 / 45) * (level + np.float32(48))
    return min(max(velocity, np.float32(0.01)), np.float32(1))


@kernel
def onset_hop(state, levels, x):
    """Hear one more hop; whether a stroke was decided at its end.

    Parameters
    ----------
    state : OnsetState
        ``counter[0]`` is then the clock, ``counter[2]`` the time of the stroke
        [samples], ``found`` its velocity and confidence.
    levels : array, shape (BANDS,)
    x : array, shape (HOP,)

    Notes
    -----
    Realtime: O(1), no allocation.
    """
    params, counter, found, recent = state.params[0], state.counter, state.found, state.recent
    push(recent, x)
    counter[0] += HOP
    now = counter[0]
    strength = strength_hop(state, levels)
    threshold = params.threshold + LIFT * state.follower[1]
    state.follower[1] += SETTLE * (min(strength, threshold) - state.follower[1])
    if state.follower[1] < np.float32(1e-12):
        state.follower[1] = np.float32(0)
    if counter[3] == 0:
        if strength <= threshold or now - counter[2] < params.refractory:
            return False
        counter[3] = 1
        found[2] = np.float32(0)
        found[3] = np.float32(0)
    found[2] = max(found[2], strength)
    age = min(first_sample(recent, min(params.decision, REACH), found), now)
    # What still grows is not known yet: a codec may whisper before a stroke, and a drum swells.
    growing = found[0] > GROWTH * found[3]
    found[3] = found[0]
    if growing and age + HOP <= params.decision:
        return False
    counter[3] = 0
    if found[0] < WHISPER or now - age - counter[2] < params.refractory:
        return False
    counter[2] = now - age
    found[0] = velocity_of(found[0])
    found[1] = np.float32(1) - np.float32(0.5) * threshold / max(found[2], threshold)
    return True
