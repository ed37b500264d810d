# SPDX-License-Identifier: GPL-3.0-or-later
"""What is about to leave as MIDI: a queue sorted by due time, and the ledger of sounding notes.

The outbox lies in memory that the engine and the process that owns the MIDI
ports both map, so the ledger outlives the engine.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bridge.native import acquire, release
from bridge.ring import READ, Ring, ring_write
from dsp.kernel import kernel

MESSAGE = np.dtype(
    [
        ("due", "i8"),  # when it leaves: JACK frame or monotonic ns, as the source counts
        ("id", "i8"),  # of the note it starts or ends
        ("status", "u1"),
        ("data1", "u1"),
        ("data2", "u1"),
        ("clock", "u1"),  # FRAMES or NANOSECONDS
        ("prompt", "u4"),  # bits: PROMPT, TAKE_BACK
    ]
)
FRAMES, NANOSECONDS = range(2)
PROMPT = 1  # it leaves as soon as it can, so it is never late
TAKE_BACK = 2  # its note should never have begun: one that has not left yet need not
QUEUE_SIZE, RING_SIZE = 1024, 4096
SYSTEM = 0xF0  # status from which a message belongs to no channel
CONTROL = 0xB0
SUSTAIN, ALL_NOTES_OFF = 64, 123  # controllers

# words: one int64 each, on cache lines of their own where two processes write
LENGTH = 0  # messages in the queue
LATE = 8  # messages that left after they were due
SENT = 16
PANIC, PANIC_DONE = 24, 32  # a panic is asked for by counting PANIC up
SOUNDING = 40  # notes in the ledger
CONSTANT = 48  # frames from sound to departure, published to the DAW as port latency
STOPPED = 56  # 1 + notes left sounding, once the keeper has gone
USED = 41  # a bit for each channel that ever had a note
HELD = 42  # and for each whose pedal is down
UPSTREAM = 49  # and 50: least and most frames that the sound was late already
CONNECTIONS = 64  # who listens to the port
WORST_LATE = 72  # how late the latest message was [units of the port's clock]
WORDS = 128


class Outbox(NamedTuple):
    ring: Ring  # of MESSAGE, from the engine
    queue: np.ndarray  # (QUEUE_SIZE,) MESSAGE, sorted by due
    ledger: np.ndarray  # (16, 128) int64, id of the note that sounds, 0 where none does
    words: np.ndarray  # (WORDS,) int64


SIZES = (RING_SIZE * MESSAGE.itemsize, 24 * 8, QUEUE_SIZE * MESSAGE.itemsize, 16 * 128 * 8, WORDS * 8)
BYTES = sum(SIZES)


def outbox(memory: np.ndarray) -> Outbox:
    """View (BYTES,) uint8 memory as an outbox."""
    edges = np.cumsum((0, *SIZES))
    part = [memory[a:b] for a, b in pairwise(edges)]
    return Outbox(
        Ring(part[0].view(MESSAGE), part[1].view(np.int64)),
        part[2].view(MESSAGE),
        part[3].view(np.int64).reshape(16, 128),
        part[4].view(np.int64),
    )


@kernel
def length_of(status):
    """Bytes of a MIDI message."""
    if status >= SYSTEM:
        return 3 if status == 0xF2 else 1
    return 2 if 0xC0 <= status < 0xE0 else 3


@kernel
def insert(box, message, due):
    """Put a message into the queue before all that is due later; False where the queue is full."""
    words, queue = box.words, box.queue
    n = words[LENGTH]
    if n == len(queue):
        return False
    while n > 0 and queue[n - 1].due > due:
        queue[n] = queue[n - 1]
        n -= 1
    queue[n] = message
    queue[n].due = due
    words[LENGTH] += 1
    return True


@kernel
def _say(out, n, offset, status, data1, data2):
    out[n].due = offset
    out[n].status = status
    out[n].data1 = data1
    out[n].data2 = data2


@kernel
def _end_all(box, out):
    """Let every pedal up, end every note in the ledger and forget what is queued, but for ticks; messages written.

    What does not fit stays in the ledger for the next call.
    """
    read = acquire(box.ring.counts, 0)
    release(box.ring.counts, READ, read)
    kept = 0
    for k in range(box.words[LENGTH]):
        if box.queue[k].status >= SYSTEM:  # a sequencer that misses a tick is out of step for good
            box.queue[kept] = box.queue[k]
            kept += 1
    box.words[LENGTH] = kept
    n = 0
    for channel in range(16):
        if (box.words[HELD] >> channel) & 1 and n < len(out):
            _say(out, n, 0, CONTROL | channel, SUSTAIN, 0)
            box.words[HELD] &= ~(1 << channel)
            n += 1
        ended = 0
        for note in range(128):
            if box.ledger[channel, note] != 0 and n + 2 < len(out):
                _say(out, n, 0, 0x80 | channel, note, 0)
                box.ledger[channel, note] = 0
                box.words[SOUNDING] -= 1
                ended += 1
                n += 1
        if ended and n < len(out):  # a bend must not outlive its note
            _say(out, n, 0, 0xE0 | channel, 0, 64)
            n += 1
    if box.words[SOUNDING] == 0:  # for whoever was not connected when an earlier end was sent
        for channel in range(16):
            if (box.words[USED] >> channel) & 1 and n < len(out):
                _say(out, n, 0, CONTROL | channel, ALL_NOTES_OFF, 0)
                n += 1
    return n


@kernel
def deliver(box, now, until, out):
    """Take what is due before `until` out of the queue, in order.

    Parameters
    ----------
    box : Outbox
    now, until : int
        The span of time to fill; a message due before `now` leaves at `now`.
    out : (n,) MESSAGE
        Written with `due` as the distance from `now`.

    Returns
    -------
    int
        Messages written.

    Notes
    -----
    For one channel and note the order on, off, on holds: a note that is struck
    again while it sounds is ended first, on the same sample, and an off that
    speaks of an earlier note than the one sounding says nothing.
    """
    words, queue, ledger = box.words, box.queue, box.ledger
    panic = acquire(words, PANIC)
    if panic != words[PANIC_DONE]:
        n = _end_all(box, out)
        if words[SOUNDING] == 0 and words[HELD] == 0:
            release(words, PANIC_DONE, panic)
        return n
    n, taken = 0, 0
    while taken < words[LENGTH] and queue[taken].due < until and n + 2 <= len(out):
        message = queue[taken]
        offset = max(message.due - now, 0)
        late = now - message.due
        if late > 0 and not message.prompt & PROMPT:
            words[LATE] += 1
            words[WORST_LATE] = max(words[WORST_LATE], late)
        kind, channel = message.status & 0xF0, message.status & 0x0F
        note = message.data1
        if kind == 0x90:
            if ledger[channel, note] != 0:
                _say(out, n, offset, 0x80 | channel, note, 0)
                n += 1
                words[SOUNDING] -= 1
            ledger[channel, note] = message.id
            words[SOUNDING] += 1
            words[USED] |= 1 << channel
            _say(out, n, offset, message.status, note, message.data2)
            n += 1
        elif kind == 0x80:
            if ledger[channel, note] == message.id:
                ledger[channel, note] = 0
                words[SOUNDING] -= 1
                _say(out, n, offset, message.status, note, 0)
                n += 1
        else:
            if kind == CONTROL and note == SUSTAIN:
                words[HELD] &= ~(1 << channel)
                if message.data2 >= 64:
                    words[HELD] |= 1 << channel
            _say(out, n, offset, message.status, note, message.data2)
            n += 1
        taken += 1
    if taken:
        left = words[LENGTH] - taken
        for i in range(left):
            queue[i] = queue[i + taken]
        words[LENGTH] = left
    words[SENT] += n
    return n


@kernel
def _withdrawn(box, end):
    """Whether the note that `end` ends still waited, and now does not."""
    words, queue = box.words, box.queue
    for k in range(words[LENGTH]):
        m = queue[k]
        if m.id == end.id and m.status == end.status | 0x10 and m.data1 == end.data1:
            words[LENGTH] -= 1
            for i in range(k, words[LENGTH]):
                queue[i] = queue[i + 1]
            return True
    return False


@kernel
def collect(box, raw_frame, raw_ns, now, rate):
    """Move what the engine has sent into the queue, its due time turned into the port's own clock.

    Parameters
    ----------
    box : Outbox
    raw_frame, raw_ns : int
        Now, in the clocks that messages may be stamped with: JACK frame (32 bits) and monotonic ns.
    now : int
        Now, in the port's clock.
    rate : int
        Ticks of the port's clock in a second; 10**9 for a port that counts ns.
    """
    ring = box.ring
    written, read, size = acquire(ring.counts, 0), ring.counts[READ], len(ring.data)
    while read < written:
        message = ring.data[read & (size - 1)]
        if message.prompt & TAKE_BACK and _withdrawn(box, message):
            read += 1
            continue
        if message.clock == FRAMES:
            ahead = np.int64(np.int32(message.due - raw_frame))
        else:
            ahead = message.due - raw_ns
            if rate != 1_000_000_000:
                ahead = ahead * rate // 1_000_000_000
        if not insert(box, message, now + ahead):
            break  # a full queue leaves the rest in the ring
        read += 1
    release(ring.counts, READ, read)


@kernel
def send(box, scratch, due, clock, prompt, status, data1, data2, id):
    """Engine's side: hand one message over; `scratch` is (1,) MESSAGE."""
    m = scratch[0]
    m.due = due
    m.id = id
    m.status = status
    m.data1 = data1
    m.data2 = data2
    m.clock = clock
    m.prompt = prompt
    return ring_write(box.ring, scratch)
