# SPDX-License-Identifier: GPL-3.0-or-later
"""MIDI clock: steady where the beat is steady, quick where it is not, and never a jump."""

import time

import numpy as np
import pytest

from bridge.engine import Engine
from bridge.midi.clock import CONTINUE, POSITION, START, STOP, TICK, ClockSettings, clock_state, clock_step
from bridge.midi.departure import CLOCK
from bridge.midi.outbox import BYTES, FRAMES, MESSAGE, PANIC, collect, deliver, outbox
from bridge.midi.port import NoMidi
from bridge.preset import load
from bridge.ring import ring_write
from bridge.sources.base import OFFSET, PERIOD, feed
from dsp.events import BEAT, EVENT
from dsp.units import RATE
from tests.daemon import JACK, Daemon, meter_on
from tests.test_beat import beats_at, rock

LEAD = 1000  # samples by which beats are foretold here


def beats(times: np.ndarray, bpm: np.ndarray | float, noise_ms: float = 0.0) -> np.ndarray:
    out = np.zeros(len(times), EVENT)
    wrong = np.random.default_rng(1).normal(0, noise_ms * 48, len(times))
    out["kind"], out["time"] = BEAT, np.round(times * RATE + wrong)
    out["emitted"], out["number"], out["confidence"] = np.round(times * RATE) - LEAD, bpm, 0.9
    out["value"], out["label"] = np.arange(len(times)) % 4 + 1, 4
    return out


class Band:
    """A clock, and the port that its messages leave by; frame 0 is sample 0."""

    def __init__(self, settings: ClockSettings = ClockSettings(enabled=True)) -> None:  # noqa: B008
        self.state = clock_state(settings)
        self.clock = np.zeros(1, CLOCK)
        self.clock["kind"], self.clock["rate"], self.clock["path"] = FRAMES, RATE, 64
        self.box = outbox(np.zeros(BYTES, np.uint8))
        self.now, self._out = 0, np.zeros(256, MESSAGE)

    def play(self, events: np.ndarray, seconds: float, period: int = 64) -> list[tuple[int, int, int, int]]:
        """All that leaves until then: (frame, status, data1, data2)."""
        left = []
        while self.now < seconds * RATE:
            heard = self.now + period
            new = events[(events["emitted"] > self.now) & (events["emitted"] <= heard)]
            clock_step(self.state, self.clock[0], new, heard, self.box)
            # What was sent while a cycle is heard can leave in the next one at the soonest.
            collect(self.box, heard, 0, heard, RATE)
            n = deliver(self.box, heard, heard + period, self._out)
            left += [
                (heard + int(m["due"]), int(m["status"]), int(m["data1"]), int(m["data2"]))
                for m in self._out[:n]
            ]
            self.now = heard
        return left


def ticks(left: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array([frame for frame, status, *_ in left if status == TICK])


@pytest.mark.parametrize("period", [64, 1024])
def test_ticks_lie_on_the_beats_and_are_even(period: int) -> None:
    times = beats_at(120, 30)
    left = Band().play(beats(times, 120.0, noise_ms=3), 30, period)
    at = ticks(left)
    settled = at[at > 5 * RATE]
    assert np.diff(settled).std() / 48 <= 0.3
    near = np.abs(settled[:, None] - times * RATE).min(0)[12:-2]
    assert near.max() < 6 * 48  # of beats whose own times err by 3 ms


def test_a_song_starts_on_a_bar_just_before_its_tick() -> None:
    left = Band().play(beats(beats_at(100, 12), 100.0), 12)
    started = [k for k, row in enumerate(left) if row[1] == START]
    assert len(started) == 1
    (k,) = started
    assert left[k + 1][1] == TICK and left[k + 1][0] - left[k][0] == 72
    beat = (left[k + 1][0] / RATE - 0.5) / 0.6
    assert beat == pytest.approx(4, abs=0.02)


@pytest.mark.parametrize("fast, slow", [(120.0, 100.0), (100.0, 120.0), (90.0, 140.0)])
def test_a_new_tempo_settles_within_four_beats_and_never_jumps(fast: float, slow: float) -> None:
    first = beats_at(slow, 10)
    second = first[-1] + 60 / fast * np.arange(1, 30)
    # The tempo is known a beat after it has changed: until then the old one is foretold.
    foretold = np.concatenate([first, [first[-1] + 60 / slow], second[1:]])
    bpm = np.concatenate([np.full(len(first) + 1, slow), np.full(len(second) - 1, fast)])
    at = ticks(Band().play(beats(foretold, bpm), second[-1]))
    lengths = np.diff(at)
    assert (np.abs(np.diff(lengths)) <= 0.1 * lengths[:-1] + 1).all()
    for k in range(5, 25):
        assert np.abs(at / RATE - second[k]).min() < 0.01
    assert lengths[at[:-1] > second[5] * RATE].std() / 48 < 0.5


def test_where_beats_end_the_song_stops_and_goes_on_at_a_bar() -> None:
    band = Band()
    left = band.play(beats(beats_at(120, 10), 120.0), 16)
    assert [status for _, status, *_ in left if status in (START, STOP, CONTINUE)] == [START, STOP]
    assert at_of(left, STOP)[0] < 11.5 * RATE and [row[1] for row in left].index(STOP) >= len(left) - 4
    again = band.play(beats(beats_at(90, 30, 16.5), 90.0), 28)
    orders = [row for row in again if row[1] in (POSITION, CONTINUE, START)]
    assert [row[1] for row in orders] == [POSITION, CONTINUE]
    place = orders[0][2] + 128 * orders[0][3]
    assert place % 16 == 0 and place > 0
    following = next(row for row in again if row[1] == TICK and row[0] > orders[1][0])
    assert following[0] - orders[1][0] == 72


def at_of(left: list[tuple[int, int, int, int]], status: int) -> list[int]:
    return [frame for frame, said, *_ in left if said == status]


def test_offset_and_transport_are_the_preset_s() -> None:
    events = beats(beats_at(120, 8), 120.0)
    plain = Band().play(events, 8)
    early = Band(ClockSettings(enabled=True, transport=False, offset_ms=-10)).play(events, 8)
    assert {status for _, status, *_ in early} == {TICK}
    a, b = ticks(plain)[48:], ticks(early)[48:]
    assert np.median(b[: len(a)] - a[: len(b)]) == -480
    assert Band(ClockSettings()).play(events, 4) == []


def test_a_panic_costs_no_tick() -> None:
    events = beats(beats_at(120, 8), 120.0)
    calm, hurried = Band(), Band()
    hurried.play(events, 4.01)
    calm.play(events, 4.01)
    hurried.box.words[PANIC] += 1
    a, b = ticks(calm.play(events, 7)), ticks(hurried.play(events, 7))
    assert len(a) == len(b) and np.abs(a - b).max() <= 64


def test_a_groove_drives_the_clock_through_the_whole_engine() -> None:
    source, none, box = feed(), NoMidi(), outbox(np.zeros(BYTES, np.uint8))
    source.control[PERIOD], source.control[OFFSET] = 64, 0
    engine = Engine(
        load("clock"), RATE, source.control, source.audio, source.wake, box, none.leave, clock=FRAMES
    )
    engine.compile()
    x, left, out = rock(beats_at(120, 16)), [], np.zeros(256, MESSAGE)
    engine.start(patient=True)
    for start in range(0, 15 * RATE, 480):
        ring_write(source.audio, x[start : start + 480])
        until = time.monotonic() + 20
        while engine.samples < start + 480 and time.monotonic() < until:
            from bridge.native import post_semaphore

            post_semaphore(source.wake)
            time.sleep(0.0005)
        engine.events()
        collect(box, start + 480, 0, start + 480, RATE)
        n = deliver(box, start + 480, start + 960, out)
        left += [(start + 480 + int(m["due"]), int(m["status"]), 0, 0) for m in out[:n]]
    engine.stop()
    at = ticks(left)
    assert [status for _, status, *_ in left if status != TICK] == [START]
    settled = at[at > 5 * RATE]
    assert np.diff(settled).std() / 48 <= 0.3
    assert np.median(np.diff(settled)) == pytest.approx(1000, abs=2)


@pytest.mark.jack
def test_on_jack_every_tick_is_on_its_sample(jack_server, tmp_path) -> None:  # type: ignore[no-untyped-def]
    one = Daemon(tmp_path, *JACK, "--preset", "clock")
    try:
        with meter_on(one) as meter:
            from bridge.meter import BURST

            x = rock(beats_at(120, 11, 0.1))[: 11 * RATE // BURST * BURST].reshape(-1, BURST)
            starts = meter.play(x, np.full(len(x), BURST))
            while meter.now < starts[-1]:
                time.sleep(0.1)
            heard, jumps = meter.events, meter.jumps
            at = heard[heard[:, 1] == TICK, 0]
            at = at[at > starts[0] + 5 * RATE]
            lengths = np.diff(at)
            clean = [not ((jumps > a - 48_000) & (jumps <= a + 2000)).any() for a in at[:-1]]
            assert len(lengths) > 150
            assert (heard[:, 1] == START).sum() == 1
            if sum(clean) > 50:  # where the server itself has lost time, nothing is asked
                assert lengths[clean].std() / 48 <= 0.3
                # It keeps up with the groove: the beat may be 20 ms off where the ticks begin and where they end.
                assert abs(np.sum(lengths[clean] - 1000)) < 2 * 0.02 * RATE
        assert one.stop() == 0
    finally:
        one.stop()
