# SPDX-License-Identifier: GPL-3.0-or-later
"""Where events go besides MIDI ports: lines, OSC, MIDI files, takes."""

import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

Say = Callable[[str], None]


class Sink(Protocol):
    """Somewhere events go, off the audio path.

    What goes wrong while it runs is said once and survived: a sink that is
    gone must not take the music with it. `close` may be called more than once.
    """

    def open(self, header: dict[str, Any]) -> None:
        """The session hears: preset, constants and ports, as in the start line."""
        ...

    def write(self, events: np.ndarray) -> None:
        """Events (n,) EVENT, in the order they were decided; keeps none of the array."""
        ...

    def close(self, end: dict[str, Any]) -> None:
        """The session ends: counts, as in the end line."""
        ...


def say_on_stderr(line: str) -> None:
    """Tell the user one line where no session does."""
    print(f"earwire: {line}", file=sys.stderr, flush=True)
