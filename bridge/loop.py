# SPDX-License-Identifier: GPL-3.0-or-later
"""The native loop from the audio ring to the event ring and the outbox: the fast lane, without the interpreter."""

from typing import NamedTuple

import numpy as np

from bridge.hearing import HEARD, Hearing, hear_step
from bridge.midi.clock import clock_step
from bridge.midi.departure import Departure, announce_range, depart_step
from bridge.midi.outbox import FRAMES, Outbox
from bridge.native import acquire, nap, now_ns, post, release, wait
from bridge.ring import READ, Ring, ring_read, ring_ready, ring_write
from bridge.sources.base import DONE, NS_OFFSET, OFFSET, PATIENCE, PERIOD
from dsp import tones
from dsp.events import LEVEL
from dsp.kernel import kernel
from dsp.units import HOP

# Words of the loop itself.
STOP, RUNNING, RECORD, ANNOUNCE = 0, 8, 9, 10
EACH_LEVEL = 12  # 1: a level alone is worth waking the dispatcher, which looks ten times a second anyway
PATIENT = 11  # 1: a file, so that the loop waits for a slow reader rather than lose events
STEPS, WORK_NS, WORST_NS, LISTENED = 16, 17, 18, 19
NS_PATH = 20  # from decision to departure where the clock counts ns
SLACK = 21  # what a Python hop before the engine needs, where the clock counts frames [source samples]
CALM = 22  # so long after a stroke none of its names is still due [samples]; 0: something always may be
SPARE = 23  # what sound may then wait [samples]
FRAMED = 24  # 1: what leaves is decided as a frame of notes completes, and nothing is between two
SET = [NS_PATH, SLACK, CALM, SPARE, FRAMED]  # by the preset, not by the loop
DRIFT_NS = 200  # how fast the clock estimate may rise [ns a block]: 150 ppm at 64 samples
HISTOGRAM = 32  # 32 words: blocks by time from their arrival to their end, in doublings of 1 us
WORDS = 64
CHUNK = 256  # source samples taken from the ring at once


class Listening(NamedTuple):
    """All that the native loop touches."""

    source: np.ndarray  # the source's control words
    audio: Ring  # float32, from the source
    wake: np.ndarray  # semaphore the source posts
    hearing: Hearing
    block: np.ndarray  # (CHUNK,) float32
    said: np.ndarray  # (m,) EVENT
    events: Ring  # EVENT, to the dispatcher
    tell: np.ndarray  # semaphore the dispatcher waits on
    heard: Ring  # float32 at 48 kHz, to the take
    departure: Departure
    box: Outbox
    leave: np.ndarray  # semaphore of the outbox
    words: np.ndarray  # (WORDS,) int64
    clock: np.ndarray  # (2,) scratch for now_ns
    chords: Ring  # EVENT, from the slow lane, to be played
    chord: np.ndarray  # (1,) EVENT


@kernel
def _follow_clock(listening):
    """Keep the map from sample to clock: exact for JACK frames, the earliest arrival elsewhere."""
    clock = listening.departure.clock[0]
    if clock.kind == FRAMES:
        clock.offset = listening.source[OFFSET]
        clock.path = listening.source[PERIOD] + listening.words[SLACK]
    else:
        newest = listening.source[NS_OFFSET]
        if clock.offset == 0 or abs(newest - clock.offset) > 1_000_000_000:
            clock.offset = newest
        clock.offset = min(clock.offset + DRIFT_NS, newest)
        clock.path = listening.words[NS_PATH]


@kernel
def listen_step(listening):
    """Listen to what is in the ring, at most CHUNK samples; how many there were."""
    n = ring_read(listening.audio, listening.block)
    if n == 0:
        return 0
    began = now_ns(listening.clock)
    _follow_clock(listening)
    said, heard = hear_step(listening.hearing, listening.block[:n], listening.said)
    depart_step(listening.departure, listening.said[:said], listening.box)
    if ring_read(listening.chords, listening.chord):
        depart_step(listening.departure, listening.chord, listening.box)
        post(listening.leave)
    ticks = clock_step(
        listening.departure.ticks,
        listening.departure.clock[0],
        listening.said[:said],
        listening.hearing.counts[HEARD],
        listening.box,
    )
    if ticks:
        post(listening.leave)
    if listening.words[PATIENT]:
        while acquire(listening.words, STOP) == 0 and (
            ring_ready(listening.events) > len(listening.events.data) // 2
            or ring_ready(listening.heard) > len(listening.heard.data) // 2
        ):
            nap()
    if said:
        ring_write(listening.events, listening.said[:said])
        urgent = listening.words[EACH_LEVEL]
        for k in range(said):
            urgent |= listening.said[k].kind != LEVEL
        if urgent:
            post(listening.tell)
            post(listening.leave)
    if listening.words[RECORD]:
        ring_write(listening.heard, listening.hearing.heard[:heard])
    release(listening.source, DONE, listening.audio.counts[READ])
    ended = now_ns(listening.clock)
    words, clock = listening.words, listening.departure.clock[0]
    words[STEPS] += 1
    words[LISTENED] += n
    words[WORK_NS] += ended - began
    words[WORST_NS] = max(words[WORST_NS], ended - began)
    arrived = listening.source[NS_OFFSET] + listening.audio.counts[READ] * 1_000_000_000 // clock.rate
    took, bin_ = max(ended - arrived, 0) // 1000, 0
    while took > 1 and bin_ < 31:
        took >>= 1
        bin_ += 1
    words[HISTOGRAM + bin_] += 1
    return n


@kernel
def _patience(listening):
    """Samples that may wait, for a wake costs as much as what it is for: a period where nothing that sounds has
    still to be named, or all but the last of a frame."""
    words, ear, period = listening.words, listening.hearing.ear, listening.source[PERIOD]
    if words[FRAMED]:
        heard = ear.line.tones if ear.line.params[0].enabled else ear.poly.tones
        return (tones.HOPS - heard.hops[0]) * HOP - ear.filled[0] - 1
    onset = ear.drums.onset
    calm = onset.counter[3] == 0 and onset.counter[0] - onset.counter[2] > words[CALM] > 0
    return period if calm and period <= words[SPARE] else 0


@kernel
def listen(listening):
    """Listen until told to stop: the whole fast lane, without the interpreter."""
    release(listening.words, RUNNING, 1)
    while acquire(listening.words, STOP) == 0:
        wait(listening.wake)
        if listening.words[ANNOUNCE]:
            listening.words[ANNOUNCE] = 0
            announce_range(listening.departure, listening.box, listening.departure.clock[0].offset)
        while listen_step(listening) > 0:
            pass
        release(listening.source, PATIENCE, _patience(listening))
    release(listening.words, RUNNING, 0)
