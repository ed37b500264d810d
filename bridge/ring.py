# SPDX-License-Identifier: GPL-3.0-or-later
"""Rings between one writer and one reader: published with release, read with acquire."""

from typing import NamedTuple

import numpy as np

from bridge.native import acquire, release
from dsp.kernel import kernel

WRITTEN, READ, LOST = 0, 8, 16  # words of `counts`, each on a cache line of its own


class Ring(NamedTuple):
    data: np.ndarray  # (size,), size a power of two
    counts: np.ndarray  # (24,) int64: items written, read and lost since the start


def ring(size: int, dtype: np.typing.DTypeLike) -> Ring:
    """An empty ring of `size` items, a power of two."""
    if size & (size - 1):
        raise ValueError(f"{size} is no power of two")
    return Ring(np.zeros(size, dtype), np.zeros(24, np.int64))


@kernel
def ring_write(ring, x):
    """Append all of `x`, or nothing where it does not fit: that is an overrun, counted in items."""
    written, size = ring.counts[WRITTEN], len(ring.data)
    if len(x) > size - (written - acquire(ring.counts, READ)):
        ring.counts[LOST] += len(x)
        return 0
    for i in range(len(x)):
        ring.data[(written + i) & (size - 1)] = x[i]
    release(ring.counts, WRITTEN, written + len(x))
    return len(x)


@kernel
def ring_read(ring, out):
    """Move up to ``len(out)`` items to `out`; how many."""
    read, size = ring.counts[READ], len(ring.data)
    n = min(acquire(ring.counts, WRITTEN) - read, len(out))
    for i in range(n):
        out[i] = ring.data[(read + i) & (size - 1)]
    release(ring.counts, READ, read + n)
    return n


@kernel
def ring_ready(ring):
    """How many items wait to be read."""
    return acquire(ring.counts, WRITTEN) - ring.counts[READ]
