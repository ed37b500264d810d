# SPDX-License-Identifier: GPL-3.0-or-later
"""The native loop says what a file would, hands MIDI over for its exact sample, and takes orders while it runs."""

import time

import numpy as np
import pytest

from bridge.engine import Engine
from bridge.midi.departure import decision
from bridge.midi.outbox import BYTES, CONSTANT, FRAMES, LENGTH, NANOSECONDS, collect, deliver, outbox
from bridge.midi.outbox import MESSAGE as MESSAGES
from bridge.midi.port import NoMidi
from bridge.native import post_semaphore
from bridge.preset import load
from bridge.ring import ring_write
from bridge.sources.base import NS_OFFSET, OFFSET, PATIENCE, PERIOD, feed
from bridge.transcribe import transcribe
from dsp.events import DRUM, LEVEL, NOTE_OFF, NOTE_ON
from dsp.tones import FRAME
from dsp.units import HOP

RATE = 48_000
START = 1_000_003  # frame time of sample 0
ON, OFF, CONTROL = 0x90, 0x80, 0xB0


def strokes(seconds=2.0, seed=3):
    rng = np.random.default_rng(seed)
    x = np.zeros(round(seconds * RATE), np.float32)
    for at in range(9_600, len(x) - 4_800, 9_600):
        x[at : at + 2_400] += rng.uniform(-0.5, 0.5, 2_400) * np.exp(-np.arange(2_400) / 500)
    return x


def string(seconds=1.0, f0=220.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * sum(np.sin(2 * np.pi * k * f0 * t) / k for k in range(1, 8))).astype(np.float32)


class Rig:
    """An engine between a source and an outbox of our own."""

    def __init__(self, preset, clock=FRAMES, **options):
        self.feed = feed()
        self.feed.control[PERIOD], self.feed.control[OFFSET] = 64, START
        self.feed.control[NS_OFFSET] = 5_000_000_000
        none = NoMidi()
        self.box = outbox(np.zeros(BYTES, np.uint8))
        options = {"path_ns": 2_000_000} | options
        self.engine = Engine(
            preset,
            RATE,
            self.feed.control,
            self.feed.audio,
            self.feed.wake,
            self.box,
            none.leave,
            clock=clock,
            **options,
        )
        self.engine.compile()
        self.engine.start()
        self.events = []

    def hear(self, x, block=64):
        """Play `x` into the engine, and wait until it is heard."""
        for at in range(0, len(x), block):
            assert ring_write(self.feed.audio, x[at : at + block])
            post_semaphore(self.feed.wake)
            self.wait()
        return self

    def wait(self):
        deadline = time.monotonic() + 10
        while not self.engine.idle():
            assert time.monotonic() < deadline, "the engine does not listen"
            time.sleep(0)
        self.events.append(self.engine.events().copy())

    def said(self):
        events = np.concatenate(self.events)
        return events[events["kind"] != LEVEL]

    def messages(self, now=0, rate=RATE, until=10**15):
        """MIDI that leaves, as (when, status, data1, data2)."""
        collect(self.box, now, now, 0, rate)
        assert self.box.words[LENGTH] < 1000
        out, got = np.zeros(256, MESSAGES), []
        while n := deliver(self.box, 0, until, out):
            got += [tuple(int(m[k]) for k in ("due", "status", "data1", "data2")) for m in out[:n]]
        return got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.engine.stop()


@pytest.mark.parametrize("block", [64, 100, 1024])
def test_the_loop_says_what_a_file_would(block):
    preset, sound = load("visuals"), strokes()
    with Rig(preset) as rig:
        live = rig.hear(sound, block).said()
    file = transcribe(iter([sound]), RATE, preset).events
    file = file[(file["kind"] != LEVEL) & (file["id"] < 1 << 32)]
    assert len(live) > 8
    np.testing.assert_array_equal(live, file[: len(live)])
    assert len(file) - len(live) <= 1  # the end of a note that still sounded


def test_in_frames_a_hit_leaves_a_constant_after_its_stroke_to_the_sample():
    preset = load("drums", ["drums.decision_ms=5", "midi.gate_ms=30"])
    with Rig(preset) as rig:
        drums = rig.hear(strokes()).said()
        drums = drums[drums["kind"] == DRUM]
        left = rig.messages()
        assert rig.box.words[CONSTANT] == 0 and rig.engine.publish() is None
        assert rig.box.words[CONSTANT] == 240 + 64
    ons = [m for m in left if m[1] & 0xF0 == ON]
    offs = [m for m in left if m[1] & 0xF0 == OFF]
    assert [m[0] for m in ons] == [START + int(t) + 240 + 64 for t in drums["time"]]
    assert [m[0] for m in offs] == [START + int(t) + 240 + 64 + 1440 for t in drums["time"]]
    assert len(ons) >= 8


def test_fastest_leaves_when_it_is_known():
    preset = load("drums", ['mode="fastest"'])
    with Rig(preset) as rig:
        drums = rig.hear(strokes()).said()
        left = rig.messages()
    ons = [m[0] for m in left if m[1] & 0xF0 == ON]
    assert ons == [START + int(t) for t in drums[drums["kind"] == DRUM]["emitted"]]


def test_on_the_clock_of_the_system_the_constant_is_the_same_in_nanoseconds():
    preset = load("drums", ["drums.decision_ms=5"])
    with Rig(preset, clock=NANOSECONDS) as rig:
        drums = rig.hear(strokes()).said()
        left = rig.messages(now=5_000_000_000, rate=1_000_000_000)
    ons = [m[0] for m in left if m[1] & 0xF0 == ON]
    expected = [int(t) * 1_000_000_000 // RATE for t in drums[drums["kind"] == DRUM]["time"] + 240]
    assert [on - 2_000_000 for on in ons] == expected
    assert len(ons) >= 8


def test_a_preset_is_taken_over_while_it_listens():
    quiet = load("drums", ["onset.sensitivity=0", "velocity.low=1", "drums.decision_ms=20"])
    with Rig(load("drums")) as rig:
        rig.hear(strokes())
        assert len({m[3] for m in rig.messages() if m[1] & 0xF0 == ON}) > 2
        rig.engine.adopt(quiet)
        assert rig.box.words[CONSTANT] == decision(quiet)["drum"] + 64
        n = rig.engine.samples
        rig.events.clear()
        drums = rig.hear(strokes(seed=4)).said()
        left = rig.messages()
    drums = drums[(drums["kind"] == DRUM) & (drums["time"] >= n)]
    ons = [m for m in left if m[1] & 0xF0 == ON]
    assert [m[0] for m in ons] == [START + int(t) + 960 + 64 for t in drums["time"]]
    assert {m[3] for m in ons} == {127}


def test_the_bend_range_is_told_when_asked_for():
    with Rig(load("guitar")) as rig:
        rig.engine.announce()
        rig.hear(np.zeros(64, np.float32))
        told = [(m[2], m[3]) for m in rig.messages() if m[1] & 0xF0 == CONTROL]
    assert told == [(101, 0), (100, 0), (6, 2), (38, 0), (101, 127), (100, 127)]


def test_what_sounds_at_the_end_is_ended():
    with Rig(load("guitar")) as rig:
        rig.hear(string())
        ending = rig.engine.ending()
        said = rig.said()
    ons, offs = (said[said["kind"] == kind] for kind in (NOTE_ON, NOTE_OFF))
    assert len(ons) == 1 and not len(offs)
    assert (ending["kind"], ending["ref"], ending["time"]) == (NOTE_OFF, ons["id"], RATE)
    assert not len(rig.engine.ending())


def test_what_finds_no_room_is_counted_and_never_half_written():
    with Rig(load("drums")) as rig:
        rig.engine.stop()
        size = len(rig.feed.audio.data)
        assert ring_write(rig.feed.audio, np.zeros(size - 10, np.float32))
        assert not ring_write(rig.feed.audio, np.zeros(64, np.float32))
        assert rig.engine.overruns == 64


def test_it_stops_when_told_and_leaves_the_thread():
    rig = Rig(load("drums"))
    rig.hear(strokes(0.1))
    thread = rig.engine._thread
    rig.engine.stop()
    assert not thread.is_alive()
    assert rig.engine.samples == 4_800


def patience_while(rig, x):
    """How many samples the loop let wait after each period of `x`."""
    found = []
    for at in range(0, len(x), 64):
        rig.hear(x[at : at + 64])
        time.sleep(0.0005)  # it says so after it has listened
        found.append(int(rig.feed.control[PATIENCE]))
    return np.array(found)


def test_the_loop_may_sleep_through_a_period_only_while_nothing_has_to_be_said():
    rig = Rig(load("drums"))
    found = patience_while(rig, strokes(0.6))
    rig.engine.stop()
    struck = np.arange(9_600, 28_800 - 4_800, 9_600) // 64
    assert set(found) == {0, 64}
    for period in struck:
        after = found[period + 2 : period + 18]  # told by then, and 20 ms until it gets no more names
        assert not after.any()
        assert found[period + 24 : period + 46].all()  # no MIDI waits for what refines them
    assert found[struck[0] - 20 : struck[0] - 1].all()


def test_where_all_notes_are_heard_by_frames_the_loop_may_sleep_until_one_is_complete():
    rig = Rig(load("piano"))
    found = patience_while(rig, string(0.3))
    rig.engine.stop()
    frame = np.arange(FRAME - HOP, -1, -HOP)  # left of it after each hop
    frame[-1] = FRAME
    assert list(found[: len(frame)]) == list(frame - 1)
    assert list(found) == list(np.resize(found[: len(frame)], len(found)))


@pytest.mark.parametrize("override", ["beat.enabled=true", "drums.enabled=true", "onset.enabled=true"])
def test_where_more_than_notes_is_asked_for_no_frame_is_waited_for(override):
    rig = Rig(load("piano", [override]))
    found = patience_while(rig, string(0.1))
    rig.engine.stop()
    assert not found.any()


@pytest.mark.parametrize("override", ['mode="fastest"', "drums.decision_ms=3", "notes.enabled=true"])
def test_where_something_may_be_due_at_any_time_the_loop_never_sleeps_through(override):
    rig = Rig(load("drums", [override]))
    found = patience_while(rig, strokes(0.5))
    rig.engine.stop()
    assert not found.any()
