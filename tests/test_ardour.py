# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole session in a digital audio workstation: it plays drums to us and records the MIDI we answer with."""

import json
import signal
import time

import numpy as np
import pytest

from dsp.events import LABELS
from models.render import Stroke, render
from tests.ardour import RATE, TRIES, Ardour, NothingRecordedError

FIRST, APART, COUNT = 1.0, 0.3702, 20  # [s]; a distance that falls on ever other samples of a hop
STROKES = [Stroke(FIRST + APART * k, ("kick", "snare")[k % 2], 0.8) for k in range(COUNT)]
LONG = 9.0  # [s]
NOTE = {label.name: label.note for label in LABELS}


def ready(process, events):
    """The first event line, once there is one; kernels may have to be compiled before."""
    for _ in range(1500):
        if events.exists() and "\n" in (text := events.read_text("utf-8")):
            return json.loads(text.splitlines()[0])
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError("it never became ready")


def performed(start_earwire, folder):
    """One performance: the start line, what Ardour recorded, and the file of event lines."""
    events = folder / "events.jsonl"
    folder.mkdir()
    process = start_earwire(
        "run",
        "--source",
        "jack:ardour:",  # nothing yet: no input of the sound card beside what Ardour plays
        "--midi",
        "jack",
        "--name",
        "ardour-test",
        "-q",
        "-p",
        "drums",
        "--events",
        events,
    )
    start = ready(process, events)
    try:
        ardour = Ardour(folder / "ardour", "ardour-test:in_1", "ardour-test-midi:out")
        ardour.put(render(STROKES, LONG))
        recording = ardour.perform(LONG)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    return start, recording, events


@pytest.mark.jack
def test_ardour_records_every_stroke_a_constant_after_it_sounds(jack_server, start_earwire, tmp_path):
    for attempt in range(TRIES):
        try:
            start, recording, events = performed(start_earwire, tmp_path / f"try-{attempt}")
            break
        except NothingRecordedError:  # jackd may drop Ardour in the middle, too
            if attempt + 1 == TRIES:
                raise
    constant = round(start["constant"]["drum"] * RATE)
    lines = [json.loads(line) for line in events.read_text("utf-8").splitlines()]
    assert lines[-1] == {"kind": "end", "xruns": lines[-1]["xruns"], "overruns": 0, "late": lines[-1]["late"]}

    # Each note we say we sent was recorded, in its order, and nothing else.
    said = [line for line in lines if line["kind"] == "drum"]
    assert [note.note for note in recording.notes] == [line["note"] for line in said]
    for note, line in zip(recording.notes, said, strict=True):
        assert note.velocity == pytest.approx(127 * line["velocity"], abs=0.6)  # lines give three decimals
    assert {note.channel for note in recording.notes} == {10}
    assert recording.ends == len(recording.notes)

    # The DAW knows how late we are, and so where to move the recording.
    assert recording.latency == constant
    at = np.array([note.at for note in recording.notes]) - recording.latency
    onsets = np.array([round(stroke.time * RATE) for stroke in STROKES])
    nearest = np.abs(at[:, None] - onsets).argmin(axis=1)
    assert set(nearest) == set(range(COUNT))
    late = at - onsets[nearest]
    assert abs(np.median(late)) <= RATE // 1000
    # Where the server lost samples, silence took their place, and the return of a ringing drum is a
    # stroke of its own; every other note is where it belongs.
    astray = np.abs(late) > 5 * RATE // 1000
    assert astray.sum() <= 2 * lines[-1]["xruns"]
    nearest[astray] = -1

    # Each stroke has its drum, and at most one more that it was heard as too.
    for k, stroke in enumerate(STROKES):
        notes = [recording.notes[i].note for i in np.flatnonzero(nearest == k)]
        assert NOTE[stroke.label] in notes
        assert len(set(notes)) == len(notes) <= 2
