# SPDX-License-Identifier: GPL-3.0-or-later
"""What every source of sound offers the engine."""

from typing import NamedTuple, Protocol

import numpy as np

from bridge.native import SEMAPHORE_BYTES, open_semaphore
from bridge.ring import Ring, ring

CONTROL_WORDS = 64  # the source's callback and the engine's loop meet here


class Feed(NamedTuple):
    """The memory between a source and the engine."""

    control: np.ndarray  # (CONTROL_WORDS,) int64
    audio: Ring  # float32 mono at the source's rate
    wake: np.ndarray  # semaphore posted with every block


def feed(seconds_at_192k: float = 0.7) -> Feed:
    size = 1 << int(np.ceil(np.log2(seconds_at_192k * 192_000)))
    wake = np.zeros(SEMAPHORE_BYTES, np.uint8)
    open_semaphore(wake)
    return Feed(np.zeros(CONTROL_WORDS, np.int64), ring(size, np.float32), wake)


class Source(Protocol):
    """Sound that arrives in `feed` from `start` to `close`."""

    feed: Feed
    name: str  # as a user knows it
    rate: int  # [Hz]
    clock: int  # outbox.FRAMES or outbox.NANOSECONDS, what the feed's offset counts
    path_ns: int  # from the newest sample to a departure that is never late, in ns clocks

    def start(self) -> None: ...

    def look(self) -> str | None:
        """Tend the source, ten times a second; what a user should be told, once each."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no more sound will come."""
        ...

    @property
    def xruns(self) -> int:
        """How often the device lost samples."""
        ...

    def close(self) -> None: ...
