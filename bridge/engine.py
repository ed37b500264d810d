# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: the native loop on a thread of its own, and what Python reads from it."""

import threading

import numpy as np

from bridge import realtime
from bridge.closing import Closing
from bridge.hearing import BAD, HEARD, adopt, hearing, room
from bridge.kit.teacher import pads_of
from bridge.loop import (
    ANNOUNCE,
    CALM,
    CHUNK,
    EACH_LEVEL,
    FRAMED,
    HISTOGRAM,
    LISTENED,
    NS_PATH,
    PATIENT,
    RECORD,
    SET,
    SLACK,
    SPARE,
    STOP,
    WORDS,
    WORK_NS,
    Listening,
    listen,
)
from bridge.midi.departure import decision, departure, departure_adopt
from bridge.midi.outbox import CONSTANT, NANOSECONDS, Outbox
from bridge.native import SEMAPHORE_BYTES, open_semaphore, post_semaphore
from bridge.preset import Preset
from bridge.ring import LOST, READ, WRITTEN, Ring, ring, ring_read, ring_write
from bridge.sources.base import DONE, PERIOD
from dsp.events import CHORD, EVENT
from dsp.hits import hits_settled, hits_spare
from dsp.units import HOP, RATE, samples


def _empty(ring: Ring) -> bool:
    """Whether nothing waits to be read: far cheaper than to enter a kernel and find out."""
    return bool(ring.counts[WRITTEN] == ring.counts[READ])


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
        """When the loop need not be woken by every period: where all that leaves is hits, and not at once, or
        notes, which are heard by frames."""
        preset, hits = self.preset, self.listening.hearing.ear.drums.hits
        told = samples(preset.drums.decision_ms) - samples(preset.onset.decision_ms)
        strokes, notes, beat = (part.enabled for part in (preset.drums, preset.notes, preset.beat))
        hits_alone = strokes and not (notes or beat) and preset.mode == "constant"
        self.words[CALM] = hits_settled(hits) if hits_alone and self.rate == RATE else 0
        self.words[SPARE] = min(hits_spare(hits), told - HOP)
        frames_alone = notes and not (preset.notes.pitch or strokes or beat or preset.onset.enabled)
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
