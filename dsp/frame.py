# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames: the newest samples, under a window that ends now."""

import numpy as np

from dsp.kernel import kernel


def asymmetric_window(size: int, fall: int) -> np.ndarray:
    """Raised cosine that rises over all but the newest `fall` samples; a full-scale sine has power 1."""
    rise = size - fall
    window = np.append(
        0.5 - 0.5 * np.cos(np.pi * (np.arange(rise) + 0.5) / rise),
        0.5 + 0.5 * np.cos(np.pi * (np.arange(fall) + 0.5) / fall),
    )
    return (2 * window / window.sum()).astype(np.float32)


@kernel
def windowed(window, history, out):
    """The newest samples of `history` under a window."""
    start = len(history) - len(window)
    for i in range(len(window)):
        out[i] = window[i] * history[start + i]


@kernel
def make_room(history, n):
    """Let the oldest `n` samples go."""
    for i in range(len(history) - n):
        history[i] = history[i + n]


@kernel
def push(history, x):
    """Have x, shape (n,), be the newest of `history`."""
    n = len(x)
    kept = len(history) - n
    make_room(history, n)
    for i in range(n):
        history[kept + i] = x[i]
