# SPDX-License-Identifier: GPL-3.0-or-later
"""JACK as a source: a native client that survives its server."""

import time

from bridge.errors import DeviceError
from bridge.jack import client as jack
from bridge.midi.outbox import FRAMES
from bridge.sources import base

REOPEN = 0.5  # between two looks for a server that has gone [s]


class JackSource:
    """Ports NAME:in_1 and so on, mixed to mono, from whatever is connected to them.

    Parameters
    ----------
    name
        Of the client.
    pattern
        Regular expression of the output ports to connect; one port of ours
        for each. Empty: the first input of the sound card.
    """

    clock = FRAMES
    path_ns = 0
    ended = False

    def __init__(self, name: str, pattern: str = "") -> None:
        client = jack.Client.open(name)
        from bridge.jack import callbacks  # names libjack, so only now

        self._callbacks, self._name, self._pattern = callbacks, name, pattern
        self.feed = base.feed()
        self.rate = client.rate
        self.upstream = 0, 0  # least and most frames that the sound was late already
        self._connected: dict[str, list[str]] = {}
        self._wiring, self._retry = jack.Wiring(), 0.0
        self._client: jack.Client | None = client
        sources = self._sources(client)
        self._ports = max(1, min(len(sources), base.MAX_PORTS))
        self._prepare(client)
        self.name = f"jack:{client.name}"

    def _sources(self, client: jack.Client) -> list[str]:
        if self._pattern:
            return client.ports(self._pattern, jack.AUDIO, jack.IS_OUTPUT)
        return client.ports("", jack.AUDIO, jack.IS_OUTPUT | jack.IS_PHYSICAL)[:1]

    def _prepare(self, client: jack.Client) -> None:
        callbacks, control = self._callbacks, self.feed.control
        if client.rate != self.rate:
            raise DeviceError(
                f"the JACK server came back at {client.rate} Hz, it was {self.rate} Hz",
                hint="start earwire again",
            )
        control[base.CLIENT] = client.handle
        control[base.PERIOD] = client.period
        control[base.RATE] = client.rate
        control[base.GONE] = control[base.BLOCKS] = control[base.FREEWHEEL] = 0
        control[base.PORTS] = self._ports
        self._handles = []
        for k in range(self._ports):
            handle = client.port(f"in_{k + 1}", jack.AUDIO, jack.IS_INPUT)
            control[base.PORT + k] = handle
            self._handles.append(handle)
        self.ports = [f"{client.name}:in_{k + 1}" for k in range(self._ports)]
        argument = control.ctypes.data
        client.callback("process", callbacks.on_audio.address, argument)
        client.callback("buffer_size", callbacks.on_buffer_size.address, argument)
        client.callback("xrun", callbacks.on_xrun.address, argument)
        client.callback("freewheel", callbacks.on_freewheel.address, argument)
        client.callback("shutdown", callbacks.on_shutdown.address, argument)

    @property
    def priority(self) -> int:
        return self._client.priority if self._client else 0

    @property
    def period(self) -> int:
        return int(self.feed.control[base.PERIOD])

    @property
    def xruns(self) -> int:
        return int(self.feed.control[base.JUMPS])

    def start(self) -> None:
        assert self._client is not None
        self._client.activate()
        self._wiring.tend(self._client, self._wanted)

    def _wanted(self) -> list[tuple[str, str]]:
        """Each port that fits, with the port of ours it belongs to; more than we have share the last."""
        assert self._client is not None
        sources = self._sources(self._client)
        return [(source, self.ports[min(k, self._ports - 1)]) for k, source in enumerate(sources)]

    def look(self) -> str | None:
        control = self.feed.control
        if self._client is None:
            return self._reopen()
        if control[base.GONE]:
            self._client.close()
            self._client = None
            self._wiring.lost(
                (source, port) for port, sources in self._connected.items() for source in sources
            )
            return "the JACK server has gone; waiting for it to come back"
        connected = {
            port: self._client.connections(handle)
            for port, handle in zip(self.ports, self._handles, strict=True)
        }
        if connected != self._connected:
            self._connected = connected
            self.upstream = self._lag(self._client)
        self._wiring.tend(self._client, self._wanted if self._pattern else list)
        return None

    def upstream_ports(self) -> list[str]:
        """Full names of the ports that are heard, as of the last look."""
        return [source for sources in self._connected.values() for source in sources]

    def _lag(self, client: jack.Client) -> tuple[int, int]:
        """Least and most frames by which the sound was late before it came to us.

        Only the sound card's inputs are asked: a DAW that hears our MIDI may count it
        in its own outputs, and asking those would add up round and round.
        """
        physical = set(client.ports("", jack.AUDIO, jack.IS_OUTPUT | jack.IS_PHYSICAL))
        lags = [client.latency(source) if source in physical else 0 for source in self.upstream_ports()]
        return min(lags, default=0), max(lags, default=0)

    def _reopen(self) -> str | None:
        if time.monotonic() < self._retry:
            return None
        self._retry = time.monotonic() + REOPEN
        client = jack.Client.try_open(self._name)
        if client is None:
            return None
        self._prepare(client)
        client.activate()
        self._client = client
        self._wiring.tend(client, self._wanted if self._pattern else list)
        return "the JACK server is back"

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
