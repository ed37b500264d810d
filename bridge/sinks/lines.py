# SPDX-License-Identifier: GPL-3.0-or-later
"""Event lines: one JSON object a line, to a file or to stdout."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from bridge.errors import SinkError
from bridge.messages import end_line, labels_of, line, start_line
from bridge.sinks import Say, say_on_stderr
from dsp.events import LEVEL
from dsp.units import RATE


class LinesSink:
    """Event lines to a file, or to stdout for ``-``; each batch is flushed as it comes.

    Parameters
    ----------
    path
        The file, or ``-``.
    notes
        MIDI note of each drum label, where a preset says so.
    level
        Whether to write the input level, 20 lines a second.
    say
        Tells the user one line.

    Attributes
    ----------
    gone : bool
        Whether nobody reads any more, or the disk is full.
    """

    def __init__(
        self,
        path: Path | str,
        notes: Mapping[str, int] | None = None,
        level: bool = False,
        say: Say = say_on_stderr,
    ) -> None:
        self.path, self.gone = str(path), False
        self._labels, self._level, self._say = labels_of(notes or {}), level, say
        self._stdout = self.path == "-"
        self._file: TextIO = sys.stdout
        if not self._stdout:
            try:
                # Newlines stay newlines on Windows: lines are the same everywhere.
                self._file = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                raise SinkError(f"{path}: events cannot be written there: {why}") from None

    def open(self, header: dict[str, Any]) -> None:
        self._put(start_line(header) + "\n")

    def rename(self, notes: Mapping[str, int]) -> None:
        """Show other MIDI notes for the drum labels from now on."""
        self._labels = labels_of(notes)

    def write(self, events: np.ndarray) -> None:
        if not self._level:
            events = events[events["kind"] != LEVEL]
        if len(events):
            self._put("".join(line(event, RATE, self._labels) + "\n" for event in events))

    def close(self, end: dict[str, Any]) -> None:
        self._put(end_line(end) + "\n")
        if not self._stdout and not self._file.closed:
            try:
                self._file.close()
            except OSError:  # what was left in the buffer; said already
                pass
        self.gone = True

    def _put(self, text: str) -> None:
        if self.gone:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except (OSError, ValueError) as error:
            self.gone = True
            if self._stdout:
                _hush()
            if not isinstance(error, BrokenPipeError):  # `| head` has read enough, and that is fine
                why = getattr(error, "strerror", None) or error
                self._say(f"{self.path}: no more events are written: {why}")


def _hush() -> None:
    """Let nothing be written to a closed pipe when Python shuts down."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass
