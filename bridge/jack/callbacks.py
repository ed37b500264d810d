# SPDX-License-Identifier: GPL-3.0-or-later
"""The callbacks that JACK calls: native code that neither allocates, locks nor enters Python.

Import only after `bridge.jack.client.library` has loaded libjack: a name that does
not resolve here would crash the process.
"""

import numpy as np
from numba import carray, cfunc, types

from bridge.midi.outbox import (
    CONSTANT,
    MESSAGE,
    PANIC,
    QUEUE_SIZE,
    RING_SIZE,
    UPSTREAM,
    WORDS,
    Outbox,
    collect,
    deliver,
    length_of,
)
from bridge.native import acquire, nap, now_ns, pointer, release
from bridge.ring import LOST, READ, WRITTEN, Ring
from bridge.sources.base import (
    BLOCKS,
    CLIENT,
    CLOCK,
    CONTROL_WORDS,
    DONE,
    EXPECTED,
    FREEWHEEL,
    GONE,
    JUMP_SAMPLES,
    JUMPS,
    NS_OFFSET,
    OFFSET,
    PATIENCE,
    PERIOD,
    PORT,
    PORTS,
    RATE,
    XRUNS,
    ring_at,
    wake_engine,
)
from dsp.kernel import kernel

_u32, _ptr = types.uint32, types.uintp
_get_buffer = types.ExternalFunction("jack_port_get_buffer", _ptr(_ptr, _u32))
_connected = types.ExternalFunction("jack_port_connected", types.int32(_ptr))
_last_frame_time = types.ExternalFunction("jack_last_frame_time", _u32(_ptr))
_midi_clear = types.ExternalFunction("jack_midi_clear_buffer", types.void(_ptr))
_midi_reserve = types.ExternalFunction("jack_midi_event_reserve", _ptr(_ptr, _u32, types.uint64))
_set_latency = types.ExternalFunction("jack_port_set_latency_range", types.void(_ptr, types.int32, _ptr))

MAX_FILL = 10 * 192_000  # a longer hole is a new start, not silence [samples]

# Words of the (OUTPUT_WORDS,) int64 array that a MIDI client's callbacks are given.
OUT_CLIENT, OUT_PORT, OUT_MEMORY, OUT_RATE, OUT_NOW, OUT_LAST, OUT_STARTED, OUT_GONE = range(8)
OUT_SCRATCH, OUT_CYCLES, OUT_CLOCK, OUT_RANGE = 8, 10, 11, 13
OUT_HELD = 14  # 1: nothing leaves yet, whoever should hear it is not connected again
OUTPUT_WORDS = 32
BATCH = 256  # messages one cycle can send


@kernel
def fill_gap(control, ring, start, n):
    """Keep the stream's clock true when `n` samples arrive at frame `start` that follow a hole.

    Missing samples are written as silence, as far as there is room; returns
    False where there is no room for the `n` samples themselves, which the next
    call then finds missing.
    """
    written, size = ring.counts[WRITTEN], len(ring.data)
    room = size - (written - acquire(ring.counts, READ))
    if control[BLOCKS] == 0:
        control[OFFSET] = start - written
        control[EXPECTED] = start
    gap = np.int64(np.int32(start - control[EXPECTED]))
    if gap != 0:
        control[JUMPS] += 1
        if gap < 0 or gap > MAX_FILL:
            control[OFFSET] += gap
            control[EXPECTED] = start
            gap = 0
        else:
            control[JUMP_SAMPLES] += gap
            fill = min(gap, max(room - n, 0))
            for i in range(fill):
                ring.data[(written + i) & (size - 1)] = np.float32(0.0)
            release(ring.counts, WRITTEN, written + fill)
            control[EXPECTED] += fill
            room -= fill
            gap -= fill
    if gap > 0 or n > room:
        ring.counts[LOST] += n
        return False
    control[EXPECTED] = start + n
    return True


@cfunc(types.int32(_u32, types.voidptr), cache=True, error_model="numpy")
def on_audio(frames, argument):
    """Copy a block into the ring, mixed over the connected ports, and wake the engine."""
    control = carray(argument, (CONTROL_WORDS,), np.int64)
    ring = ring_at(control)
    n = np.int64(frames)
    start = np.int64(_last_frame_time(np.uintp(control[CLIENT])))
    if fill_gap(control, ring, start, n):
        written, size = ring.counts[WRITTEN], len(ring.data)
        for i in range(n):
            ring.data[(written + i) & (size - 1)] = np.float32(0.0)
        live = 0
        for port in range(control[PORTS]):
            live += _connected(np.uintp(control[PORT + port])) > 0
        share = np.float32(1.0) / np.float32(max(live, 1))
        for port in range(control[PORTS]):
            handle = np.uintp(control[PORT + port])
            if _connected(handle) > 0:
                x = carray(pointer(_get_buffer(handle, frames)), (n,), np.float32)
                for i in range(n):
                    ring.data[(written + i) & (size - 1)] += share * x[i]
        stamp = now_ns(control[CLOCK : CLOCK + 2])
        control[NS_OFFSET] = stamp - (written + n) * 1_000_000_000 // control[RATE]
        release(ring.counts, WRITTEN, written + n)
    control[BLOCKS] += 1
    waiting = ring.counts[WRITTEN] - acquire(ring.counts, READ)
    if control[FREEWHEEL] != 0 or waiting > acquire(control, PATIENCE):
        wake_engine(control)
    if control[FREEWHEEL] != 0:  # an export does not wait for the clock, so it waits for us
        for _ in range(10_000):
            if acquire(control, DONE) >= ring.counts[WRITTEN]:
                break
            nap()
    return 0


@cfunc(types.int32(_u32, types.voidptr), cache=True, error_model="numpy")
def on_buffer_size(frames, argument):
    control = carray(argument, (CONTROL_WORDS,), np.int64)
    control[PERIOD] = frames
    return 0


@cfunc(types.int32(types.voidptr), cache=True, error_model="numpy")
def on_xrun(argument):
    control = carray(argument, (CONTROL_WORDS,), np.int64)
    control[XRUNS] += 1
    return 0


@cfunc(types.void(types.int32, types.voidptr), cache=True, error_model="numpy")
def on_freewheel(starting, argument):
    control = carray(argument, (CONTROL_WORDS,), np.int64)
    control[FREEWHEEL] = starting


@cfunc(types.void(types.voidptr), cache=True, error_model="numpy")
def on_shutdown(argument):
    control = carray(argument, (CONTROL_WORDS,), np.int64)
    release(control, GONE, 1)


@kernel(views=True)
def _outbox_at(address):
    data = address
    count = data + np.uintp(RING_SIZE * 24)
    queue = count + np.uintp(24 * 8)
    ledger = queue + np.uintp(QUEUE_SIZE * 24)
    words = ledger + np.uintp(16 * 128 * 8)
    return Outbox(
        Ring(
            carray(pointer(data), (RING_SIZE,), MESSAGE),
            carray(pointer(count), (24,), np.int64),
        ),
        carray(pointer(queue), (QUEUE_SIZE,), MESSAGE),
        carray(pointer(ledger), (16, 128), np.int64),
        carray(pointer(words), (WORDS,), np.int64),
    )


@cfunc(types.int32(_u32, types.voidptr), cache=True, error_model="numpy")
def on_midi(frames, argument):
    """Put every message that is due in this cycle on its sample."""
    control = carray(argument, (OUTPUT_WORDS,), np.int64)
    box = _outbox_at(np.uintp(control[OUT_MEMORY]))
    out = carray(pointer(np.uintp(control[OUT_SCRATCH])), (BATCH,), MESSAGE)
    start = np.int64(_last_frame_time(np.uintp(control[OUT_CLIENT])))
    if control[OUT_STARTED] == 0:
        control[OUT_STARTED] = 1
        control[OUT_NOW] = start
    else:
        control[OUT_NOW] += np.int64(np.int32(start - control[OUT_LAST]))
    control[OUT_LAST] = start
    now = control[OUT_NOW]
    buffer = _get_buffer(np.uintp(control[OUT_PORT]), frames)
    _midi_clear(buffer)
    n = 0
    if acquire(control, OUT_HELD) == 0:
        collect(box, start, now_ns(control[OUT_CLOCK : OUT_CLOCK + 2]), now, control[OUT_RATE])
        n = deliver(box, now, now + np.int64(frames), out)
    for i in range(n):
        m = out[i]
        size = length_of(m.status)
        place = _midi_reserve(buffer, np.uint32(m.due), np.uint64(size))
        if place == 0:  # no room left: end everything in the next cycle rather than lose an off
            box.words[PANIC] += 1
            break
        data = carray(pointer(place), (3,), np.uint8)
        data[0] = m.status
        if size > 1:
            data[1] = m.data1
            data[2] = m.data2
    release(control, OUT_CYCLES, control[OUT_CYCLES] + 1)
    return 0


@cfunc(types.void(types.voidptr), cache=True, error_model="numpy")
def on_midi_shutdown(argument):
    control = carray(argument, (OUTPUT_WORDS,), np.int64)
    release(control, OUT_GONE, 1)


@cfunc(types.void(types.int32, types.voidptr), cache=True, error_model="numpy")
def on_latency(mode, argument):
    """Say how far our MIDI lags the sound, so that a DAW lines up what it records."""
    control = carray(argument, (OUTPUT_WORDS,), np.int64)
    if mode == 0:
        box = _outbox_at(np.uintp(control[OUT_MEMORY]))
        frames = carray(pointer(np.uintp(control[OUT_RANGE:].ctypes.data)), (2,), np.uint32)
        frames[0] = np.uint32(box.words[CONSTANT] + box.words[UPSTREAM])
        frames[1] = np.uint32(box.words[CONSTANT] + box.words[UPSTREAM + 1])
        _set_latency(np.uintp(control[OUT_PORT]), mode, control[OUT_RANGE:].ctypes.data)
