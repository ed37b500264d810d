# SPDX-License-Identifier: GPL-3.0-or-later
"""Fits what tells how hard a key was struck: levels at the onsets of the corpus against velocities.

Loudness and instrument differ from scene to scene, so that only what is harder or softer within a scene counts.
"""

from collections.abc import Sequence

import numpy as np

from dsp.tones import BINS, BINS_A_PITCH, PITCHES
from dsp.touch import OVERTONES, REGISTER, SEEN, STILLEST, TOUCH
from models.train.note_corpus import Scene

NOTES, VARIED = 20, 0.04  # least of a scene, and least deviation of its velocities
STIFF = 0.09  # weight of the squares of the weights
SPREAD = 0.18  # deviation that the velocities of a scene are given
MIDDLE = 0.55  # velocity of the middle of all notes
TOLD = 0.6  # deviations that a logit of the net counts for; set on renders kept from training


def features(heard: np.ndarray, frame: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """All that `dsp.touch` weighs but the net, shape (notes, TOUCH - 1), of log10 of powers (frames, WINDOWS, BINS)."""
    level = np.log10(10.0 ** heard[frame][:, :SEEN].astype(np.float64) + STILLEST)
    bins = np.minimum(BINS_A_PITCH * pitch[:, None] + 1 + OVERTONES, BINS - 1)
    own = [np.take_along_axis(level[:, window], bins, 1) for window in range(SEEN)]
    whole = np.log10((10.0**level).sum(2) + STILLEST)
    height = pitch[:, None] / PITCHES
    return np.concatenate([*own, whole, REGISTER * height, REGISTER * height**2], 1)


def fitted(scenes: Sequence[Scene], lag: int) -> tuple[np.ndarray, float]:
    """Weights, shape (TOUCH,), and bias of what is decided `lag` frames after an onset."""
    products, sums, means, count = (
        np.zeros((TOUCH - 1, TOUCH - 1)),
        np.zeros(TOUCH - 1),
        np.zeros(TOUCH - 1),
        0,
    )
    for scene in scenes:
        known = (scene.pitch >= 0) & (scene.pitch < PITCHES) & (scene.onset + lag < len(scene.heard))
        velocity = scene.velocity[known].astype(np.float64)
        if len(velocity) < NOTES or velocity.std() < VARIED:
            continue
        x = features(scene.heard, scene.onset[known] + lag, scene.pitch[known].astype(np.int64))
        means += x.mean(0)
        x -= x.mean(0)
        products += x.T @ x / len(x)
        sums += x.T @ ((velocity - velocity.mean()) / velocity.std()) / len(x)
        count += 1
    weights = np.linalg.solve(products / count + STIFF * np.eye(TOUCH - 1), sums / count)
    weights = SPREAD * np.append(weights, TOLD)
    return weights.astype(np.float32), float(MIDDLE - weights[:-1] @ (means / count))
