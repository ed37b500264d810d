# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract every box on the audio path keeps; `tests/contract.py` verifies it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dsp.events import EVENT
from dsp.units import HOP, RATE


@dataclass(frozen=True, slots=True)
class Spec:
    """What flows between two stages.

    Item k exists after source sample ``(k + 1) * hop - 1`` and speaks of that
    sample minus `delay`.
    """

    rate: float = RATE  # source sample rate [Hz], the same everywhere on the path
    hop: int = 1  # source samples per item; 1 = audio itself (and events)
    shape: tuple[int, ...] = ()  # of one item
    dtype: np.dtype = np.dtype(np.float32)
    capacity: int = 64  # most items one call may be given
    delay: int = 0  # how far an item lags the sound that caused it [samples]

    def empty(self) -> np.ndarray:
        """Room for one call's items, shape (capacity, *shape)."""
        return np.zeros((self.capacity, *self.shape), self.dtype)


class Stage(Protocol):
    """Items in, items out, nothing else."""

    def prepare(self, *specs: Spec) -> Spec:
        """Allocate, compile, warm up; say what comes out."""
        ...

    def process(self, *xs: np.ndarray, out: np.ndarray) -> int:
        """Consume all of each x, write to ``out[:n]``, return n. Keeps nothing."""
        ...

    def reset(self) -> None:
        """Forget all that was heard; allocate nothing."""
        ...


def arrays(state: Any) -> list[np.ndarray]:
    """All arrays of a state: a named tuple of arrays and named tuples."""
    found: list[np.ndarray] = []
    for part in state:
        found.extend([part] if isinstance(part, np.ndarray) else arrays(part))
    return found


class KernelStage:
    """A stage that is a state and a kernel ``step(state, *xs, out) -> n``.

    A subclass sets `step` and makes its state (a named tuple of arrays and
    such tuples) in `prepare`, then calls `_ready`.
    """

    step: Callable[..., int]

    def _ready(self, state: Any, *empty: np.ndarray) -> None:
        """Keep `state`, remember it pristine, and compile on no input (`empty` ends with out)."""
        self.state = state
        self._pristine = [(array, array.copy()) for array in arrays(state)]
        type(self).step(state, *empty)

    def _framed(self, spec: Spec, state: Any, hops: int, shape: tuple[int, ...], delay: int = 0) -> Spec:
        """`_ready`, for float32 items of `shape`, one for every so many hops of audio; what comes out."""
        frames = -(-spec.capacity // hops)
        out = Spec(spec.rate, hops * HOP, shape, capacity=frames, delay=spec.delay + delay)
        return self._hears(state, out)

    def _detects(self, spec: Spec, state: Any, room: int) -> Spec:
        """`_ready`, for events, at most `room` of them in a hop of audio; what comes out."""
        return self._hears(state, Spec(spec.rate, dtype=EVENT, capacity=room * spec.capacity))

    def _hears(self, state: Any, out: Spec) -> Spec:
        self._ready(state, np.zeros((0, HOP), np.float32), out.empty())
        return out

    def process(self, *xs: np.ndarray, out: np.ndarray) -> int:
        return type(self).step(self.state, *xs, out)

    def reset(self) -> None:
        for array, pristine in self._pristine:
            array[...] = pristine
