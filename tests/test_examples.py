# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples follow what earwire sends: the patch in Pure Data itself, the sketch by what it listens for."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pytest

from bridge.messages import osc
from bridge.sinks.osc import OscSink, message
from dsp.events import BEAT, CHORD, CHORDS, DRUM, EVENT, QUALITIES, TONICS
from tests.conftest import ROOT

FOLDER = ROOT / "examples"
PATIENCE = 15.0  # [s]


def events() -> np.ndarray:
    """A hit, a beat, a chord over another bass, and none."""
    out = np.zeros(4, EVENT)
    out["id"], out["label"] = np.arange(1, 5), [0, 4, TONICS.index("Bb"), -1]
    out["kind"] = DRUM, BEAT, CHORD, CHORD
    out["number"] = 0, 120, CHORDS.index("G:min7"), CHORDS.index("N")
    out["value"], out["confidence"] = [0.75, 1, 0, 0], 0.5
    return out


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def pd() -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The patch, open without a window and without sound, and the port it listens at."""
    port = free_port()
    patch = ["-open", str(FOLDER / "earwire.pd"), "-send", f"port {port}"]
    program = subprocess.Popen(
        ["pd", "-nogui", "-noaudio", "-nomidi", "-nrt", "-stderr", *patch], stderr=subprocess.PIPE
    )
    yield program, port
    program.terminate()
    program.wait(10)
    assert program.stderr is not None
    program.stderr.close()


@pytest.mark.linux
def test_the_patch_hears_hits_beats_and_chords(pd: tuple["subprocess.Popen[bytes]", int]) -> None:
    program, port = pd
    assert program.stderr is not None
    os.set_blocking(program.stderr.fileno(), False)
    said, end = "", time.monotonic() + PATIENCE
    sink = OscSink([f"127.0.0.1:{port}"])
    sink.open({"preset": "visuals"})
    while "chord: N N" not in said and time.monotonic() < end:  # it may not listen yet
        sink.write(events())
        time.sleep(0.2)
        said += (program.stderr.read() or b"").decode()
    sink.close({})
    lines = said.splitlines()
    wanted = ["hit: 36 0.75 0.5", "beat: 1 4 120 0.5", "bass: 46", "chord: G:min7 Bb 0.5", "chord: N N 0.5"]
    assert [line for line in lines if line in wanted][:5] == wanted
    assert lines.count("bass: 46") == lines.count("chord: G:min7 Bb 0.5")
    assert not [line for line in lines if "error" in line or "couldn't create" in line]


def test_the_sketch_listens_for_what_is_sent() -> None:
    sketch = (FOLDER / "earwire.scd").read_text("utf-8")
    addresses = set(re.findall(r"'(/earwire/\w+)'", sketch))
    sent = {address: arguments for event in events() for address, arguments in osc(event)}
    assert addresses == {"/earwire/drum", "/earwire/beat", "/earwire/chord"} <= sent.keys()
    assert set(re.findall(r"'?(\w+)'?: \[", sketch)) == set(QUALITIES)
    assert tuple(re.findall(r'"([A-G][#b]?)"', sketch)) == TONICS
    for open_, close in ("()", "[]", "{}"):
        assert sketch.count(open_) == sketch.count(close)
    assert message("/earwire/drum", sent["/earwire/drum"]).params[2] == pytest.approx(0.75)  # its velocity
