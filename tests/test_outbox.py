# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages leave on their sample, in order, and every note that was started is ended."""

import numpy as np
import pytest

from bridge.midi.outbox import (
    BYTES,
    FRAMES,
    LATE,
    MESSAGE,
    NANOSECONDS,
    PANIC,
    PANIC_DONE,
    SOUNDING,
    TAKE_BACK,
    collect,
    deliver,
    length_of,
    outbox,
    send,
)

ON, OFF, BEND = 0x90, 0x80, 0xE0


class Box:
    """An outbox, its engine's side and a port that takes cycles of 64 ticks."""

    def __init__(self):
        self.box = outbox(np.zeros(BYTES, np.uint8))
        self.scratch, self.out = np.zeros(1, MESSAGE), np.zeros(256, MESSAGE)
        self.now = 0

    def send(self, due, status, note, velocity, id, clock=FRAMES, prompt=0):
        assert send(self.box, self.scratch, due, clock, prompt, status, note, velocity, id)

    def cycle(self, n=64, raw=None):
        collect(self.box, self.now if raw is None else raw, 0, self.now, 48_000)
        count = deliver(self.box, self.now, self.now + n, self.out)
        got = [(self.now + int(m["due"]), int(m["status"]), int(m["data1"])) for m in self.out[:count]]
        self.now += n
        return got

    def until(self, end):
        return [m for _ in range(self.now, end, 64) for m in self.cycle()]


def test_each_message_leaves_on_its_sample_whatever_the_order_of_arrival():
    box, rng = Box(), np.random.default_rng(0)
    due = rng.permutation(np.arange(100, 5000, 13))
    for k, at in enumerate(due):
        box.send(int(at), ON, k % 128, 64, k + 1)
    left = [at for at, status, _ in box.until(6000) if status == ON]
    assert left == sorted(due)
    assert box.box.words[LATE] == 0


def test_a_late_message_leaves_at_once_and_is_counted():
    box = Box()
    box.cycle(640)
    box.send(100, ON, 60, 64, 1)
    box.send(100, ON, 61, 64, 2, prompt=1)  # asked for as soon as possible: never late
    assert box.cycle() == [(640, ON, 60), (640, ON, 61)]
    assert box.box.words[LATE] == 1


def test_a_note_struck_again_is_ended_on_the_same_sample_before_it_starts():
    box = Box()
    box.send(100, ON, 38, 90, 1)
    box.send(900, OFF, 38, 0, 1)  # the gate of the first stroke
    box.send(500, ON, 38, 90, 2)
    box.send(1300, OFF, 38, 0, 2)
    assert box.until(2000) == [(100, ON, 38), (500, OFF, 38), (500, ON, 38), (1300, OFF, 38)]


def test_an_off_never_ends_another_note_than_its_own():
    box = Box()
    box.send(10, ON, 60, 90, 7)
    box.send(20, OFF, 60, 0, 6)
    assert box.until(64) == [(10, ON, 60)]
    assert box.box.words[SOUNDING] == 1


def test_a_note_taken_back_before_it_left_never_sounds():
    box = Box()
    box.send(500, ON, 60, 90, 1)
    box.send(500, ON, 64, 90, 3)
    assert box.cycle() == []
    box.send(548, OFF, 60, 0, 1, prompt=TAKE_BACK)
    box.send(500, ON, 61, 90, 2)
    assert box.until(1000) == [(500, ON, 64), (500, ON, 61)]
    assert box.box.words[SOUNDING] == 2 and box.box.words[LATE] == 0


def test_a_note_taken_back_after_it_left_is_ended():
    box = Box()
    box.send(100, ON, 60, 90, 1)
    assert box.until(200) == [(100, ON, 60)]
    box.send(310, OFF, 60, 0, 1, prompt=TAKE_BACK)
    box.send(310, ON, 61, 90, 2)
    assert box.until(400) == [(310, OFF, 60), (310, ON, 61)]


def test_panic_ends_all_and_forgets_what_waits():
    box = Box()
    for k in range(20):
        box.send(k, ON | (k % 2), 40 + k, 90, k + 1)
    box.send(5000, ON, 100, 90, 99)
    box.cycle()
    box.box.words[PANIC] += 1
    ended = {(status & 15, note) for _, status, note in box.until(640) if status & 0xF0 == OFF}
    assert ended == {(k % 2, 40 + k) for k in range(20)}
    assert box.box.words[SOUNDING] == 0
    assert box.box.words[PANIC_DONE] == box.box.words[PANIC]
    assert box.until(6000) == []


def test_a_second_panic_still_tells_each_channel_that_was_used():
    """Whoever was away when the notes ended is told when they are back."""
    box = Box()
    box.send(0, ON | 9, 36, 90, 1)
    box.send(0, ON | 2, 60, 90, 2)
    box.cycle()
    for _ in range(2):
        box.box.words[PANIC] += 1
        said = box.until(box.now + 640)
        assert {(status, data) for _, status, data in said} >= {(0xB9, 123), (0xB2, 123)}
        assert not any(status & 15 == 0 for _, status, _ in said)


def test_panic_of_more_notes_than_one_cycle_holds():
    box = Box()
    for k in range(16 * 128):
        box.send(0, ON | (k // 128), k % 128, 90, k + 1)
        if k % 100 == 99:
            box.cycle()
    box.until(box.now + 640)
    assert box.box.words[SOUNDING] == 2048
    box.box.words[PANIC] += 1
    offs = [m for m in box.until(box.now + 6400) if m[1] & 0xF0 == OFF]
    assert len(offs) == 2048
    assert box.box.words[SOUNDING] == 0


@pytest.mark.parametrize("seed", range(5))
def test_any_performance_starts_and_ends_each_note_by_turns(seed):
    box, rng = Box(), np.random.default_rng(seed)
    time = 0
    for id in range(1, 401):
        time += int(rng.integers(0, 60))
        note, length = int(rng.integers(60, 64)), int(rng.integers(48, 900))
        box.send(time + 200, ON, note, 64, id)
        box.send(time + 200 + length, OFF, note, 0, id)
    sounding = set()
    for _, status, note in box.until(time + 5000):
        if status == ON:
            assert note not in sounding
            sounding.add(note)
        else:
            sounding.remove(note)
    assert not sounding
    assert box.box.words[SOUNDING] == 0


def test_frame_time_may_wrap_around():
    box = Box()
    raw = 2**32 - 32
    box.send(raw + 100, ON, 60, 64, 1)  # due in the next cycle but one, after the counter wrapped
    got = []
    for _ in range(4):
        got += box.cycle(raw=raw & 0xFFFFFFFF)
        raw += 64
    assert got == [(100, ON, 60)]


def test_nanoseconds_become_the_frames_of_the_port():
    box = Box()
    box.send(10_000_000, ON, 60, 64, 1, clock=NANOSECONDS)
    assert box.until(960) == [(480, ON, 60)]


@pytest.mark.parametrize(
    ("status", "bytes_"),
    [(0x80, 3), (0x9F, 3), (0xB0, 3), (0xC0, 2), (0xD5, 2), (0xE0, 3), (0xF2, 3), (0xF8, 1)],
)
def test_a_message_is_as_long_as_its_status_says(status, bytes_):
    assert length_of(status) == bytes_
