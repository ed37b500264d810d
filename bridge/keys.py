# SPDX-License-Identifier: GPL-3.0-or-later
"""Single keys from the terminal, where somebody sits before one."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


class Keys:
    """Calls `take` with each key pressed, until closed; does nothing where there is no keyboard.

    Parameters
    ----------
    take
        Called on a thread of its own with one character; the escape key is ``"\\x1b"``.

    Attributes
    ----------
    there : bool
        Whether keys are read.
    """

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take, self._stop = take, threading.Event()
        self._restore: Callable[[], None] = lambda: None
        self._fd = -1
        self._thread = threading.Thread(target=self._read, name="keys", daemon=True)
        self.there = _foreground() and self._prepare()
        if self.there:
            self._thread.start()

    def _prepare(self) -> bool:
        """Have the terminal hand over keys without waiting for a line."""
        if sys.platform == "win32":
            return True
        import termios
        import tty

        try:
            self._fd = fd = sys.stdin.fileno()
            earlier = termios.tcgetattr(fd)
            tty.setcbreak(fd)  # Ctrl-C still ends
        except (termios.error, OSError, ValueError):
            return False

        def restore() -> None:
            termios.tcsetattr(fd, termios.TCSADRAIN, earlier)

        self._restore = restore
        return True

    def _read(self) -> None:
        while not self._stop.is_set():
            if key := _key(self._fd, 0.2):
                self._take(key)

    def close(self) -> None:
        """Give the terminal back as it was."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        restore, self._restore = self._restore, lambda: None
        try:
            restore()
        except Exception:  # noqa: BLE001 - the terminal has gone
            pass


def _foreground() -> bool:
    """Whether stdin is a terminal whose keys are meant for us, not for a shell we run behind."""
    try:
        if not sys.stdin.isatty():
            return False
        if sys.platform == "win32":
            return True
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False


def _key(fd: int, timeout: float) -> str:
    """The next key, or nothing within `timeout` [s]."""
    if sys.platform == "win32":
        return _windows_key(timeout)
    import select

    try:
        ready, _, _ = select.select([fd], [], [], timeout)
        data = os.read(fd, 16) if ready else b""
    except (OSError, ValueError):  # the terminal has gone
        time.sleep(timeout)
        return ""
    return "" if len(data) > 1 and data[:1] == b"\x1b" else data[:1].decode("ascii", "ignore")


def _windows_key(timeout: float) -> str:
    import msvcrt

    console: Any = msvcrt
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if console.kbhit():
            key: str = console.getwch()
            return key
        time.sleep(0.02)
    return ""
