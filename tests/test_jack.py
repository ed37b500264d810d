# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of a JACK stream stays true whatever the server does with its own."""

import subprocess
import time

import numpy as np
import pytest

from bridge.jack import client as jack
from bridge.ring import LOST, READ, WRITTEN, ring_read
from bridge.sources.base import BLOCKS, EXPECTED, JUMP_SAMPLES, JUMPS, OFFSET, feed

pytestmark = pytest.mark.jack


@pytest.fixture
def fill():
    """Hands blocks over as the callback does: ``fill(start, n)``, each block of ones."""
    assert jack.library() is not None
    from bridge.jack.callbacks import fill_gap
    from bridge.ring import ring_write

    class Stream:
        def __init__(self):
            self.feed = feed(0.02)
            self.control, self.ring = self.feed.control, self.feed.audio

        def block(self, start, n=64):
            fits = fill_gap(self.control, self.ring, start, n)
            if fits:
                ring_write(self.ring, np.ones(n, np.float32))
            self.control[BLOCKS] += 1
            return fits

        def heard(self):
            out = np.zeros(len(self.ring.data), np.float32)
            return out[: ring_read(self.ring, out)]

        def frame_of_next(self):
            return (self.ring.counts[WRITTEN] + self.control[OFFSET]) & 0xFFFFFFFF

    return Stream()


def test_a_steady_stream_has_no_jumps(fill):
    for k in range(100):
        assert fill.block(1000 + 64 * k)
        fill.heard()
    assert fill.control[JUMPS] == 0
    assert fill.control[OFFSET] == 1000


def test_missing_samples_become_silence_and_the_map_to_frames_stays(fill):
    fill.block(0)
    fill.block(64 + 640)
    heard = fill.heard()
    assert len(heard) == 64 + 640 + 64
    assert heard.sum() == 128
    assert not heard[64:704].any()
    assert (fill.control[JUMPS], fill.control[JUMP_SAMPLES], fill.control[OFFSET]) == (1, 640, 0)


def test_a_jump_back_is_a_new_start(fill):
    fill.block(10_000)
    fill.block(5_000)
    assert len(fill.heard()) == 128
    assert fill.frame_of_next() == 5_064


def test_a_hole_of_minutes_is_a_new_start_not_minutes_of_silence(fill):
    fill.block(0)
    fill.block(48_000 * 600)
    assert len(fill.heard()) == 128
    assert fill.frame_of_next() == 48_000 * 600 + 64


def test_the_frame_counter_may_wrap(fill):
    start = 2**32 - 100
    for k in range(4):
        assert fill.block((start + 64 * k) & 0xFFFFFFFF)
    assert fill.control[JUMPS] == 0
    assert fill.frame_of_next() == (start + 256) & 0xFFFFFFFF


def test_a_full_ring_loses_samples_but_never_the_clock(fill):
    """The engine stalls: what does not fit is counted, and silence takes its place later."""
    start = 0
    while fill.block(start):
        start += 64
    lost_at = start
    for _ in range(10):
        start += 64
        assert not fill.block(start)
    start += 64
    assert fill.ring.counts[LOST] == 11 * 64
    heard = fill.heard()
    assert heard.all() and len(heard) == lost_at
    assert fill.block(start)
    after = fill.heard()
    assert fill.ring.counts[READ] == start + 64
    assert not after[:-64].any()
    assert after[-64:].all()
    assert fill.control[EXPECTED] == start + 64
    assert fill.control[OFFSET] == 0


def test_a_port_that_appears_later_is_connected_and_stays_unplugged_once_unplugged(jack_server):
    from bridge.meter import Meter
    from bridge.sources.jack import JackSource

    source = JackSource("earwire-wiring", "late-daw:out")

    def heard(seconds, wanted):
        """Tend the source until it hears, or does not hear, the late port."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert source.look() is None
            if (source.upstream_ports() == ["late-daw:out"]) == wanted:
                return True
            time.sleep(0.05)
        return False

    try:
        source.start()
        assert not heard(0.3, True)
        daw = Meter("late-daw")
        try:
            assert heard(5, True)
            subprocess.run(["jack_disconnect", "late-daw:out", "earwire-wiring:in_1"], check=True)
            assert heard(2, False)
            assert not heard(2.5, True)
        finally:
            daw.close()
    finally:
        source.close()
