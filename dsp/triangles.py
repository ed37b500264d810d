# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlapping bands of a spectrum, each a triangle over its bins."""

from typing import NamedTuple

import numpy as np

from dsp.kernel import kernel
from dsp.units import RATE


class Triangles(NamedTuple):
    first: np.ndarray  # (bands,) bin with which each begins
    start: np.ndarray  # (bands + 1,) where the weights of each begin, and the last end
    weights: np.ndarray  # (n,)


def triangles(size: int, low: np.ndarray, peak: np.ndarray, high: np.ndarray) -> Triangles:
    """Bands that begin, peak and end there [bins] in the spectrum of `size` samples; DC counts for nothing."""
    first, weights = [], []
    for a, b, c in zip(low, peak, high, strict=True):
        bins = np.arange(max(1, np.ceil(a)), min(int(c), size // 2) + 1)
        first.append(int(bins[0]))
        weights.append(np.maximum(np.minimum((bins - a) / (b - a), (c - bins) / (c - b)), 0))
    start = np.cumsum([0] + [len(w) for w in weights])
    return Triangles(np.array(first), start, np.concatenate(weights).astype(np.float32))


def corners(size: int, low: float, high: float, count: int) -> np.ndarray:
    """Where `count` overlapping bands begin, peak and end [bins]: even in pitch, a bin wide at least."""
    bins = np.geomspace(low, high, count + 2) * size / RATE
    for i in range(1, len(bins)):
        bins[i] = max(bins[i], bins[i - 1] + 1)
    return bins.astype(np.float32)


def even_triangles(size: int, low: float, high: float, count: int) -> Triangles:
    """`count` bands from `low` to `high` [Hz] over the spectrum of `size` samples at 48 kHz."""
    edges = corners(size, low, high, count).astype(float)
    return triangles(size, edges[:-2], edges[1:-1], edges[2:])


@kernel
def under(triangles, spectrum, out):
    """Power under each triangle."""
    first, start, weights = triangles.first, triangles.start, triangles.weights
    for band in range(len(out)):
        shift = first[band] - start[band]
        total = np.float32(0)
        for i in range(start[band], start[band + 1]):
            total += weights[i] * spectrum[i + shift]
        out[band] = total
