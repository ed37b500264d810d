# SPDX-License-Identifier: GPL-3.0-or-later
"""A sound card or loopback device through PortAudio, heard by a native callback."""

import time
from typing import Any

import numpy as np
from numba import carray, cfunc, types

from bridge.devices import LOOPBACK
from bridge.errors import DeviceError
from bridge.midi.outbox import NANOSECONDS
from bridge.native import now_ns, release
from bridge.preset import Channels
from bridge.ring import LOST, READ, WRITTEN
from bridge.sources.base import (
    BLOCKS,
    CHANNELS,
    CHOSEN,
    CLOCK,
    CONTROL_WORDS,
    NS_OFFSET,
    PERIOD,
    RATE,
    XRUNS,
    feed,
    ring_at,
    wake_engine,
)
from dsp.units import RATE as ENGINE_RATE

QUIET = 2.0  # a device that sends nothing for this long has gone [s]
REOPEN = 1.0  # between two looks for it [s]
SLACK_NS = 3_000_000  # for a host that hands blocks over unevenly
INPUT_OVERFLOW = 2  # of PortAudio's status flags

_SIGNATURE = types.int32(
    types.voidptr, types.voidptr, types.uint64, types.voidptr, types.uint64, types.voidptr
)


@cfunc(_SIGNATURE, cache=True, error_model="numpy")
def on_block(data, _output, frames, _times, flags, argument):
    """Mix the chosen channels of a block into the ring and wake the engine."""
    control = carray(argument, (CONTROL_WORDS,), np.int64)
    ring = ring_at(control)
    n, channels = np.int64(frames), control[CHANNELS]
    written, size = ring.counts[WRITTEN], len(ring.data)
    if flags & INPUT_OVERFLOW:
        control[XRUNS] += 1
    if n > size - (written - ring.counts[READ]):
        ring.counts[LOST] += n
        return 0
    x = carray(data, (n * channels,), np.float32)
    chosen = control[CHOSEN]
    heard = 0
    for c in range(channels):
        heard += (chosen >> c) & 1
    share = np.float32(1.0) / np.float32(max(heard, 1))
    for i in range(n):
        total = np.float32(0.0)
        for c in range(channels):
            if (chosen >> c) & 1:
                total += x[i * channels + c]
        ring.data[(written + i) & (size - 1)] = share * total
    control[NS_OFFSET] = now_ns(control[CLOCK : CLOCK + 2]) - (written + n) * 1_000_000_000 // control[RATE]
    control[PERIOD] = max(control[PERIOD], n)
    control[BLOCKS] += 1
    release(ring.counts, WRITTEN, written + n)
    wake_engine(control)
    return 0


def inputs() -> list[dict[str, Any]]:
    """Input devices as PortAudio sees them now, each with its index."""
    import sounddevice

    sounddevice._terminate()  # its list is frozen when it is initialised
    sounddevice._initialize()
    return [d for d in sounddevice.query_devices() if d["max_input_channels"] > 0]


def _find(name: str) -> dict[str, Any]:
    import sounddevice

    try:
        devices = inputs()
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"PortAudio does not start: {error}") from None
    if not devices:
        raise DeviceError(
            "there is no audio input on this machine",
            hint="plug in a microphone or install a loopback device; `earwire doctor` names one",
        )
    if not name:
        default = sounddevice.default.device[0]
        return next((d for d in devices if d["index"] == default), devices[0])
    for device in devices:
        if name.lower() in device["name"].lower() or name == str(device["index"]):
            return device
    known = ", ".join(d["name"] for d in devices)
    raise DeviceError(f"no audio input has {name!r} in its name", hint=f"inputs here: {known}")


class DeviceSource:
    """An input of the sound card, at its own rate, mixed to mono.

    Parameters
    ----------
    name
        Part of the device's name; empty for the default input.
    channels
        "mix", or the inputs to hear, counted from 1.
    """

    clock = NANOSECONDS
    ended = False

    def __init__(self, name: str = "", channels: Channels = "mix") -> None:
        self._wanted, self._channels = name, channels
        self.feed = feed()
        self._stream: Any = None
        self._seen, self._heard_at, self._retry, self._gone = 0, 0.0, 0.0, False
        device = _find(name)
        self.rate = self._best_rate(device)
        self._open(device)

    def _best_rate(self, device: dict[str, Any]) -> int:
        """The engine's own rate where the device can, else the device's."""
        import sounddevice

        try:
            sounddevice.check_input_settings(
                device["index"], self._count(device), dtype="float32", samplerate=ENGINE_RATE
            )
            return ENGINE_RATE
        except (sounddevice.PortAudioError, ValueError):
            return round(device["default_samplerate"])

    def _count(self, device: dict[str, Any]) -> int:
        """Channels to open: all up to the highest that is heard."""
        most = int(device["max_input_channels"])
        if self._channels == "mix":
            return min(most, 63 if LOOPBACK.search(device["name"]) else 2)
        highest = max(self._channels)
        if highest > most:
            raise DeviceError(
                f"{device['name']} has {most} inputs, so there is no input {highest}",
                hint="set source.channels in the preset, or with --set source.channels=[1]",
            )
        return highest

    def _open(self, device: dict[str, Any]) -> None:
        import sounddevice

        count = self._count(device)
        control = self.feed.control
        control[CHANNELS], control[RATE], control[PERIOD] = count, self.rate, 0
        control[CHOSEN] = (
            (1 << count) - 1 if self._channels == "mix" else sum(1 << (c - 1) for c in set(self._channels))
        )
        ffi = sounddevice._ffi
        try:
            self._stream = sounddevice._StreamBase(
                kind="input",
                device=device["index"],
                samplerate=self.rate,
                channels=count,
                dtype="float32",
                latency="low",
                callback=ffi.cast("PaStreamCallback*", on_block.address),
                userdata=ffi.cast("void*", control.ctypes.data),
                wrap_callback=None,
            )
        except sounddevice.PortAudioError as error:
            raise DeviceError(
                f"{device['name']} does not open at {self.rate} Hz with {count} channels: {error}",
                hint="is another program using it? Is microphone access allowed?",
            ) from None
        self.name = f"device:{device['name']}"
        self.ports = [device["name"]]
        latency = float(self._stream.latency or 0.0)
        self.path_ns = int(max(latency, 128 / self.rate) * 1e9) + SLACK_NS

    def start(self) -> None:
        self._stream.start()
        self._heard_at = time.monotonic()

    @property
    def xruns(self) -> int:
        return int(self.feed.control[XRUNS])

    def look(self) -> str | None:
        now, blocks = time.monotonic(), int(self.feed.control[BLOCKS])
        if blocks != self._seen:
            self._seen, self._heard_at = blocks, now
            if self._gone:
                self._gone = False
                return f"{self.name} is back"
            return None
        if not self._gone and now - self._heard_at > QUIET:
            self._gone = True
            self._retry = now
            return f"{self.name} sends nothing any more; waiting for it to come back"
        if self._gone and now >= self._retry:
            self._retry = now + REOPEN
            self._reopen()
        return None

    def _reopen(self) -> None:
        import sounddevice

        try:
            self.close()
            self._open(_find(self._wanted))
            self._stream.start()
        except (DeviceError, sounddevice.PortAudioError):
            self._stream = None

    def close(self) -> None:
        import sounddevice

        if self._stream is not None:
            try:
                self._stream.close(ignore_errors=True)
            except sounddevice.PortAudioError:
                pass
            self._stream = None
