# SPDX-License-Identifier: GPL-3.0-or-later
"""What every source of sound offers the engine."""

from typing import NamedTuple, Protocol

import numpy as np
from numba import carray

from bridge.native import SEMAPHORE_BYTES, open_semaphore, pointer, post
from bridge.ring import Ring, ring
from dsp.kernel import kernel

# Words of a source's (CONTROL_WORDS,) int64 array, where its callback and the engine's loop meet.
CLIENT, PERIOD, FREEWHEEL, GONE, XRUNS, JUMPS, JUMP_SAMPLES, BLOCKS = range(8)
EXPECTED = 8  # frame time the next block should start at
OFFSET = 9  # frame time of sample 0 of the stream
DONE = 10  # samples the engine has finished with
RING_DATA, RING_LENGTH, RING_COUNT, SEMAPHORE = 11, 12, 13, 14
NS_OFFSET = 15  # monotonic time of sample 0 of the stream [ns], as the newest block says
PORTS, PORT = 16, 17  # how many, and their handles (JACK) from PORT on
MAX_PORTS = 16
CLOCK = PORT + MAX_PORTS  # (2,) scratch for now_ns
RATE = CLOCK + 2
CHANNELS, CHOSEN = RATE + 1, RATE + 2  # of a device: how many, and a bit for each that is heard
PATIENCE = 48  # samples that may wait in the ring without the engine being woken; the engine's to write
CONTROL_WORDS = 64


class Feed(NamedTuple):
    """The memory between a source and the engine."""

    control: np.ndarray  # (CONTROL_WORDS,) int64
    audio: Ring  # float32 mono at the source's rate
    wake: np.ndarray  # semaphore posted with every block


def feed(seconds_at_192k: float = 0.7) -> Feed:
    size = 1 << int(np.ceil(np.log2(seconds_at_192k * 192_000)))
    wake = np.zeros(SEMAPHORE_BYTES, np.uint8)
    open_semaphore(wake)
    made = Feed(np.zeros(CONTROL_WORDS, np.int64), ring(size, np.float32), wake)
    made.control[RING_DATA] = made.audio.data.ctypes.data
    made.control[RING_LENGTH] = size
    made.control[RING_COUNT] = made.audio.counts.ctypes.data
    made.control[SEMAPHORE] = wake.ctypes.data
    return made


@kernel(views=True)
def ring_at(control):
    """The feed's ring, from the control words a callback is given."""
    length = control[RING_LENGTH]
    return Ring(
        carray(pointer(np.uintp(control[RING_DATA])), (length,), np.float32),
        carray(pointer(np.uintp(control[RING_COUNT])), (24,), np.int64),
    )


@kernel(views=True)
def wake_engine(control):
    """Post the feed's semaphore."""
    post(carray(pointer(np.uintp(control[SEMAPHORE])), (SEMAPHORE_BYTES,), np.uint8))


class Source(Protocol):
    """Sound that arrives in `feed` from `start` to `close`."""

    feed: Feed
    name: str  # as a user knows it
    rate: int  # [Hz]
    clock: int  # outbox.FRAMES or outbox.NANOSECONDS, what the feed's offset counts
    path_ns: int  # from the newest sample to a departure that is never late, in ns clocks

    def start(self) -> None: ...

    def look(self) -> str | None:
        """Tend the source, four times a second; what a user should be told, once each."""
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
