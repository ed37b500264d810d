# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys read one by one from the terminal."""

import os
import sys

import pytest

from bridge.keys import Keys


@pytest.mark.linux
def test_keys_are_read_one_by_one_and_the_terminal_is_given_back(monkeypatch):
    import pty
    import termios
    import threading

    master, slave = pty.openpty()
    pressed, came = [], threading.Event()

    def take(key):
        pressed.append(key)
        if len(pressed) == 2:
            came.set()

    with os.fdopen(slave, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr("bridge.keys._foreground", lambda: True)
        before = termios.tcgetattr(terminal)
        keys = Keys(take)
        assert keys.there and termios.tcgetattr(terminal) != before
        os.write(master, b"c")
        while not pressed:
            came.wait(0.01)
        os.write(master, b"\x1b[A")  # an arrow is no key of ours
        os.write(master, b"")
        came.wait(0.3)
        os.write(master, b"u")
        assert came.wait(10) and pressed == ["c", "u"]
        keys.close()
        keys.close()
        assert termios.tcgetattr(terminal) == before
    os.close(master)


def test_where_nobody_types_no_keys_are_read(monkeypatch):
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert not Keys(lambda key: None).there
    monkeypatch.setattr(sys, "stdin", None)
    assert not Keys(lambda key: None).there
