# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: one native loop from the audio ring to the event ring and the outbox."""

import threading
from collections.abc import Callable, Iterator
from itertools import chain as chain_blocks
from typing import NamedTuple

import numpy as np

from bridge import realtime
from bridge.clock import clock_step
from bridge.departure import (
    Departure,
    announce_range,
    decision,
    depart_step,
    departure,
    departure_adopt,
)
from bridge.hearing import BAD, BLOCK, HEARD, Hearing, adopt, hear_step, hearing, room
from bridge.kit.teacher import Teacher, pads_of
from bridge.native import (
    SEMAPHORE_BYTES,
    acquire,
    nap,
    now_ns,
    open_semaphore,
    post,
    post_semaphore,
    release,
    wait,
)
from bridge.outbox import CONSTANT, FRAMES, NANOSECONDS, Outbox
from bridge.preset import Preset
from bridge.ring import LOST, READ, WRITTEN, Ring, ring, ring_read, ring_ready, ring_write
from bridge.sources.base import DONE, NS_OFFSET, OFFSET, PATIENCE, PERIOD
from dsp import tones
from dsp.bands import FRAME
from dsp.events import CHORD, EVENT, LEVEL, NOTE_OFF, NOTE_ON
from dsp.hits import REFINED, hits_spare
from dsp.kernel import kernel
from dsp.units import HOP, RATE, samples

# Words of the loop itself.
STOP, RUNNING, RECORD, ANNOUNCE = 0, 8, 9, 10
EACH_LEVEL = 12  # 1: a level alone is worth waking the dispatcher, which looks ten times a second anyway
PATIENT = 11  # 1: a file, so that the loop waits for a slow reader rather than lose events
STEPS, WORK_NS, WORST_NS, LISTENED = 16, 17, 18, 19
NS_PATH = 20  # from decision to departure where the clock counts ns
SLACK = 21  # what a Python hop before the engine needs, where the clock counts frames [source samples]
CALM = 22  # so long after a stroke nothing is due at once [samples]; 0: something always may be
SPARE = 23  # what sound may then wait [samples]
FRAMED = 24  # 1: what leaves is decided as a frame of all notes completes, and nothing is between two
SET = [NS_PATH, SLACK, CALM, SPARE, FRAMED]  # by the preset, not by the loop
DRIFT_NS = 200  # how fast the clock estimate may rise [ns a block]: 150 ppm at 64 samples
HISTOGRAM = 32  # 32 words: blocks by time from their arrival to their end, in doublings of 1 us
WORDS = 64
STILL = REFINED + FRAME + 2 * HOP  # after a stroke until the last word on it is said [samples]
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
        return (tones.HOPS - ear.poly.tones.hops[0]) * HOP - ear.filled[0] - 1
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


def _empty(ring: Ring) -> bool:
    """Whether nothing waits to be read: far cheaper than to enter a kernel and find out."""
    return bool(ring.counts[WRITTEN] == ring.counts[READ])


class Closing:
    """Knows which notes sound, so that every note-on gets its note-off at the end."""

    def __init__(self) -> None:
        self._sounding: dict[int, np.ndarray] = {}
        self._last_id = 0

    def follow(self, events: np.ndarray) -> None:
        for event in events[(events["kind"] == NOTE_ON) | (events["kind"] == NOTE_OFF)]:
            if event["kind"] == NOTE_ON:
                self._sounding[int(event["id"])] = event.copy()
            else:
                self._sounding.pop(int(event["ref"]), None)
        if len(events):
            self._last_id = max(self._last_id, int(events["id"].max()))

    def events(self, time: int, emitted: int) -> np.ndarray:
        """Note-offs of all that still sounds, at the end of the stream."""
        out = np.zeros(len(self._sounding), EVENT)
        for k, on in enumerate(self._sounding.values()):
            out[k] = on
            out[k]["id"], out[k]["ref"], out[k]["kind"] = self._last_id + 1 + k, on["id"], NOTE_OFF
            out[k]["time"], out[k]["emitted"], out[k]["value"] = time, emitted, 0
        self._sounding.clear()
        return out


class Engine:
    """The native loop on a thread of its own, and what Python reads from it.

    Parameters
    ----------
    preset
        What to listen for and how to answer.
    rate
        Of the source [Hz].
    control, audio, wake
        The source's control words, its ring and the semaphore it posts.
    box, leave
        The outbox and its semaphore; a private one where nothing goes out as MIDI.
    clock
        FRAMES where the source counts JACK frames and MIDI leaves through JACK too.
    path_ns
        From decision to departure where the clock counts ns.
    raw
        Whether the preset's gain is still to be applied; not to a take.
    slack
        What a Python thread between source and engine may need [source samples].
    lag, ahead
        What a plugin chain puts before the sound [source samples], and what a
        recorded take already waited for [samples].
    """

    def __init__(
        self,
        preset: Preset,
        rate: int,
        control: np.ndarray,
        audio: Ring,
        wake: np.ndarray,
        box: Outbox,
        leave: np.ndarray,
        clock: int = NANOSECONDS,
        path_ns: int = 0,
        lag: int = 0,
        ahead: int = 0,
        raw: bool = True,
        slack: int = 0,
    ) -> None:
        self.preset, self.rate, self._raw = preset, rate, raw
        self.closing = Closing()
        tell = np.zeros(SEMAPHORE_BYTES, np.uint8)
        open_semaphore(tell)
        state = hearing(preset, rate, preset.source.gain_db if raw else 0.0, lag, ahead)
        depart = departure(preset)
        depart.clock["kind"], depart.clock["rate"] = clock, rate
        depart.clock["beyond"] = state.params["beyond"]
        self.listening = Listening(
            control,
            audio,
            wake,
            state,
            np.zeros(CHUNK, np.float32),
            room(),
            ring(8192, EVENT),
            tell,
            ring(1 << 19, np.float32),
            depart,
            box,
            leave,
            np.zeros(WORDS, np.int64),
            np.zeros(2, np.int64),
            ring(64, EVENT),
            np.zeros(1, EVENT),
        )
        self.words = self.listening.words
        self.pads = pads_of(state)
        self.words[NS_PATH], self.words[SLACK] = path_ns + slack * 1_000_000_000 // rate, slack
        self._calm_down()
        self._out = np.zeros(8192, EVENT)
        self._heard = np.zeros(1 << 16, np.float32)
        self.realtime = False
        self._thread: threading.Thread | None = None

    def compile(self) -> None:
        """Have the machine code ready, from the cache or anew."""
        ring_read(self.listening.events, self._out)
        ring_read(self.listening.heard, self._heard)
        self.words[STOP] = 1
        post_semaphore(self.listening.wake)
        listen(self.listening)
        keep = self.words[SET]
        self.words[:] = 0
        self.words[SET] = keep

    def start(self, priority: int = 60, record: bool = False, patient: bool = False) -> None:
        """Listen on a thread of its own.

        Parameters
        ----------
        priority
            Realtime priority to ask for.
        record
            Keep what is heard for `heard`, which must then be called often.
        patient
            Wait for whoever reads events and sound, which a live source never may.
        """
        self.words[RECORD], self.words[PATIENT] = record, patient
        self.words[EACH_LEVEL] = patient or self.preset.osc.level

        def loop() -> None:
            self.realtime = realtime.promote(priority)
            listen(self.listening)

        self._thread = threading.Thread(target=loop, name="listen", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.words[STOP] = 1
        post_semaphore(self.listening.wake)
        if self._thread is not None:
            self._thread.join(2.0)

    def events(self) -> np.ndarray:
        """Events said since the last call, valid until the next."""
        if _empty(self.listening.events):
            return self._out[:0]
        got = self._out[: ring_read(self.listening.events, self._out)]
        self.closing.follow(got)
        return got

    def heard(self) -> np.ndarray:
        """Sound heard since the last call, valid until the next; (n,) float32 at 48 kHz."""
        if _empty(self.listening.heard):
            return self._heard[:0]
        return self._heard[: ring_read(self.listening.heard, self._heard)]

    def play(self, events: np.ndarray) -> None:
        """Have chords of the slow lane played, where the preset wants that."""
        chords = events[events["kind"] == CHORD]
        if len(chords):
            ring_write(self.listening.chords, chords)

    def ending(self) -> np.ndarray:
        """Note-offs of what sounds when listening has ended."""
        return self.closing.events(self.samples, self.samples + self.ahead)

    def adopt(self, preset: Preset) -> None:
        """Take over another preset's numbers while listening."""
        self.preset = preset
        adopt(self.listening.hearing, preset, preset.source.gain_db if self._raw else 0.0)
        departure_adopt(self.listening.departure, preset)
        self._calm_down()
        self.publish()
        self.announce()

    def _calm_down(self) -> None:
        """When the loop need not be woken by every period: where all that leaves is hits, and not at once, or all
        that sounds together, which is heard by frames."""
        preset, hits = self.preset, self.listening.hearing.ear.drums.hits
        told = samples(preset.drums.decision_ms) - samples(preset.onset.decision_ms)
        strokes, notes, beat = (part.enabled for part in (preset.drums, preset.notes, preset.beat))
        hits_alone = strokes and not (notes or beat) and preset.mode == "constant"
        self.words[CALM] = STILL if hits_alone and self.rate == RATE else 0
        self.words[SPARE] = min(hits_spare(hits), told - HOP)
        frames_alone = (
            notes and preset.notes.lines == "many" and not (strokes or beat or preset.onset.enabled)
        )
        self.words[FRAMED] = frames_alone and self.rate == RATE

    def announce(self) -> None:
        """Have the pitch-bend range sent again."""
        self.words[ANNOUNCE] = 1

    def publish(self) -> None:
        """Let the MIDI port know by how much it lags the sound."""
        kinds = decision(self.preset)
        kind = "drum" if self.preset.drums.enabled else "note_on"
        wait = (kinds[kind] + self.beyond) * self.rate // RATE
        path = int(self.listening.source[PERIOD] + self.words[SLACK])
        self.listening.box.words[CONSTANT] = wait + path

    @property
    def ahead(self) -> int:
        """Newer input that each heard sample depends on [samples at 48 kHz]."""
        return int(self.listening.hearing.params["ahead"][0])

    @property
    def beyond(self) -> int:
        """What the source's own stages add to every constant [samples at 48 kHz]."""
        return int(self.listening.hearing.params["beyond"][0])

    @property
    def tail(self) -> int:
        """Silence that brings the end of a file out of resampler and plugins [source samples]."""
        return int(self.listening.hearing.params["tail"][0])

    @property
    def samples(self) -> int:
        """Samples heard so far, at 48 kHz."""
        return int(self.listening.hearing.counts[HEARD])

    @property
    def mended(self) -> int:
        """Samples that were not finite or absurd, taken as silence."""
        return int(self.listening.hearing.counts[BAD])

    @property
    def overruns(self) -> int:
        """Samples, events and messages that found a ring full."""
        listening = self.listening
        rings = (listening.audio, listening.events, listening.heard, listening.box.ring)
        return sum(int(ring.counts[LOST]) for ring in rings)

    def load(self) -> float:
        """Part of the time spent listening since the last call, 0..1."""
        work, heard = int(self.words[WORK_NS]), int(self.words[LISTENED])
        before = getattr(self, "_load_mark", (0, 0))
        self._load_mark = (work, heard)
        span = (heard - before[1]) / self.rate * 1e9
        return (work - before[0]) / span if span > 0 else 0.0

    def reaction(self) -> tuple[float, float]:
        """From the arrival of a block to its events: half and 99 % of all blocks took less [ms]."""
        counts = self.words[HISTOGRAM:].cumsum()
        if not counts[-1]:
            return 0.0, 0.0
        half, most = (int(np.searchsorted(counts, part * counts[-1])) for part in (0.5, 0.99))
        return 2.0**half / 500, 2.0**most / 500  # bin k ends at 2 ** (k + 1) us

    def idle(self) -> bool:
        """Whether all that the source has written is heard and said."""
        listening = self.listening
        return bool(listening.source[DONE] >= listening.audio.counts[WRITTEN])


class Transcription(NamedTuple):
    events: np.ndarray  # (n,) EVENT
    samples: int  # heard, at 48 kHz
    mended: int  # of them not finite or absurd
    beyond: int  # what plugins add to every decision [samples]


def transcribe(
    blocks: Iterator[np.ndarray],
    rate: int,
    preset: Preset,
    *,
    ahead: int = 0,
    raw: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Transcription:
    """Events of a whole file, as fast as the processor allows: the step that live sound takes.

    Parameters
    ----------
    blocks
        Mono float32 blocks of any length.
    rate
        Of the source [Hz].
    preset
        What to listen for.
    ahead
        From the file, where it is a recorded take [samples].
    raw
        Whether the preset's gain and plugins are still to be applied; not for a take.
    progress
        Called with the source samples done so far.
    """
    from bridge.slow import SlowLane, stages

    chain = None
    if raw and preset.plugins:
        from bridge.plugins import PluginChain

        chain = PluginChain(preset.plugins, rate)
    lag = chain.delay if chain else 0
    state = hearing(preset, rate, preset.source.gain_db if raw else 0.0, lag, ahead)
    Teacher(pads_of(state), preset)
    slow = SlowLane(stages(preset), int(state.params["ahead"][0]))
    out, closing, got, done = room(), Closing(), [np.zeros(0, EVENT)], 0
    tail = np.zeros(int(state.params["tail"][0]), np.float32)
    for whole in chain_blocks(blocks, [tail]):
        for start in range(0, len(whole), BLOCK):
            block = np.ascontiguousarray(whole[start : start + BLOCK], np.float32)
            heard = chain.process(block) if chain else block
            said, n = hear_step(state, heard, out)
            if said:
                got.append(out[:said].copy())
                slow.know(got[-1])
            got.extend(events for events, _ in slow.listen(state.heard[:n]))
        done += len(whole)
        if progress:
            progress(done)
    events = np.concatenate(got)
    events = events[np.lexsort((events["id"], events["emitted"]))]
    closing.follow(events)
    time, waits = int(state.counts[HEARD]), int(state.params["ahead"][0])
    ends = closing.events(time, time + waits)
    added = int(state.params["beyond"][0])
    return Transcription(np.concatenate([events, ends]), time, int(state.counts[BAD]), added)
