# SPDX-License-Identifier: GPL-3.0-or-later
"""A DAW stand-in: plays bursts of noise into earwire and stamps the MIDI that comes back, in JACK frames.

Import only after `bridge.jack.client.library` has loaded libjack.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import carray, cfunc, types

from bridge.errors import JackError
from bridge.jack import client as jack
from bridge.native import load_acquire, pointer, release

_u32, _ptr = types.uint32, types.uintp
_get_buffer = types.ExternalFunction("jack_port_get_buffer", _ptr(_ptr, _u32))
_last_frame_time = types.ExternalFunction("jack_last_frame_time", _u32(_ptr))
_event_count = types.ExternalFunction("jack_midi_get_event_count", _u32(_ptr))
_event_get = types.ExternalFunction("jack_midi_event_get", types.int32(_ptr, _ptr, _u32))

BURST = 240  # samples: 5 ms at 48 kHz
CLIENT, OUT, IN, STARTED, NOW, LAST, N_BURSTS, NEXT, N_EVENTS, N_JUMPS = range(10)
AT_STARTS, AT_SOUND, AT_EVENTS, AT_JUMPS, PLAYING, SCRATCH = range(10, 16)
WORDS = 32
MOST_EVENTS, MOST_JUMPS = 1 << 16, 1 << 14


@cfunc(types.int32(_u32, types.voidptr), cache=True, error_model="numpy")
def on_process(frames, argument):
    """Play the bursts that lie in this cycle; note down what MIDI has come."""
    control = carray(argument, (WORDS,), np.int64)
    n = np.int64(frames)
    raw = np.int64(_last_frame_time(np.uintp(control[CLIENT])))
    if control[STARTED] == 0:
        control[STARTED], control[NOW] = 1, raw
    else:
        step = np.int64(np.int32(raw - control[LAST]))
        control[NOW] += step
        if step != n and control[N_JUMPS] < MOST_JUMPS:
            jumps = carray(pointer(np.uintp(control[AT_JUMPS])), (MOST_JUMPS,), np.int64)
            jumps[control[N_JUMPS]] = control[NOW]
            control[N_JUMPS] += 1
    control[LAST] = raw
    now = control[NOW]
    out = carray(pointer(_get_buffer(np.uintp(control[OUT]), frames)), (n,), np.float32)
    for i in range(n):
        out[i] = np.float32(0.0)
    if load_acquire(np.uintp(control[PLAYING:].ctypes.data)) != 0:
        count = control[N_BURSTS]
        starts = carray(pointer(np.uintp(control[AT_STARTS])), (count,), np.int64)
        sound = carray(pointer(np.uintp(control[AT_SOUND])), (count, BURST), np.float32)
        k = control[NEXT]
        while k < count and starts[k] < now + n:
            for i in range(max(starts[k] - now, 0), min(starts[k] + BURST - now, n)):
                out[i] += sound[k, now + i - starts[k]]
            if starts[k] + BURST <= now + n:
                k += 1
            else:
                break
        control[NEXT] = k
    buffer = _get_buffer(np.uintp(control[IN]), frames)
    scratch = control[SCRATCH : SCRATCH + 4]
    for k in range(_event_count(buffer)):
        if control[N_EVENTS] < MOST_EVENTS and _event_get(scratch.ctypes.data, buffer, np.uint32(k)) == 0:
            events = carray(pointer(np.uintp(control[AT_EVENTS])), (MOST_EVENTS, 4), np.int64)
            data = carray(pointer(np.uintp(scratch[2])), (3,), np.uint8)
            e = events[control[N_EVENTS]]
            e[0] = now + (scratch[0] & 0xFFFFFFFF)
            e[1] = data[0]
            e[2] = data[1] if scratch[1] > 1 else 0
            e[3] = data[2] if scratch[1] > 2 else 0
            release(control, N_EVENTS, control[N_EVENTS] + 1)
    return 0


class Meter:
    """The stand-in as a JACK client, with one audio output and one MIDI input."""

    def __init__(self, name: str = "earwire-meter") -> None:
        self.client = jack.Client.open(name)
        self._control = np.zeros(WORDS, np.int64)
        self._events = np.zeros((MOST_EVENTS, 4), np.int64)
        self._jumps = np.zeros(MOST_JUMPS, np.int64)
        control = self._control
        control[CLIENT] = self.client.handle
        control[OUT] = self.client.port("out", jack.AUDIO, jack.IS_OUTPUT)
        control[IN] = self.client.port("in", jack.MIDI, jack.IS_INPUT)
        control[AT_EVENTS], control[AT_JUMPS] = self._events.ctypes.data, self._jumps.ctypes.data
        self.client.callback("process", on_process.address, control.ctypes.data)
        self.client.activate()

    def connect(self, audio: str, midi: str) -> None:
        name = self.client.name
        if not self.client.connect(f"{name}:out", audio):
            raise JackError(f"cannot connect to {audio}", hint="is earwire running under that name?")
        if midi and not self.client.connect(midi, f"{name}:in"):
            raise JackError(f"cannot connect from {midi}", hint="does earwire run with --midi jack?")

    def play(self, sound: np.ndarray, gaps: np.ndarray) -> np.ndarray:
        """Play bursts, each `gaps` samples after the one before; their starts [frames]."""
        control = self._control
        release(control, PLAYING, 0)
        time.sleep(0.01 + 2 * self.client.period / self.client.rate)  # a cycle may still play what was
        starts = int(control[NOW]) + self.client.rate // 4 + np.cumsum(gaps)
        self._starts, self._sound = starts.astype(np.int64), np.ascontiguousarray(sound, np.float32)
        control[AT_STARTS], control[AT_SOUND] = self._starts.ctypes.data, self._sound.ctypes.data
        control[N_BURSTS], control[NEXT] = len(starts), 0
        release(control, PLAYING, 1)
        return self._starts

    @property
    def now(self) -> int:
        return int(self._control[NOW])

    @property
    def events(self) -> np.ndarray:
        """MIDI heard so far: (n, 4) of frame and three bytes."""
        return self._events[: self._control[N_EVENTS]]

    @property
    def jumps(self) -> np.ndarray:
        """Where the server's frame time jumped [frames]."""
        return self._jumps[: self._control[N_JUMPS]]

    def close(self) -> None:
        self.client.close()


@dataclass(frozen=True)
class Latency:
    """What came back, from the start of a burst to its note-on [frames]."""

    values: np.ndarray
    clicks: int
    dropped: int  # beside a jump of the server, left out
    missed: int  # bursts that nothing answered
    extra: int  # note-ons that no burst asked for


def bursts(
    count: int, seed: int, gap_ms: tuple[float, float], rate: int, softest_db: float = -30
) -> tuple[np.ndarray, np.ndarray]:
    """Noise of `softest_db` to -3 dBFS peak, and the distances between them, at random."""
    rng = np.random.default_rng(seed)
    level = 10 ** (rng.uniform(softest_db, -3, (count, 1)) / 20)
    sound = rng.uniform(-1, 1, (count, BURST)) * level
    gaps = rng.integers(int(gap_ms[0] * rate / 1000), int(gap_ms[1] * rate / 1000), count)
    return sound, gaps


def measure(
    meter: Meter, count: int = 300, seed: int = 0, progress: Any = None, softest_db: float = -30
) -> Latency:
    """Play `count` bursts at random places at least 150 ms apart and time the answers."""
    rate, period = meter.client.rate, meter.client.period
    sound, gaps = bursts(count, seed, (150, 250), rate, softest_db)
    before = len(meter.events)
    starts = meter.play(sound, gaps)
    while meter.now < starts[-1] + rate // 4:
        time.sleep(0.05)
        if progress:
            progress(int(np.searchsorted(starts, meter.now)))
    events = meter.events[before:]
    ons = events[((events[:, 1] & 0xF0) == 0x90) & (events[:, 3] > 0), 0]
    values, dropped, missed, answered = [], 0, 0, 0
    for start in starts:
        jumped = (meter.jumps > start - 4 * period) & (meter.jumps < start + rate // 10)
        answer = ons[(ons >= start) & (ons < start + rate // 7)]
        answered += len(np.unique(answer))
        if jumped.any():
            dropped += 1
        elif not len(answer):
            missed += 1
        else:
            values.append(int(answer[0] - start))
    extra = len(np.unique(ons)) - len(starts) + missed
    return Latency(np.array(values, np.int64), count, dropped, missed, max(0, extra))
