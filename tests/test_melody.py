# SPDX-License-Identifier: GPL-3.0-or-later
"""The pitch of one voice as it is reported: a path, not single guesses."""

import numpy as np

from dsp.events import PITCH
from dsp.line import Line
from dsp.melody import MELODY_DELAY
from dsp.notes import NoteSettings
from dsp.stage import Spec
from dsp.units import HOP, RATE, samples
from models.line import load as judge
from models.notes import load as ear

T = np.arange(RATE) / RATE
SPEC = Spec(hop=HOP, shape=(HOP,), capacity=4 * RATE // HOP)


def pitch_of(midi: np.ndarray | float) -> np.ndarray:
    return 440 * 2 ** ((np.asarray(midi) - 69) / 12)


def voice(midi: np.ndarray | float, weights: tuple[float, ...] = (1, 0.5, 0.33, 0.25, 0.2)) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(pitch_of(midi), T.shape)) / RATE
    return 0.1 * np.sum([w * np.sin((k + 1) * phase) for k, w in enumerate(weights)], axis=0)


def pitches(sound: np.ndarray) -> np.ndarray:
    """PITCH events of a sound."""
    line = Line(ear(), judge(), NoteSettings(pitch=True, low=36))
    out = line.prepare(SPEC).empty()
    hops = sound[: len(sound) // HOP * HOP].reshape(-1, HOP).astype(np.float32)
    events = out[: line.process(hops, out=out)]
    return events[events["kind"] == PITCH]


def off(told: np.ndarray, midi: np.ndarray | float) -> np.ndarray:
    """Cents from the truth."""
    return 1200 * np.log2(np.maximum(told["number"], 1) / pitch_of(midi))


def test_a_glide_is_followed_where_it_is() -> None:
    glide = 50 + 12 * T
    told = pitches(voice(glide))
    told = told[(told["time"] > 0.1 * RATE) & (told["time"] < 0.9 * RATE)]
    wrong = off(told, np.interp(told["time"] / RATE, T, glide))
    assert len(told) > 75 and np.abs(wrong).max() < 25


def test_an_overtone_twice_as_strong_as_the_fundamental_is_not_the_pitch() -> None:
    told = pitches(voice(57, (0.5, 1, 0.4, 0.6, 0.3)))
    assert np.abs(off(told[15:90], 57)).max() < 20


def test_a_moment_of_noise_is_bridged_without_a_leap() -> None:
    sound = voice(62)
    sound[RATE // 2 : RATE // 2 + samples(15)] += 0.1 * np.random.default_rng(2).standard_normal(samples(15))
    told = pitches(sound)[15:90]
    heard = told[told["number"] > 0]
    assert len(heard) > 70 and np.abs(off(heard, 62)).max() < 60


def test_neither_noise_nor_silence_has_a_pitch() -> None:
    noise = 0.05 * np.random.default_rng(1).standard_normal(RATE)
    for sound in (noise, 0 * T):
        assert (pitches(sound)["number"] > 0).mean() < 0.05


def test_what_fades_far_below_the_voice_is_not_the_voice() -> None:
    told = pitches(np.concatenate([voice(60), 10 ** (-40 / 20) * voice(60)]))
    late = told[told["time"] > 1.3 * RATE]
    assert (late["number"] == 0).all()
    soft = pitches(10 ** (-40 / 20) * voice(60))[15:90]
    assert np.abs(off(soft, 60)).max() < 20  # softness alone is no reason


def test_no_pitch_waits_longer_than_it_must() -> None:
    told = pitches(voice(60))
    waited = told["emitted"] - told["time"]
    assert waited.min() >= MELODY_DELAY and waited.max() < MELODY_DELAY + HOP <= samples(25)
