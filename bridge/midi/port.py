# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's side of MIDI: starts the keeper of the port and talks with it."""

import json
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

from bridge.errors import MidiError
from bridge.midi.outbox import BYTES, CONNECTIONS, LATE, PANIC, STOPPED, Outbox, outbox
from bridge.midi.shared import Shared
from bridge.native import SEMAPHORE_BYTES, open_semaphore

START = 120.0  # a keeper that says nothing for this long, compiling included, is broken [s]
RETRY = 1.0  # between two attempts to start it again [s]


class MidiPort:
    """A MIDI port kept by a process of its own, which outlives this one.

    Parameters
    ----------
    kind
        "jack", "virtual" or "named".
    name
        Of the JACK client or virtual port to make, or part of the name of a port to find.
    connect
        Regular expression of JACK MIDI inputs to connect to.
    """

    def __init__(self, kind: str, name: str, connect: str = "") -> None:
        self._args = (kind, name, connect)
        self._shared = Shared()
        self.box: Outbox = self._shared.outbox
        self.leave = self._shared.semaphore
        self.name = name
        self._said: list[dict[str, Any]] = []
        self._connected: list[str] = []  # what a keeper that has died was connected to
        self._died, self._retry = False, 0.0
        self._start()

    def _start(self) -> None:
        # -P keeps the user's own folder off the import path of a module run by name.
        command = [sys.executable, "-P", "-m", "bridge.midi.keeper", str(self._shared.path), *self._args]
        command += self._connected
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._ready = threading.Event()
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def _read(self, process: Any) -> None:
        for line in process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said.get("keeper") == "connected":
                self._connected = said["ports"]
                continue
            self._said.append(said)
            if said.get("keeper") in ("ready", "error"):
                self._ready.set()
        self._ready.set()

    def wait(self) -> None:
        """Wait until the port is open.

        Raises
        ------
        MidiError
            Where it cannot be opened, with the reason.
        """
        self._ready.wait(START)
        first = self._said.pop(0) if self._said else {}
        if first.get("keeper") == "ready":
            self.name = first["port"]
            return
        self.close()
        raise MidiError(
            first.get("message", "the process that keeps the MIDI port did not start"),
            hint=first.get("hint", "`earwire doctor` looks for the reason"),
        )

    def look(self) -> str | None:
        """What a user should be told, once each."""
        while self._said:
            said = self._said.pop(0)
            if said.get("keeper") == "gone":
                return f"the MIDI port {self.name} has gone; waiting for it to come back"
            if said.get("keeper") == "back":
                return f"the MIDI port {self.name} is back"
            if said.get("keeper") == "ready":
                self.name, self._died = said["port"], False
                return f"the MIDI port {self.name} is open again"
        if self._process.poll() is not None and time.monotonic() >= self._retry:
            self._retry = time.monotonic() + RETRY
            self._start()
            if not self._died:
                self._died = True
                return f"the process that kept the MIDI port {self.name} has died; opening it again"
        return None

    @property
    def connections(self) -> int:
        return int(self.box.words[CONNECTIONS])

    @property
    def late(self) -> int:
        return int(self.box.words[LATE])

    def panic(self) -> None:
        """End every sounding note now."""
        self.box.words[PANIC] += 1

    def close(self) -> None:
        """End every sounding note and close the port."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._shared.forget_name()

    @property
    def left_sounding(self) -> int:
        """Notes the keeper could not end, once closed."""
        return max(0, int(self.box.words[STOPPED]) - 1)


class NoMidi:
    """Stands in where no MIDI goes out: messages are dropped with the outbox they lie in."""

    name, connections, late, left_sounding = "", 0, 0, 0

    def __init__(self) -> None:
        self.box = outbox(np.zeros(BYTES, np.uint8))
        self.box.ring.counts[8] = np.iinfo(np.int64).max // 2  # always looks read
        self.leave = np.zeros(SEMAPHORE_BYTES, np.uint8)
        open_semaphore(self.leave)

    def wait(self) -> None: ...

    def look(self) -> str | None:
        return None

    def panic(self) -> None: ...

    def close(self) -> None: ...
