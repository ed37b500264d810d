# SPDX-License-Identifier: GPL-3.0-or-later
"""OSC over UDP, to any number of listeners that may come and go."""

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from bridge.errors import OscError
from bridge.messages import labels_of, osc
from bridge.preset import osc_target
from bridge.sinks import Say, say_on_stderr
from bridge.sinks.wall import Wall
from dsp.events import DRUM, LEVEL

RETRY = 2.0  # between two attempts to find a host [s]
REFUSALS = 4  # so often in a row it is no accident
CALM = 10.0  # least time between two words about one target [s]


class Target:
    """One listener. Nothing here waits: what cannot be sent now is stale, and dropped."""

    def __init__(self, host: str, port: int, say: Say) -> None:
        self.name, self.dropped = f"{host}:{port}", 0
        self._address, self._say = (host, port), say
        self._socket: socket.socket | None = None
        self._told, self._down = -CALM, False
        self._refusals, self._refused_at = 0, 0.0
        self._closed = threading.Event()
        try:  # a number needs no name server, so the first message can leave at once
            self._connect(socket.AI_NUMERICHOST)
        except OSError:
            threading.Thread(target=self._find, name="osc-resolve", daemon=True).start()

    def _connect(self, flags: int = 0) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(
            *self._address, type=socket.SOCK_DGRAM, flags=flags
        )[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setblocking(False)
            if family == socket.AF_INET:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            found.connect(address)
        except OSError:
            found.close()
            raise
        self._socket = found

    def _find(self) -> None:
        """Ask for the host's number until it has one: a laptop may join the network late."""
        while not self._closed.is_set():
            try:
                self._connect()
            except OSError as error:
                self._trouble(error.strerror or str(error))
                self._closed.wait(RETRY)
            else:
                if self._down:
                    self._down = False
                    self._say(f"OSC {self.name}: found")
                return

    def send(self, packet: bytes) -> None:
        if self._socket is None:
            self.dropped += 1
            return
        for attempt in range(2):  # a refusal speaks of an earlier packet; this one may arrive
            try:
                self._socket.send(packet)
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                self._refused()
            except OSError as error:
                self._trouble(error.strerror or str(error))
                break
            else:
                if attempt == 0 and time.monotonic() - self._refused_at > RETRY:
                    self._refusals, self._down = 0, False
                return
        self.dropped += 1

    def _refused(self) -> None:
        self._refused_at = time.monotonic()
        self._refusals += 1
        if self._refusals == REFUSALS:
            self._trouble("nobody listens there")

    def _trouble(self, why: str) -> None:
        if not self._down and time.monotonic() - self._told >= CALM:
            self._told = time.monotonic()
            self._say(f"OSC {self.name}: {why}; earwire keeps trying")
        self._down = True

    def close(self) -> None:
        self._closed.set()
        if self._socket is not None:
            self._socket.close()


class OscSink:
    """Events as OSC messages, one UDP packet each, to every target.

    Parameters
    ----------
    targets
        ``HOST:PORT`` each.
    prefix
        Of every address.
    bundle
        Wrap each message in a bundle whose time tag is when it sounded, by this
        computer's clock; right to about the length of a block.
    say
        Tells the user one line.
    level
        Whether to send the input level, 20 times a second.
    notes
        MIDI note of each drum label, where a preset says so.
    place
        Where the sound of a hit lies, each 0..1, by the id of the event; None where that is not known.

    Raises
    ------
    OscError
        For a target that is no HOST:PORT.
    """

    def __init__(
        self,
        targets: Sequence[str],
        prefix: str = "/earwire",
        bundle: bool = False,
        say: Say = say_on_stderr,
        level: bool = False,
        notes: Mapping[str, int] | None = None,
        place: Callable[[int], tuple[float, float] | None] = lambda _: None,
    ) -> None:
        try:
            addresses = [osc_target(target) for target in targets]
        except ValueError as error:
            raise OscError(f"OSC: {error}") from None
        self._prefix, self._bundle, self._level = prefix.rstrip("/"), bundle, level
        self._labels, self._place = labels_of(notes or {}), place
        self._wall = Wall()
        self._closed = False
        self.targets = [Target(host, port, say) for host, port in addresses]

    def open(self, header: dict[str, Any]) -> None:
        self.status("start", str(header.get("preset", "")))

    def rename(self, notes: Mapping[str, int]) -> None:
        """Send other MIDI notes for the drum labels from now on."""
        self._labels = labels_of(notes)

    def write(self, events: np.ndarray) -> None:
        for event in events:
            self._wall.follow(int(event["emitted"]))
            if event["kind"] == LEVEL and not self._level:
                continue
            for address, arguments in osc(event, self._prefix, self._labels):
                self._send(message(address, arguments), int(event["time"]))
            if event["kind"] == DRUM and (place := self._place(int(event["id"]))):
                self._send(message(f"{self._prefix}/drum/xy", place), int(event["time"]))

    def status(self, word: str, *more: str | float) -> None:
        """Say how the session fares: ``/status WORD ...``."""
        self._send(message(f"{self._prefix}/status", [word, *more]), None)

    def close(self, end: dict[str, Any]) -> None:
        if not self._closed:
            self._closed = True
            self.status("end", *(int(end.get(key, 0)) for key in ("xruns", "overruns", "late")))
            for target in self.targets:
                target.close()

    def _send(self, packet: OscMessage, at: int | None) -> None:
        data = packet.dgram
        if self._bundle:
            sounded = time.time() if at is None else self._wall.at(at)
            builder = OscBundleBuilder(sounded)  # type: ignore[arg-type]
            builder.add_content(packet)
            data = builder.build().dgram
        for target in self.targets:
            target.send(data)


def message(address: str, arguments: Sequence[str | int | float]) -> OscMessage:
    """An OSC message; int is sent as i, float as f, text as s."""
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build()
