# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that owns the MIDI port and outlives the engine.

It maps the outbox, puts each message out when it is due, and ends every
sounding note through the same port when the engine stops, panics or dies: the
engine holds the other end of our stdin, which closes with it, whatever ended it.

Speaks JSON lines on stdout: ``ready``, ``gone`` (port or server lost), ``back``, ``connected``, ``error``.
"""

import json
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Protocol

import numpy as np

from bridge import realtime
from bridge.errors import EarwireError, MidiError
from bridge.midi.outbox import (
    CONNECTIONS,
    CONSTANT,
    LENGTH,
    MESSAGE,
    PANIC,
    PANIC_DONE,
    SOUNDING,
    STOPPED,
    UPSTREAM,
    collect,
    deliver,
    length_of,
)
from bridge.midi.shared import Shared
from bridge.native import clock_ns, post_semaphore, wait_semaphore

REACHES = 8  # cycles until a new connection carries what is sent
LOOK = 0.25  # between two looks at the port; the engine's end is noticed at once [s]
SETTLE = 0.02  # time for the last messages to pass through the port before it closes [s]


class Port(Protocol):
    """A MIDI port that empties the outbox."""

    name: str

    def look(self) -> str | None:
        """Tend the port, four times a second; "gone" or "back" where that has changed."""
        ...

    def close(self) -> None: ...


class JackPort:
    """A JACK MIDI port of a client of its own: each message on its exact sample."""

    def __init__(self, shared: Shared, client_name: str, connect: str, connected: list[str]) -> None:
        from bridge.jack import client as jack

        self._jack, self._shared, self._client_name = jack, shared, client_name
        self._wanted, self._connected = connect, connected
        self._lag: list[int] = []  # constant and upstream, as last published
        self._out = np.zeros(512, MESSAGE)
        self._client: Any = None
        self._retry = 0.0
        self._open(jack.Client.open(client_name))

    def _open(self, client: Any) -> None:
        from bridge.jack import callbacks

        self._callbacks = callbacks
        self._control = np.zeros(callbacks.OUTPUT_WORDS, np.int64)
        self._client = client
        self.name = f"{client.name}:out"
        control = self._control
        control[callbacks.OUT_CLIENT] = client.handle
        control[callbacks.OUT_PORT] = client.port("out", self._jack.MIDI, self._jack.IS_OUTPUT)
        control[callbacks.OUT_MEMORY] = self._shared.outbox.ring.data.ctypes.data
        control[callbacks.OUT_RATE] = client.rate
        control[callbacks.OUT_SCRATCH] = self._out.ctypes.data
        control[callbacks.OUT_HELD] = 1
        client.callback("process", callbacks.on_midi.address, control.ctypes.data)
        client.callback("latency", callbacks.on_latency.address, control.ctypes.data)
        client.callback("shutdown", callbacks.on_midi_shutdown.address, control.ctypes.data)
        client.activate()
        self._wiring = self._jack.Wiring()
        self._wiring.lost((self.name, target) for target in self._connected)
        self._wiring.tend(client, self._targets)
        self._forget_earlier(len(self._client.connections(control[callbacks.OUT_PORT])))

    def _targets(self) -> list[tuple[str, str]]:
        """Each MIDI input that fits, with the port of ours."""
        if not self._wanted:
            return []
        inputs = self._client.ports(self._wanted, self._jack.MIDI, self._jack.IS_INPUT)
        return [(self.name, target) for target in inputs]

    def _forget_earlier(self, connected: int) -> None:
        """End what sounded through an earlier port and drop what it did not send, once this one is heard."""
        callbacks, control, deadline = self._callbacks, self._control, time.monotonic() + 1.0
        while len(self._client.connections(control[callbacks.OUT_PORT])) < connected:
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)
        heard = control[callbacks.OUT_CYCLES] + REACHES * (connected > 0)
        while control[callbacks.OUT_CYCLES] < heard and time.monotonic() < deadline:
            time.sleep(0.002)
        self._shared.outbox.words[PANIC] += 1
        control[callbacks.OUT_HELD] = 0

    def look(self) -> str | None:
        callbacks, box = self._callbacks, self._shared.outbox
        if self._client is None:
            if time.monotonic() < self._retry:
                return None
            self._retry = time.monotonic() + 0.5
            client = self._jack.Client.try_open(self._client_name)
            if client is None:
                return None
            self._open(client)
            return "back"
        if self._control[callbacks.OUT_GONE]:
            self._client.close()
            self._client = None
            return "gone"
        lag = box.words[CONSTANT : UPSTREAM + 2].tolist()
        if self._lag != lag:
            self._lag = lag
            self._client.lib.jack_recompute_total_latencies(self._client.handle)
        if self._wiring.tend(self._client, self._targets):
            box.words[PANIC] += 1  # a synthesiser that was away may still hold a note
        connected = self._client.connections(self._control[callbacks.OUT_PORT])
        box.words[CONNECTIONS] = len(connected)
        if connected != self._connected:
            self._connected = connected
            _say("connected", ports=connected)  # for the keeper that may have to follow us
        return None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


class RtMidiPort:
    """A port of the system's own MIDI, through rtmidi; one thread does nothing else."""

    def __init__(self, shared: Shared, name: str, virtual: bool) -> None:
        from bridge.midi import rtports

        self._shared, self._rtports = shared, rtports
        self._wanted, self._virtual = name, virtual
        self._gone, self._retry, self._closing = False, 0.0, False
        self._port = rtports.open_output(name, virtual)
        self.name = self._port.name
        shared.outbox.words[CONNECTIONS] = 1
        shared.outbox.words[PANIC] += 1  # an earlier keeper may have left notes sounding
        self._thread = threading.Thread(target=self._empty, daemon=True)
        self._thread.start()

    def _empty(self) -> None:
        realtime.promote()
        box, out = self._shared.outbox, np.zeros(256, MESSAGE)
        while not self._closing:
            now = clock_ns()
            collect(box, 0, now, now, 1_000_000_000)
            for message in out[: deliver(box, now, now + 1, out)]:
                try:
                    status = int(message["status"])
                    data = [status, int(message["data1"]), int(message["data2"])]
                    self._port.send(data[: length_of(status)])
                except Exception:  # noqa: BLE001 - rtmidi raises what the system's driver raises
                    self._gone = True
            if box.words[LENGTH]:
                wait = (int(box.queue["due"][0]) - clock_ns()) * 1e-9
            else:
                wait = 0.1
            if wait > 0 and box.words[PANIC] == box.words[PANIC_DONE]:
                wait_semaphore(self._shared.semaphore, min(wait, 0.1))

    def look(self) -> str | None:
        if time.monotonic() < self._retry:
            return None
        self._retry = time.monotonic() + 1.0
        if self._virtual:
            return None
        here = self._rtports.exists(self._port)
        if here and self._gone:
            lost, self._port = self._port, self._rtports.open_output(self._wanted, False)
            self._gone = False
            with suppress(Exception):  # rtmidi raises what it likes
                lost.close()
            self._shared.outbox.words[PANIC] += 1
            self._shared.outbox.words[CONNECTIONS] += 1
            return "back"
        if not here and not self._gone:
            self._gone = True
            return "gone"
        return None

    def close(self) -> None:
        self._closing = True
        post_semaphore(self._shared.semaphore)
        self._thread.join(1.0)
        self._port.close()


def _say(what: str, **more: Any) -> None:
    try:
        print(json.dumps({"keeper": what, **more}), flush=True)
    except OSError:
        pass  # nobody listens any more; stdin will tell


def _engine_ended() -> bool:
    """Wait a quarter of a second; whether the engine's end of our stdin has closed."""
    if os.name == "nt":
        return _ENDED.wait(LOOK)
    if select.select([sys.stdin], [], [], LOOK)[0]:
        return not os.read(sys.stdin.fileno(), 64)
    return False


_ENDED = threading.Event()


def _watch_stdin() -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    _ENDED.set()


def _end_notes(shared: Shared) -> None:
    """Ask for a panic and give it half a second to pass."""
    words = shared.outbox.words
    words[PANIC] += 1
    post_semaphore(shared.semaphore)
    deadline = time.monotonic() + 0.5
    while words[PANIC] != words[PANIC_DONE] and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(SETTLE)


def main() -> int:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the engine decides when we go
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    path, kind, name, connect, *connected = sys.argv[1:]
    shared = Shared(path)
    try:
        port: Port = (
            JackPort(shared, name, connect, connected)
            if kind == "jack"
            else RtMidiPort(shared, name, kind == "virtual")
        )
    except EarwireError as error:
        shared.forget_name()
        _say("error", message=error.message, hint=error.hint)
        return 1
    if os.name == "nt":
        threading.Thread(target=_watch_stdin, daemon=True).start()
    _say("ready", port=port.name)
    while not _engine_ended():
        try:
            change = port.look()
        except MidiError:
            change = None  # not back yet; looked for again
        if change:
            _say(change, port=port.name)
    _end_notes(shared)
    shared.outbox.words[STOPPED] = 1 + shared.outbox.words[SOUNDING]
    port.close()
    shared.forget_name()  # an engine that was killed could not
    return 0


if __name__ == "__main__":
    os._exit(main())  # all is closed and said: taking the compiler apart would only take time
