# SPDX-License-Identifier: GPL-3.0-or-later
"""The power that counts as full: what frees the learned ears of level, whisper and shout alike."""

import numpy as np

from dsp.kernel import kernel

EMPTY = np.float32(1e-10)  # power of a frame in which nothing sounds: -100 dBFS


def rise(frame: int, rate: int, seconds: float) -> np.float32:
    """Share of a rise that is followed in each frame of so many samples."""
    return np.float32(1 - np.exp(-frame / rate / seconds))


def fall(frame: int, rate: int, db: float) -> np.float32:
    """What is left after each frame of a fall by `db` a second."""
    return np.float32(10 ** (-db * frame / rate / 10))


@kernel
def follow(follower, total, attack, release):
    """Follow the power of one more frame; the scale that makes what counts as full 1.

    Parameters
    ----------
    follower : array, shape (2,)
        Power that counts as full and the frames in which something sounded; rises
        at once when nothing was heard before.
    total : float
        Power of the frame.
    attack, release : float
        Share of a rise that is followed, what is left of a fall.
    """
    if total > EMPTY:
        follower[1] = min(follower[1] + np.float32(1), np.float32(1e6))
        if total > follower[0]:
            follower[0] += max(attack, np.float32(1) / follower[1]) * (total - follower[0])
        else:
            follower[0] *= release
    return np.float32(1) / (follower[0] + EMPTY)
