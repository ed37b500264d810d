# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin chain on its way: one Python thread between two rings, its delay declared."""

import threading
from collections.abc import Sequence

import numpy as np

from bridge import realtime
from bridge.native import post_semaphore, wait_semaphore
from bridge.plugins import PluginChain
from bridge.preset import PluginSettings
from bridge.ring import READ, WRITTEN, ring_read, ring_write
from bridge.sources.base import Feed, feed

BLOCK = 256  # most samples handed to the chain at once


class PluginLane:
    """Takes sound out of the source's feed, through the chain, into a feed of its own.

    Parameters
    ----------
    before
        The source's feed.
    plugins
        Of the preset.
    rate
        Of the source [Hz].

    Notes
    -----
    The engine reads the clock of the source from the same control words, which
    count source samples; `delay` [source samples] is how far the chain's output lags.
    """

    def __init__(self, before: Feed, plugins: Sequence[PluginSettings], rate: int) -> None:
        self._before = before
        self._chain = PluginChain(plugins, rate)
        self.delay: int = self._chain.delay
        after = feed()
        self.feed = Feed(before.control, after.audio, after.wake)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plugins", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        realtime.promote(50)
        block = np.zeros(BLOCK, np.float32)
        while not self._stop.is_set():
            wait_semaphore(self._before.wake, 0.1)
            while n := ring_read(self._before.audio, block):
                while not ring_write(self.feed.audio, self._chain.process(block[:n])):
                    if self._stop.wait(0.001):
                        return
                post_semaphore(self.feed.wake)

    def idle(self) -> bool:
        """Whether all that came in has gone on."""
        counts = self._before.audio.counts
        return bool(counts[READ] >= counts[WRITTEN])

    def close(self) -> None:
        self._stop.set()
        post_semaphore(self._before.wake)
        self._thread.join(1.0)
