# SPDX-License-Identifier: GPL-3.0-or-later
"""A file, or what another program pipes in, as a source."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

import numpy as np

from bridge.errors import EarwireError
from bridge.midi.outbox import NANOSECONDS
from bridge.native import clock_ns, post_semaphore
from bridge.ring import READ, WRITTEN, ring_write
from bridge.sources.base import DONE, NS_OFFSET, PERIOD, feed

BLOCK = 128  # samples handed over at once in real time
SLACK_NS = 4_000_000  # a Python thread that paces a file is this late at worst, nearly always


class StreamSource:
    """Blocks of mono sound, handed over at their own pace or as fast as they are heard.

    Parameters
    ----------
    name
        As a user knows it.
    blocks
        Mono float32 blocks of any length.
    rate
        [Hz]
    pace
        "real" plays at the rate of the source, "fast" as fast as the engine
        listens, "given" as blocks arrive.
    warning
        Tells, once it has been played, what is wrong with the sound; "" for nothing.

    Attributes
    ----------
    tail : int
        Silence to add at the end, so that the last sound comes out of what delays it [samples].
    """

    tail = 0

    clock = NANOSECONDS
    xruns = 0

    def __init__(
        self,
        name: str,
        blocks: Iterator[np.ndarray],
        rate: int,
        pace: str = "real",
        warning: Callable[[], str] = str,
    ) -> None:
        self.name, self.rate, self._blocks, self._pace = name, rate, blocks, pace
        self._warning = warning
        self.patient = pace == "fast"
        self.feed = feed()
        self.feed.control[PERIOD] = BLOCK
        self.path_ns = BLOCK * 1_000_000_000 // rate + SLACK_NS
        self.ports = [name]
        self._stop = threading.Event()
        self._trouble: EarwireError | None = None
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self._hand_over()
        except EarwireError as error:
            self._trouble = error

    def _hand_over(self) -> None:
        control, audio = self.feed.control, self.feed.audio
        start, done = clock_ns(), 0
        control[NS_OFFSET] = start
        for whole in chain(self._blocks, [np.zeros(self.tail, np.float32)]):
            for at in range(0, len(whole), BLOCK):
                block = np.ascontiguousarray(whole[at : at + BLOCK], np.float32)
                done += len(block)
                if self._pace == "real":
                    ahead = (start + done * 1_000_000_000 // self.rate - clock_ns()) * 1e-9
                    if ahead > 0 and self._stop.wait(ahead):
                        return
                elif self._pace == "given":
                    control[NS_OFFSET] = clock_ns() - done * 1_000_000_000 // self.rate
                while len(audio.data) - (audio.counts[WRITTEN] - audio.counts[READ]) < len(block):
                    if self._stop.is_set():
                        return
                    time.sleep(0.0005)
                ring_write(audio, block)
                post_semaphore(self.feed.wake)
                if self._stop.is_set():
                    return

    def look(self) -> str | None:
        if self._trouble is not None:
            error, self._trouble = self._trouble, None
            raise error
        if not self._thread.is_alive():
            told, self._warning = self._warning(), str
            return told or None
        return None

    @property
    def ended(self) -> bool:
        done = self.feed.control[DONE] >= self.feed.audio.counts[WRITTEN]
        return not self._thread.is_alive() and bool(done)

    def close(self) -> None:
        self._stop.set()
        with suppress(RuntimeError):  # never started
            self._thread.join(0.5)
