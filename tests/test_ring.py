# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer, one reader, nothing lost, nothing twice."""

import threading

import numpy as np

from bridge.ring import LOST, ring, ring_read, ring_ready, ring_write


def test_what_goes_in_comes_out_in_any_portions():
    r, rng = ring(64, np.float32), np.random.default_rng(0)
    sent, got, out = np.arange(5000, dtype=np.float32), [], np.zeros(64, np.float32)
    at = 0
    while at < len(sent) or ring_ready(r):
        n = int(rng.integers(0, 50))
        at += ring_write(r, sent[at : at + n])
        n = ring_read(r, out[: int(rng.integers(0, 60))])
        got.append(out[:n].copy())
    assert np.array_equal(np.concatenate(got), sent)


def test_what_does_not_fit_is_left_out_whole_and_counted():
    r, out = ring(8, np.int64), np.zeros(8, np.int64)
    assert ring_write(r, np.arange(6)) == 6
    assert ring_write(r, np.arange(3)) == 0
    assert r.counts[LOST] == 3
    assert ring_write(r, np.arange(2)) == 2
    assert ring_read(r, out) == 8
    assert list(out) == [0, 1, 2, 3, 4, 5, 0, 1]


def test_two_threads_that_do_not_wait_for_each_other():
    r, total = ring(256, np.float32), 300_000
    source = np.arange(total, dtype=np.float32)
    ring_write(r, source[:0])

    def write():
        at = 0
        while at < total:
            at += ring_write(r, source[at : at + 64])

    writer = threading.Thread(target=write)
    writer.start()
    got, at, out = np.zeros(total, np.float32), 0, np.zeros(100, np.float32)
    while at < total:
        n = ring_read(r, out)
        got[at : at + n] = out[:n]
        at += n
    writer.join()
    assert np.array_equal(got, source)
