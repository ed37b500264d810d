# SPDX-License-Identifier: GPL-3.0-or-later
"""The first start compiles the kernels: show how far it is, and let Ctrl-C end it."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numba.core import event

from dsp.kernel import cache_path

KEEP = 3  # versions of compiled kernels kept, newest first
PATIENCE = 0.5  # what compiles no longer than this is not worth a word [s]
# Functions that a first start compiles: to hear a file, to run, and for JACK besides.
HEARING, ENGINE, JACK = 195, 263, 41


class _Teller(event.Listener):
    """Tells on stderr that there is compiling: a bar on a terminal, a line elsewhere."""

    def __init__(self, quiet: bool, expected: int) -> None:
        self.compiled = 0
        self._quiet, self._expected = quiet, expected
        self._began = 0.0
        self._told = False
        self._progress: Any = None

    def on_start(self, _event: Any) -> None:
        now = time.monotonic()
        self._began = self._began or now
        if not self._told and now - self._began >= PATIENCE:
            self._told = True
            self._tell()

    def on_end(self, _event: Any) -> None:
        self.compiled += 1
        self._show(self.compiled)

    def _tell(self) -> None:
        terminal = sys.stderr.isatty()
        if self._quiet or not terminal:
            if terminal or not self._quiet:  # who asks for quiet and looks elsewhere is not waiting
                _say("compiling for this processor, once: a minute or two")
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar = self._progress.add_task("Compiling for this processor, once", total=self._expected)
        self._progress.start()

    def _show(self, done: int) -> None:
        if self._progress is not None:
            self._progress.update(self._bar, completed=done)

    def stop(self) -> None:
        """Put the terminal back as it was."""
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def compiling(quiet: bool = False, expected: int = ENGINE) -> Iterator[None]:
    """Tell how far compiling is, wherever in here there is any.

    What is compiled already is loaded without a word. SIGINT and SIGTERM end
    the process at once: an exception would be lost in the compiler's callbacks.

    Parameters
    ----------
    quiet
        A line instead of a bar, and only on a terminal.
    expected
        Functions that a first start compiles.
    """
    teller = _Teller(quiet, expected)

    def end(*_: Any) -> None:
        teller.stop()
        _say("stopped; what is compiled so far is kept" if teller.compiled else "stopped")
        os._exit(1)

    with _on_signal(end), event.install_listener("numba:compile", teller):
        try:
            yield
            teller._show(expected)
        finally:
            teller.stop()
    if teller.compiled:
        _forget_old(cache_path())


@contextmanager
def _on_signal(end: Any) -> Iterator[None]:
    """Have `end` called for SIGINT and SIGTERM, where signals are ours to take."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _say(line: str) -> None:
    with suppress(OSError, ValueError):  # nobody listens
        print(f"earwire: {line}", file=sys.stderr, flush=True)


def _forget_old(path: Path) -> None:
    """Let go of the oldest versions of compiled kernels."""
    with suppress(OSError):  # a read-only home compiles at every start, and runs all the same
        os.utime(path)
        for old in sorted(path.parent.iterdir(), key=os.path.getmtime, reverse=True)[KEEP:]:
            shutil.rmtree(old, ignore_errors=True)
